"""When the first round is over: never before it has begun, however slowly it is planned."""

import threading
from collections.abc import Iterable

import pytest

from exporter.core import one_round
from exporter.poller.account_log import AccountLog
from exporter.questions import Mailbox
from exporter.settings import load
from exporter.simulator import Simulator, SimulatorOptions
from tests.support import Metrics

LONGER_THAN_BETWEEN_TWO_LOOKS = 0.3


def test_a_round_is_not_over_while_its_plan_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    mailboxes = AccountLog.mailboxes

    def slowly(
        journal: AccountLog, before: Iterable[Mailbox] | None, now: Iterable[Mailbox]
    ) -> None:
        """Stand where the list has arrived and the plan is not made yet."""
        threading.Event().wait(LONGER_THAN_BETWEEN_TWO_LOOKS)
        mailboxes(journal, before, now)

    monkeypatch.setattr(AccountLog, "mailboxes", slowly)
    simulator = Simulator(SimulatorOptions(mailboxes=2, rate_limit=60_000))
    simulator.start()
    try:
        environ = {"HELPSCOUT_API_KEY": "key-1", "HELPSCOUT_BASE_URL": f"{simulator.url}/v1"}
        body, complete = one_round(load(None, environ))
    finally:
        simulator.stop()
    assert complete
    assert len(Metrics.of_text(body.decode()).named("helpscout_report_success")) == 3 * 4 * 3 + 2
