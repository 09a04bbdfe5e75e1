"""`demo`: the daemon on a simulator of its own."""

import os
from collections.abc import Sequence
from typing import Final

from exporter.cli.serve import listening, run
from exporter.cli.simulate import simulator
from exporter.cli.words import note
from exporter.settings import key_of, load
from exporter.settings.collectors import COLLECTORS
from exporter.simulator import SimulatorOptions

_DEMO_LIMIT: Final = 12_000
_DEMO_SLA: Final = """[
  {name: first-reply-24h, statistic: first_response_time, target: 24h, objective: 0.75},
  {name: reply-24h, statistic: response_time, target: 24h, objective: 0.75},
  {name: handle-10m, statistic: handle_time, target: 10m, objective: 0.8},
  {name: three-replies, statistic: replies_to_resolve, target: 3, objective: 0.8},
]"""


def demo(listen: Sequence[str]) -> None:
    """Run the daemon on a simulator until it is told to end."""
    options = SimulatorOptions(rate_limit=_DEMO_LIMIT, mailboxes=4)
    with simulator(options, "127.0.0.1", 0) as service:
        client_id, client_secret, _ = service.credentials()[0]
        environ = {
            "HELPSCOUT_CLIENT_ID": client_id,
            "HELPSCOUT_CLIENT_SECRET": client_secret,
            "HELPSCOUT_BASE_URL": f"{service.url}/v2",
            "HELPSCOUT_ACCOUNTS__0__NAME": "demo",
            "HELPSCOUT_ACCOUNTS__0__CONCURRENCY": "8",
            "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__TIMEZONE": "UTC",
            "HELPSCOUT_ACCOUNTS__0__OFFICE_SCHEDULE__HOURS": '{mon-fri: "09:00-17:00"}',
            **{f"HELPSCOUT_{name.upper()}__ENABLED": "true" for name in COLLECTORS},
            "HELPSCOUT_COMPARE": "true",
            "HELPSCOUT_SLA": _DEMO_SLA,
        }
        kept = ("HELPSCOUT_WEB__", "HELPSCOUT_LOG__")
        environ |= {k: v for k, v in os.environ.items() if k.startswith(kept) or not key_of(k)}
        overrides = listening(listen)
        run(lambda: load(None, environ, overrides), _say_where_to_look)


def _say_where_to_look(url: str) -> None:
    note(
        f"""
The Help Scout exporter runs on a simulated account. Look at

    {url}/metrics      the metrics
    {url}/             the status page

For your own account (Help Scout > Your Profile > My Apps > Create My App; Plus or Pro plan):

    export HELPSCOUT_CLIENT_ID=...  HELPSCOUT_CLIENT_SECRET=...
    helpscout-exporter check && helpscout-exporter serve

or, for the legacy Mailbox API 1.0, HELPSCOUT_API=v1 and HELPSCOUT_API_KEY=... Ctrl-C ends it.
"""
    )
