"""Warns of what is odd in an account's answers, each oddity once: not again at every poll."""

import threading
from typing import Any, Final

import structlog

_MOST: Final = 100


class Oddities:
    """Takes the lines of wire.py. Thread-safe.

    After a hundred different lines no more are logged: answers that are odd in ever new ways would
    fill the log.
    """

    def __init__(self, account: str) -> None:
        self._log: Any = structlog.get_logger(account=account)
        self._lock = threading.Lock()
        self._said: set[str] = set()

    def __call__(self, line: str) -> None:
        """Warn of `line`, unless that was done before."""
        with self._lock:
            if line in self._said or len(self._said) >= _MOST:
                return
            self._said.add(line)
        self._log.warning("an answer of Help Scout is odd in one place", what=line)
