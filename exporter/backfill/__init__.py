"""History: reports of the past as OpenMetrics with timestamps, for promtool and its like.

The same client, budget and rendering as live; what is asked is kept in a file at once, so that
nothing that stops the process costs an answer. docs/backfill.md says how to use it.
"""

from exporter.backfill.errors import BackfillError
from exporter.backfill.job import backfill
from exporter.backfill.task import Task, task

__all__ = ["BackfillError", "Task", "backfill", "task"]
