"""How the main process of a container was started: what its command line says to listen on.

`healthcheck` runs beside it, with the same variables but without its arguments. In a container
process 1 is the exporter, or an init that was given the exporter's command line. Nothing is written
anywhere, so this works where nothing can be. The standard library is all that is imported here.
"""

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Started(NamedTuple):
    """The command, `serve` or `demo`, and its options; None for those that were not given.

    `listen` is the first of several.
    """

    command: str
    config: str | None = None
    listen: str | None = None


def main_process(cmdline: "str | Path" = "/proc/1/cmdline") -> Started | None:
    """Return how process 1 was started, None if that is not an exporter that serves."""
    try:
        with open(cmdline, "rb") as file:  # noqa: PTH123 - not worth importing pathlib
            words = os.fsdecode(file.read()).split("\0")[:-1]
    except OSError:
        return None
    for index, word in enumerate(words[1:], 1):
        if word in ("serve", "demo") and _is_program(words[:index]):
            return Started(word, **_options(words[index + 1 :]))
    return None


def _is_program(words: list[str]) -> bool:
    return words[-1].rpartition("/")[2] == "helpscout-exporter" or words[-2:] == ["-m", "exporter"]


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name in ("--config", "--listen"):
            value = value if equals else next(rest, "")
            if name == "--config":  # of several the last one counts, but we listen on all
                found["config"] = value
            else:
                found.setdefault("listen", value)
    return found
