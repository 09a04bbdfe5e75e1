"""`healthcheck`: asks a running exporter whether it is healthy."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING

from exporter.cli.words import say
from exporter.failure import Failure
from exporter.probe import (
    SYSTEMD,
    Listener,
    ask_listener,
    ask_url,
    configured,
    health_url,
    host_and_port,
)
from exporter.started import Started, main_process

if TYPE_CHECKING:
    from pathlib import Path

_OF_ACCOUNTS = ("HELPSCOUT_ACCOUNTS", "HELPSCOUT_API", "HELPSCOUT_CLIENT", "HELPSCOUT_BASE")


def plain_options(words: Sequence[str]) -> tuple[str | None, str | None] | None:
    """Return URL and configuration file, if that is all that the words say.

    None leaves them to typer, which knows the help, and what to say about wrong usage.
    """
    given: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        value = value if equals else next(rest, "")
        if name not in ("--url", "--config") or not value or value.startswith("-"):
            return None
        given[name] = value
    return given.get("--url"), given.get("--config")


def healthcheck(url: str | None, config: "str | Path | None") -> None:
    """Ask the URL or else the configured listener. Raises Failure unless it is healthy.

    In a container it is the listener of the main process, whose arguments say more than ours.
    """
    config, environ = _of_main_process(config)
    if url:
        why_not = _asked(url, partial(ask_url, url))
    elif (listener := configured(config, environ)) is None:
        why_not = _listener_asked(_loaded(config, environ))
    elif why_not := _listener_asked(listener):
        _loaded(config, environ)  # what is wrong with the configuration may be why
    if why_not:
        raise Failure(why_not)


def _of_main_process(config: "str | Path | None") -> tuple["str | Path | None", dict[str, str]]:
    environ = dict(os.environ)
    started = main_process() or Started("serve")
    if started.listen:
        environ["HELPSCOUT_WEB__LISTEN"] = started.listen
    if started.command == "demo":
        return None, environ  # it reads no file
    return config or started.config or environ.get("HELPSCOUT_CONFIG", "").strip() or None, environ


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


def _loaded(config: "str | Path | None", environ: Mapping[str, str]) -> Listener:
    """Return the listener of the whole configuration, of `demo`, too, which has no account.

    Raises Failure, and ConfigurationError without warnings: they do not belong in a probe's output.
    """
    from pathlib import Path

    from exporter.settings import load

    some = config is not None or any(name.startswith(_OF_ACCOUNTS) for name in environ)
    account = {} if some else {"HELPSCOUT_API_KEY": "none"}
    web = load(Path(config) if config else None, {**environ, **account}).web
    if web.listen == (SYSTEMD,):
        raise Failure(
            "web.listen is systemd: only the service itself is given its sockets,"
            " so name what to ask, like --url http://127.0.0.1:9877/-/healthy"
        )
    return Listener(*host_and_port(web.listen[0]), web.config_file)
