"""`healthcheck`: asks a running exporter whether it is healthy."""

import os
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING

from exporter.cli.words import say
from exporter.failure import Failure
from exporter.probe import Listener, ask_listener, ask_url, configured, health_url

if TYPE_CHECKING:
    from pathlib import Path

_OF_ACCOUNTS = ("HELPSCOUT_ACCOUNTS", "HELPSCOUT_API", "HELPSCOUT_CLIENT", "HELPSCOUT_BASE")


def plain_options(words: Sequence[str]) -> tuple[str | None, str | None] | None:
    """Return URL and configuration file, if the words are a healthcheck without anything odd.

    None leaves them to typer, which knows the help, and what to say about wrong usage.
    """
    if words[:1] != ["healthcheck"]:
        return None
    given: dict[str, str] = {}
    rest = iter(words[1:])
    for word in rest:
        name, equals, value = word.partition("=")
        value = value if equals else next(rest, "")
        if name not in ("--url", "--config") or not value or value.startswith("-"):
            return None
        given[name] = value
    return given.get("--url"), given.get("--config") or os.environ.get("HELPSCOUT_CONFIG")


def healthcheck(url: str | None, config: "str | Path | None") -> None:
    """Ask the URL or else the configured listener. Raises Failure unless it is healthy."""
    if url:
        why_not = _asked(url, partial(ask_url, url))
    elif (listener := configured(config, os.environ)) is None:
        why_not = _listener_asked(_loaded(config))
    elif why_not := _listener_asked(listener):
        # What is wrong with the configuration may be why.
        loaded = _loaded(config)
        if loaded != listener:
            why_not = _listener_asked(loaded)
    if why_not:
        raise Failure(why_not)


def _listener_asked(listener: Listener) -> str | None:
    return _asked(health_url(listener), partial(ask_listener, listener))


def _asked(url: str, ask: Callable[[], tuple[int, str]]) -> str | None:
    """Print the words of a healthy exporter, or return why there are none."""
    try:
        status, words = ask()
    except ValueError as error:
        return f"{url}: {error}"
    except (OSError, HTTPException) as error:
        return f"{url}: no answer ({type(error).__name__})"
    if status != 200:
        return f"{url}: HTTP {status}: {words[:200]}"
    say(words)
    return None


def _loaded(config: "str | Path | None") -> Listener:
    """Return the listener of the whole configuration, of `demo`, too, which has no account.

    Raises ConfigurationError, without warnings: a probe's output is no place for them.
    """
    from pathlib import Path

    from exporter.settings import load

    some = config is not None or any(name.startswith(_OF_ACCOUNTS) for name in os.environ)
    environ = os.environ if some else os.environ | {"HELPSCOUT_API_KEY": "none"}
    web = load(Path(config) if config else None, environ).web
    return Listener(web.host, web.port, web.config_file)
