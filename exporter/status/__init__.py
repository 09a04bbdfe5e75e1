"""The status page: what the person on call and the head of support see without Grafana.

From what the exporter already knows to frozen values (`view`), and from those to HTML (`page`), by
templates and their filters (`filters`). Nothing here asks Help Scout, waits for the poller or holds
a lock while it renders.
"""

from exporter.status.facts import Facts, ReloadFailure
from exporter.status.page import Rendered, render
from exporter.status.view import view

__all__ = ["Facts", "ReloadFailure", "Rendered", "render", "view"]
