"""`check`: does the configuration work with Help Scout?"""

from pathlib import Path

import typer

from exporter.checking import check_account
from exporter.cli.configured import configured
from exporter.cli.words import note, say
from exporter.helpscout.errors import HelpScoutError
from exporter.web import webconfig


def check(config: Path | None) -> None:
    """Validate the configuration, log in, list mailboxes, ask one report."""
    configuration = configured(config)
    if path := configuration.web.config_file:
        webconfig.context(path, webconfig.read(path))
    failed = 0
    for account in configuration.accounts:
        try:
            say(check_account(configuration, account))
        except HelpScoutError as error:
            failed += 1
            reference = f" (reference {error.reference})" if error.reference else ""
            note(f"{account.name}: {error}{reference}")
    if failed:
        raise typer.Exit(1)
