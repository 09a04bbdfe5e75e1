"""What the status page costs: 500 mailboxes, 3 windows and 4 types beside a desk with one mailbox.

`python -m benchmarks.page` writes the section of RESULTS.md. Both pages take turns in one process,
so that what the machine does meanwhile hits both. The first page also loads and compiles.
"""

import statistics
import time

from benchmarks.filled import fill
from benchmarks.results import machine, table, verdict, write
from exporter.health import AccountStatus
from exporter.helpscout.budget import Usage
from exporter.schedule import Group, GroupOutlook, Outlook
from exporter.settings import load
from exporter.status import Facts, render, view
from exporter.store import Store

MAILBOXES = 500
REPORTS_A_MAILBOX = 12
TARGET_SECONDS = 0.2
TURNS = 40
ENVIRON = {
    "HELPSCOUT_ACCOUNTS__0__NAME": "acme",
    "HELPSCOUT_CLIENT_ID": "an-id",
    "HELPSCOUT_CLIENT_SECRET": "a-secret",
    "HELPSCOUT_SLA": "[{name: first, statistic: first_response_time, target: 1h, objective: 0.9}"
    ", {name: quick, statistic: handle_time, target: 2m, objective: 0.8}]",
}


def filled(mailboxes: int) -> Store:
    """Return a store in which every report of so many mailboxes has come."""
    store = Store()
    fill(store, mailboxes * REPORTS_A_MAILBOX)
    store.set_status("acme", AccountStatus(up=True))
    return store


def facts_of(store: Store) -> Facts:
    """Take the facts of now, as the daemon does for every page."""
    windows = tuple(
        GroupOutlook(
            Group("productivity", window.text, window.every.total_seconds()),
            2_000,
            window.every.total_seconds(),
            time.monotonic() + 9,
        )
        for window in CONFIGURATION.windows
    )
    return Facts(
        now=time.time(),
        clock=time.monotonic(),
        configuration=CONFIGURATION,
        snapshot=store.snapshot(),
        troubles=store.troubles(),
        progress={"acme": (Outlook(windows), Usage(400, 200, 150, 0.0))},
        started_at=0.0,
        loaded_at=0.0,
    )


CONFIGURATION = load(None, ENVIRON, {})


def page(store: Store, query: dict[str, str]) -> tuple[float, int]:
    """Return how long one page took in seconds, and its length in bytes."""
    started = time.perf_counter()
    html = render(view(facts_of(store), query)).html
    return time.perf_counter() - started, len(html.encode())


def main() -> None:
    large, small = filled(MAILBOXES), filled(1)
    first, _ = page(small, {})
    sites: dict[str, tuple[Store, dict[str, str]]] = {
        "one mailbox": (small, {}),
        f"{MAILBOXES} mailboxes": (large, {}),
        f"{MAILBOXES} mailboxes, found by name": (large, {"q": "number 49"}),
        f"{MAILBOXES} mailboxes, the last page": (large, {"page": "20"}),
    }
    times: dict[str, list[float]] = {name: [] for name in sites}
    sizes: dict[str, int] = {}
    for _ in range(TURNS):
        for name, (store, query) in sites.items():
            took, sizes[name] = page(store, query)
            times[name].append(took)
    medians = {name: statistics.median(found) for name, found in times.items()}
    least = medians["one mailbox"]
    rows = [
        [
            name,
            f"{median * 1e3:.1f}",
            f"{max(times[name]) * 1e3:.1f}",
            f"{median / least:.1f}",
            f"{sizes[name] / 1e3:.0f}",
        ]
        for name, median in medians.items()
    ]
    worst = max(medians.values())
    write(
        "Status page",
        f"""`python -m benchmarks.page`; {machine("Jinja2")}

Facts, view and HTML, median and worst of {TURNS} pages each. The first page of a process took
{first * 1e3:.0f} ms.

{table(["page", "median ms", "worst ms", "x one mailbox", "kB"], rows)}
The slowest median is under {TARGET_SECONDS * 1e3:.0f} ms: {verdict(worst, TARGET_SECONDS)}.""",
    )


if __name__ == "__main__":
    main()
