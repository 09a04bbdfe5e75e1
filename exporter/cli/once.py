"""`once`: one full round, to stdout or into a file."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from exporter.cli.configured import configured
from exporter.cli.words import checked, instant, put
from exporter.core import one_round
from exporter.failure import Failure
from exporter.files import write_whole
from exporter.metrics import LAST_SUCCESS

_A_SUCCESS: Final = f"\n{LAST_SUCCESS.name}{{".encode()
"""In an exposition where a report has arrived."""


def once(config: Path | None, output: Path | None, at: str | None) -> None:
    """Ask every report once and print the metrics."""
    configuration = configured(config)
    arguments: tuple[Callable[[], datetime], ...] = ()
    if at is not None:
        end = checked("--at", instant, at)
        arguments = (lambda: end,)
    body, complete = one_round(configuration, *arguments)
    if output is None:
        put(body)
    elif _A_SUCCESS in body or not output.exists():
        try:
            write_whole(output, (body,))  # readable to the node exporter, which is another user
        except OSError as error:
            raise Failure(f"--output: {output}: {error.strerror}") from None
    else:
        raise Failure(f"no report arrived, {output} stays as it was; see the log above")
    if not complete:
        raise Failure("some reports failed, see the log above")
