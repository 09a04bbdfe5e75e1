"""`plan`: what the configuration costs, without network."""

from pathlib import Path
from typing import Final

import typer

from exporter import planning
from exporter.cli.configured import configured
from exporter.cli.words import note, say

_ASSUMED_MAILBOXES: Final = 10


def plan(config: Path | None, mailboxes: int | None) -> None:
    """Show calls and series of each account."""
    configuration = configured(config)
    known = {} if mailboxes is not None else planning.known_mailboxes(configuration)
    fits = True
    for account in configuration.accounts:
        number = mailboxes if mailboxes is not None else known.get(account.name)
        if number is None:
            number = _ASSUMED_MAILBOXES
            note(f"{account.name}: assuming {number} mailboxes: say --mailboxes N if not")
        elif mailboxes is None:
            note(f"{account.name}: {number} mailboxes by the state file")
        for assumption in planning.assumptions(configuration, account):
            note(f"{account.name}: assuming {assumption}")
        planned = planning.plan(configuration, account, number)
        say(planning.table(planned))
        fits = fits and planned.fits
    if not fits:
        raise typer.Exit(1)
