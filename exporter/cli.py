"""The command line: parses arguments, starts what they ask for, turns errors into one line.

stdout carries a command's result only; logs, hints and progress go to stderr. Exit codes: 0 well,
1 the job failed, 2 wrong usage or configuration (docs/behaviour.md#command-line).
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, Final

import requests
import typer
from requests.exceptions import RequestException

from exporter import __version__, logs, planning
from exporter.backfill import BackfillError, task
from exporter.backfill import backfill as fill_past
from exporter.daemon import Daemon, check_account, known_mailboxes, one_round
from exporter.durations import parse_duration
from exporter.helpscout.errors import HelpScoutError
from exporter.settings import Configuration, ConfigurationError, load
from exporter.simulator import Faults, Simulator, SimulatorOptions, parse_faults
from exporter.state import StateFileInUse
from exporter.web import CannotListen, Doors, ask_health, health_url

_HEALTHCHECK_SECONDS: Final = 5
_ASSUMED_MAILBOXES: Final = 10
_DEMO_LIMIT: Final = 12_000
_DEMO_SLA: Final = """[
  {name: first-reply-24h, statistic: first_response_time, target: 24h, objective: 0.75},
  {name: reply-24h, statistic: response_time, target: 24h, objective: 0.75},
  {name: handle-10m, statistic: handle_time, target: 10m, objective: 0.8},
  {name: three-replies, statistic: replies_to_resolve, target: 3, objective: 0.8},
]"""

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="Prometheus exporter for Help Scout's productivity report.",
    epilog="HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET are enough to begin; `demo` needs"
    " neither. `COMMAND --help` says more.",
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="HELPSCOUT_CONFIG",
        help="The configuration file; without one the environment and defaults are all there is.",
    ),
]
Listen = Annotated[
    str | None,
    typer.Option("--listen", metavar="HOST:PORT", help="Where to listen, over the configuration."),
]


class _Failed(Exception):
    """The job failed; the message is the one line that says why."""


class _WrongUsage(Exception):
    """An argument cannot be used; the message is the one line that names it and says why."""


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"helpscout-exporter {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        _note(context.get_help())
        raise typer.Exit(2)


@app.command(short_help="Run the daemon: poll Help Scout, serve /metrics.")
def serve(config: Config = None, listen: Listen = None) -> None:
    """Run the daemon: poll Help Scout, serve /metrics. SIGHUP reloads, SIGTERM ends."""
    overrides = {"web.listen": listen} if listen else {}
    _serve(lambda: load(config, os.environ, overrides))


@app.command(short_help="Run the daemon on a built-in simulator. Needs no credentials.")
def demo(listen: Listen = None) -> None:
    """Run the daemon on a built-in simulator of Help Scout. Needs no credentials."""
    options = SimulatorOptions(rate_limit=_DEMO_LIMIT, mailboxes=4)
    with _simulator(options, "127.0.0.1", 0) as simulator:
        client_id, client_secret, _ = simulator.credentials()[0]
        environ = {
            "HELPSCOUT_CLIENT_ID": client_id,
            "HELPSCOUT_CLIENT_SECRET": client_secret,
            "HELPSCOUT_BASE_URL": f"{simulator.url}/v2",
            "HELPSCOUT_ACCOUNTS__0__NAME": "demo",
            "HELPSCOUT_ACCOUNTS__0__CONCURRENCY": "8",
            "HELPSCOUT_COMPARE": "true",
            "HELPSCOUT_SLA": _DEMO_SLA,
        }
        kept = ("HELPSCOUT_WEB__", "HELPSCOUT_LOG__")
        environ |= {k: v for k, v in os.environ.items() if k.startswith(kept)}
        overrides = {"web.listen": listen} if listen else {}
        _serve(lambda: load(None, environ, overrides), _say_where_to_look)


def _say_where_to_look(url: str) -> None:
    _note(
        f"""
The Help Scout exporter runs on a simulated account. Look at

    {url}/metrics      the metrics
    {url}/             the status page

For your own account (Help Scout > Your Profile > My Apps > Create My App; Plus or Pro plan):

    export HELPSCOUT_CLIENT_ID=...  HELPSCOUT_CLIENT_SECRET=...
    helpscout-exporter check && helpscout-exporter serve

or, for the legacy Mailbox API 1.0, HELPSCOUT_API=v1 and HELPSCOUT_API_KEY=... Ctrl-C ends it.
"""
    )


@app.command(short_help="Run the simulator alone, for both generations of the API.")
def simulate(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:9878",
    seed: Annotated[int, typer.Option(help="The world is a function of this and the time.")] = 1,
    mailboxes: Annotated[int, typer.Option(min=0, help="Mailboxes an account.")] = 6,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts, each with credentials.")] = 1,
    latency: Annotated[
        str, typer.Option(metavar="DURATION", help="Time that each answer takes, like 50ms.")
    ] = "0s",
    rate_limit: Annotated[int, typer.Option(min=1, help="Calls a minute and account.")] = 400,
    now: Annotated[
        str | None,
        typer.Option(metavar="T", help="Freeze the clock at this time, like 2026-11-01T00:00:00Z."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What goes wrong (YAML); also PUT to /_faults."),
    ] = None,
) -> None:
    """Run the simulator alone: a stand-in for both generations of Help Scout's API."""
    host, port = _host_and_port(listen)
    options = SimulatorOptions(
        seed=seed,
        mailboxes=mailboxes,
        accounts=accounts,
        latency_seconds=_checked("--latency", parse_duration, latency).total_seconds(),
        rate_limit=rate_limit,
        now=None if now is None else _checked("--now", _instant, now),
        faults=Faults() if faults is None else _faults(faults),
    )
    with _simulator(options, host, port) as simulator:
        typer.echo(f"api v1: {simulator.url}/v1\napi v2: {simulator.url}/v2")
        for client_id, client_secret, api_key in simulator.credentials():
            typer.echo(
                f"client_id: {client_id}  client_secret: {client_secret}  api_key: {api_key}"
            )
        sys.stdout.flush()
        _wait_for_the_end()


@app.command(short_help="Validate the configuration, log in, ask one report.")
def check(config: Config = None) -> None:
    """Validate the configuration, log in, list mailboxes, ask one report."""
    configuration = _loaded(config)
    Doors(configuration.web.config_file)
    failed = 0
    for account in configuration.accounts:
        try:
            typer.echo(check_account(configuration, account))
        except HelpScoutError as error:
            failed += 1
            reference = f" (reference {error.reference})" if error.reference else ""
            _note(f"{account.name}: {error}{reference}")
    if failed:
        raise typer.Exit(1)


@app.command(short_help="Show what the configuration costs in calls, without network.")
def plan(
    config: Config = None,
    mailboxes: Annotated[
        int | None,
        typer.Option(min=0, help="How many mailboxes to plan for; default: the state file's."),
    ] = None,
) -> None:
    """Show what the configuration costs in calls and series, without any; exit 1 if too much."""
    configuration = _loaded(config)
    known = {} if mailboxes is not None else known_mailboxes(configuration)
    fits = True
    for account in configuration.accounts:
        number = mailboxes if mailboxes is not None else known.get(account.name)
        if number is None:
            number = _ASSUMED_MAILBOXES
            _note(f"{account.name}: assuming {number} mailboxes: say --mailboxes N if not")
        elif mailboxes is None:
            _note(f"{account.name}: {number} mailboxes by the state file")
        for assumption in planning.assumptions(configuration.selection, account):
            _note(f"{account.name}: assuming {assumption}")
        planned = planning.plan(configuration, account, number)
        typer.echo(planning.table(planned))
        fits = fits and planned.fits
    if not fits:
        raise typer.Exit(1)


@app.command(short_help="Ask every report once and print the metrics.")
def once(
    config: Config = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write here, atomically, for the node exporter's textfile collector.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="T", help="Let the windows end then instead of now, in UTC."),
    ] = None,
) -> None:
    """Ask every report once and print the metrics; exit 1 if a report failed."""
    configuration = _loaded(config)
    arguments: tuple[Callable[[], datetime], ...] = ()
    if at is not None:
        instant = _checked("--at", _instant, at)
        arguments = (lambda: instant,)
    body, complete = one_round(configuration, *arguments)
    if output is None:
        sys.stdout.buffer.write(body)
        sys.stdout.flush()
    else:
        _write_atomically(output, body)
    if not complete:
        raise _Failed("not every report came, see the log above")


@app.command(short_help="Write reports of the past as OpenMetrics, for promtool.")
def backfill(
    start: Annotated[str, typer.Option("--from", metavar="T", help="The first instant, in UTC.")],
    end: Annotated[str, typer.Option("--to", metavar="T", help="The last instant, in UTC.")],
    output: Annotated[Path, typer.Option(metavar="FILE", help="The OpenMetrics file to write.")],
    step: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="From report to report; default: a window's interval, at least range/24.",
        ),
    ] = None,
    budget: Annotated[
        float, typer.Option(metavar="SHARE", help="Part of the account's limit to use, up to 1.")
    ] = 0.2,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A label that the live scrape adds, like job."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would cost; ask no report.")
    ] = False,
    config: Config = None,
) -> None:
    """Write reports of the past as OpenMetrics, for promtool; Ctrl-C and go on any time."""
    configuration = _loaded(config)
    wanted = task(
        _checked("--from", _instant, start),
        _checked("--to", _instant, end),
        None if step is None else _checked("--step", parse_duration, step),
        label or (),
        budget,
        output,
        dry_run,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    fill_past(configuration, wanted, typer.echo if dry_run else _note)


@app.command(short_help="Ask a running exporter whether it is healthy.")
def healthcheck(
    url: Annotated[
        str | None, typer.Option(help="What to ask; default: the configured listener.")
    ] = None,
    config: Config = None,
) -> None:
    """Ask a running exporter whether it is healthy; exit 1 unless it is."""
    web = None if url else _for_health(config).web
    url = health_url(web) if web else str(url)
    try:
        status, words = ask_health(web) if web else _asked(url)
    except (RequestException, OSError, HTTPException, ValueError) as error:
        raise _Failed(f"{url}: no answer ({type(error).__name__})") from None
    if status != 200:
        raise _Failed(f"{url}: HTTP {status}: {words[:200]}")
    typer.echo(words)


def _for_health(config: Path | None) -> Configuration:
    """Return what says where the listener is; `demo`, which has no account, is asked, too."""
    accounts = ("HELPSCOUT_ACCOUNTS", "HELPSCOUT_API", "HELPSCOUT_CLIENT", "HELPSCOUT_BASE")
    some = config is not None or any(name.startswith(accounts) for name in os.environ)
    return load(config, os.environ if some else os.environ | {"HELPSCOUT_API_KEY": "none"})


def _asked(url: str) -> tuple[int, str]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(url, timeout=_HEALTHCHECK_SECONDS, allow_redirects=False)
        return answer.status_code, answer.text.strip()


def main() -> int:
    """Run the program; return its exit code."""
    # SIGTERM before a command has its own handler ends it like Ctrl-C: nothing is half done yet.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        code = app(standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context else ""
        _note(" ".join(error.format_message().split()).rstrip(".") + hint)
        return error.exit_code
    except ConfigurationError as error:
        _warn(error.warnings)
        _note(str(error))
        return 2
    except _WrongUsage as error:
        _note(str(error))
        return 2
    except BackfillError as error:
        _note(str(error))
        return error.exit_code
    except (_Failed, CannotListen, StateFileInUse) as error:
        _note(str(error))
        return 1
    except BrokenPipeError:
        # Whoever read our output has enough of it; say nothing into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return 130
    return code if isinstance(code, int) else 0


def _serve(
    load_: Callable[[], Configuration], announce: Callable[[str], None] | None = None
) -> None:
    configuration = load_()
    logs.configure(configuration.log.level, configuration.log.format)
    Daemon(configuration, load_).run(announce)


def _loaded(config: Path | None) -> Configuration:
    """Return the configuration of a command other than the daemon; print its warnings."""
    configuration = load(config, os.environ)
    logs.configure(configuration.log.level, configuration.log.format)
    _warn(configuration.warnings)
    return configuration


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _note(f"warning: {warning}")


@contextlib.contextmanager
def _simulator(options: SimulatorOptions, host: str, port: int) -> Iterator[Simulator]:
    simulator = Simulator(options)
    try:
        simulator.start(host, port)
    except OSError as error:
        raise _Failed(f"--listen: cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        yield simulator
    finally:
        simulator.stop()


def _wait_for_the_end() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(0.2):
        pass


def _checked(option: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        raise _WrongUsage(f"{option}: {error}") from None


def _instant(text: str) -> datetime:
    """Return an ISO 8601 time; without an offset it is UTC. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a time like 2026-11-01T00:00:00Z') from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise _WrongUsage(f'--listen: "{text}" is not HOST:PORT')
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host asks for it


def _faults(path: Path) -> Faults:
    try:
        return parse_faults(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _WrongUsage(f"--faults: {path}: {error.strerror}") from None
    except ValueError as error:
        raise _WrongUsage(f"--faults: {path}: {error}") from None


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
        raise _Failed(f"--output: {path}: {error.strerror}") from None


def _note(text: str) -> None:
    typer.echo(text, err=True)
