"""`serve`: the daemon."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from exporter import logs
from exporter.daemon import Daemon, hang_ups
from exporter.settings import Configuration, load


def serve(config: Path | None, listen: Sequence[str]) -> None:
    """Run the daemon until it is told to end."""
    overrides = listening(listen)
    run(lambda: load(config, os.environ, overrides))


def listening(listen: Sequence[str]) -> dict[str, str]:
    """Return what the flags `--listen` override."""
    return {"web.listen": ",".join(listen)} if listen else {}


def run(load_: Callable[[], Configuration], announce: Callable[[str], None] | None = None) -> None:
    """Run the daemon on a configuration; `announce` is called with its URL."""
    hang_up = hang_ups()
    configuration = load_()
    logs.configure(configuration.log.level, configuration.log.format)
    Daemon(configuration, load_, hang_up).run(announce)
