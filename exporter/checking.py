"""Does an account work? Asked once, without poller or store."""

import threading
from datetime import UTC, datetime
from functools import partial

from exporter.helpscout.account import Account
from exporter.helpscout.budget import Budget
from exporter.helpscout.client import Client
from exporter.helpscout.errors import NotThere
from exporter.helpscout.persistence import persistently
from exporter.schedule import demand_per_minute
from exporter.selection import requests_for
from exporter.settings import Configuration
from exporter.telemetry import Telemetry


def check_account(configuration: Configuration, account: Account) -> str:
    """Log in, list the mailboxes, ask one report; return a line that says what was found.

    What may be a passing fault is asked again a few times.

    Raises HelpScoutError.
    """
    telemetry, wait = Telemetry(process_metrics=False), threading.Event().wait
    budget = Budget(account.name, account.requests_per_minute, 1.0, telemetry, wait=wait)
    client = Client(account, budget, telemetry)
    try:
        mailboxes = persistently(account.name, client.mailboxes, wait)
        requests = requests_for(account.name, configuration.selection, mailboxes, {})
        found = f"{account.name}: login good (API {account.api[1]}.0), {len(mailboxes)} mailboxes"
        if not requests:
            raise NotThere(
                f"login good, {len(mailboxes)} mailboxes, but none of them is selected: look at"
                " mailboxes.include and mailboxes.exclude"
            )
        request = requests[0]
        range_ = request.window.ending(datetime.now(UTC))
        ask = partial(client.report, request, range_, tags=False)
        persistently(account.name, ask, wait)
    finally:
        client.close()
    per_minute = demand_per_minute(requests)
    return (
        f"{found}, report good; {len(requests)} reports, {per_minute:.1f} calls a minute"
        f" of {budget.per_minute * account.budget:.0f} in the budget"
    )
