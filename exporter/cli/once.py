"""`once`: one full round, to stdout or into a file."""

import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from exporter.cli.configured import configured
from exporter.cli.words import checked, instant
from exporter.core import one_round
from exporter.failure import Failure


def once(config: Path | None, output: Path | None, at: str | None) -> None:
    """Ask every report once and print the metrics."""
    configuration = configured(config)
    arguments: tuple[Callable[[], datetime], ...] = ()
    if at is not None:
        end = checked("--at", instant, at)
        arguments = (lambda: end,)
    body, complete = one_round(configuration, *arguments)
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    else:
        _write_atomically(output, body)
    if not complete:
        raise Failure("not every report came, see the log above")


def _write_atomically(path: Path, body: bytes) -> None:
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(body)
        temporary.chmod(0o644)  # the node exporter is another user
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise Failure(f"--output: {path}: {error.strerror}") from None
