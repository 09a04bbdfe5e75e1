"""An exporter without Help Scout: its store filled with as many series as asked for, and served.

Prints the URL once it listens. `--poll N --service URL` lets N threads fetch reports from there at
full speed meanwhile, through the exporter's own client into the store; `--every S` changes one
report each S seconds.
"""

import argparse
import gc
import json
import random
import sys
import threading
from datetime import timedelta

from exporter import collectors
from exporter.collectors.productivity.wire import parse_report
from exporter.exposition import Exposition, Renderer
from exporter.helpscout.account import Account, Secret
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.poller.dispatcher import utc_now
from exporter.questions import Key, Mailbox, Question, Reading
from exporter.settings import Configuration, WebSettings
from exporter.store import Store
from exporter.telemetry import Telemetry
from exporter.web.access import Access
from exporter.web.application import Backend, application
from exporter.web.server import Server

SERIES_PER_REPORT = 48


def answer(chance: random.Random) -> bytes:
    """Return a body as Help Scout would send it, all ranges there."""
    ranges = {"responseTime": 10, "firstResponseTime": 10, "handleTime": 5, "repliesToResolve": 5}
    document: dict[str, object] = {
        "filterTags": [{"id": number, "name": f"tag-{number}"} for number in range(20)],
        "current": {
            "startDate": "2026-01-01T00:00:00Z",
            "endDate": "2026-01-31T23:59:59Z",
            "totalConversations": chance.randrange(1, 500),
            "resolutionTime": chance.uniform(100, 500_000),
            "repliesToResolve": chance.uniform(1, 4),
            "responseTime": chance.randrange(100, 100_000),
            "firstResponseTime": chance.randrange(100, 100_000),
            "resolved": 200,
            "resolvedOnFirstReply": chance.randrange(1, 100),
            "closed": chance.randrange(1, 500),
            "repliesSent": chance.randrange(1, 900),
            "handleTime": chance.randrange(10, 900),
            "percentResolvedOnFirstReply": 40.77,
        },
    }
    for name, number in ranges.items():
        document[name] = {
            "count": 200,
            "previousCount": 0,
            "ranges": [
                {
                    "id": at + 1,
                    "count": chance.randrange(0, 90),
                    "previousCount": 0,
                    "percent": 9.26,
                    "previousPercent": 0.0,
                    **({"resolutionTime": chance.uniform(1, 9e5)} if number == 5 else {}),
                }
                for at in range(number)
            ],
        }
    return json.dumps(document).encode()


def parsed(body: bytes) -> Reading:
    """Return a body as the store keeps it."""
    report, _ = parse_report(body, compare=False, odd=print)
    return Reading(report, utc_now())


def fill(store: Store, reports: int) -> list[Key]:
    """Schedule and answer so many reports; return their keys."""
    chance = random.Random(1)
    bodies = [answer(chance) for _ in range(50)]
    store.set_accounts(["acme"])
    cuts = [(t, w) for t in ("all", "email", "chat", "phone") for w in ("24h", "7d", "30d")]
    boxes = -(-reports // len(cuts))
    mailboxes = [Mailbox(n, f"Mailbox number {n}", "s", "m@acme.com") for n in range(1, boxes + 1)]
    keys = [
        Key("productivity", "acme", str(box.id), type_, window, "false", "")
        for box in mailboxes
        for type_, window in cuts
    ][:reports]
    store.set_mailboxes("acme", mailboxes)
    store.schedule("acme", keys)
    for number, key in enumerate(keys):
        store.succeeded(key, parsed(bodies[number % len(bodies)]))
    return keys


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--series", type=int, default=100_000)
    arguments.add_argument("--poll", type=int, default=0)
    arguments.add_argument("--service", default="")
    arguments.add_argument("--every", type=float, default=0.0)
    options = arguments.parse_args()
    store, telemetry = Store(), Telemetry()
    keys = fill(store, max(1, options.series // SERIES_PER_REPORT))
    exposition = Exposition(store, telemetry, Renderer(Configuration(())))
    settings = WebSettings(("127.0.0.1:0",))
    backend = Backend(exposition, lambda: "", lambda: True, lambda: True, tuple, lambda _: ("", ""))
    server = Server(settings, application(settings, backend), Access(None))
    stopping = threading.Event()
    threading.Thread(target=exposition.run, args=(stopping,), daemon=True).start()
    server.start()
    gc.freeze()  # as the daemon does
    chance = random.Random(2)
    body = answer(chance)

    def change() -> None:
        while not stopping.wait(options.every):
            store.succeeded(chance.choice(keys), parsed(body))

    def fetch(client: Client) -> None:
        every, day = timedelta(minutes=5), timedelta(hours=24)
        while not stopping.is_set():
            question = Question(chance.choice(keys), every, day, ((1,), (), ()))
            reading = collectors.ask(client, question, utc_now())
            store.succeeded(question.key, reading.kept)

    if options.poll:
        account = Account(
            name="acme",
            api="v1",
            base_url=f"{options.service}/v1",
            api_key=Secret("key"),
            requests_per_minute=1e9,
            budget=1.0,
            concurrency=options.poll,
            timeout=timedelta(seconds=30),
        )
        budget = Budget("acme", 1e9, 1.0, telemetry, wait=threading.Event().wait)
        client = Client(account, budget, telemetry)
        for _ in range(options.poll):
            threading.Thread(target=fetch, args=(client,), daemon=True).start()
    if options.every:
        threading.Thread(target=change, daemon=True).start()
    print(server.url, flush=True)
    sys.stdin.read()
    stopping.set()


if __name__ == "__main__":
    main()
