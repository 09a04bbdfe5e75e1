"""From the view to HTML. Jinja2 escapes what comes from outside; it is loaded when first needed.

Style and script stand in the page itself, and the Content-Security-Policy names their hashes: a
text that got in unescaped all the same would neither run nor be able to load or send anything.
"""

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from exporter import REPOSITORY
from exporter.status.filters import BARS_HEIGHT, BARS_WIDTH, FILTERS
from exporter.status.view import View

if TYPE_CHECKING:
    import jinja2

_TEMPLATES: Final = "templates"
_RUNBOOKS: Final = f"{REPOSITORY}/blob/main/docs/runbooks.md"


class Rendered(NamedTuple):
    """A page, and the Content-Security-Policy that it is to be sent with."""

    html: str
    policy: str


def render(view: View) -> Rendered:
    """Return the page. The first call takes longer: it loads and compiles the template."""
    template, policy = _prepared()
    return Rendered(template.render(view=view), policy)


@lru_cache(maxsize=1)
def _prepared() -> "tuple[jinja2.Template, str]":
    import jinja2
    from markupsafe import Markup

    folder = files(__package__) / _TEMPLATES
    style = (folder / "page.css").read_text(encoding="utf-8")
    script = (folder / "page.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
    )
    environment.filters |= {each.__name__: each for each in FILTERS}
    environment.globals |= {
        "bars": {"width": BARS_WIDTH, "height": BARS_HEIGHT},
        "runbooks": _RUNBOOKS,
        # Files of this package, not from outside.
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
    }
    return environment.get_template("page.html"), _policy(style, script)


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "connect-src 'self'",  # the refresh
            "img-src data:",  # the tab's icon
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
