"""`check`: does the configuration work with Help Scout?"""

from pathlib import Path

import typer

from exporter.checking import check_account
from exporter.cli.configured import configured
from exporter.cli.words import note, say
from exporter.health import Missing
from exporter.helpscout.errors import HelpScoutError
from exporter.web import webconfig


def check(config: Path | None) -> None:
    """Validate, log in, list mailboxes, ask a question of each kind, look up what is named."""
    configuration = configured(config)
    if path := configuration.web.config_file:
        found = webconfig.read(path)
        webconfig.context(path, found)
        for warning in found.warnings:
            note(f"{path}: {warning}")
    failed = 0
    lacks: list[frozenset[Missing]] = []
    for account in configuration.accounts:
        try:
            checked = check_account(configuration, account)
        except HelpScoutError as error:
            failed += 1
            lacks.append(frozenset())  # it may have what the others lack
            reference = f" (reference {error.reference})" if error.reference else ""
            note(f"{account.name}: {error}{reference}")
            continue
        say(checked.line)
        failed += len(checked.missing)
        for missing in checked.missing:
            note(f"{account.name}: {missing}")
        lacks.append(checked.patterns)
    for missing in sorted(frozenset.intersection(*lacks), key=str):
        failed += 1
        note(str(missing))
    if failed:
        raise typer.Exit(1)
