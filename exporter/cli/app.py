"""What typer makes of the command line: commands, options, their help, and wrong usage in one line.

Nothing large but typer is imported here: each command imports its own module once it runs.
"""

import sys
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Annotated, Final

import typer

from exporter.cli.words import VERSION, note, say

_PRINTED_BY_TYPER: Final = frozenset({"--help", "--show-completion"})

app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="Prometheus exporter for Help Scout: queues and response times.",
    epilog="HELPSCOUT_CLIENT_ID and HELPSCOUT_CLIENT_SECRET are enough to begin; `demo` needs"
    " neither. `COMMAND --help` says more.",
)

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        envvar="HELPSCOUT_CONFIG",
        parser=lambda text: Path(text.strip()),
        help="The configuration file; without one the environment and defaults are all there is.",
    ),
]
Listen = Annotated[
    list[str] | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where to listen instead of web.listen; may be given several times.",
    ),
]


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if version:
        say(VERSION)
        raise typer.Exit
    if context.invoked_subcommand is None:
        note(context.get_help())
        raise typer.Exit(2)


@app.command(short_help="Run the daemon: poll Help Scout, serve /metrics.")
def serve(config: Config = None, listen: Listen = None) -> None:
    """Run the daemon: poll Help Scout, serve /metrics. SIGHUP reloads, SIGTERM ends."""
    from exporter.cli import serve as command

    command.serve(config, listen or ())


@app.command(short_help="Run the daemon on a built-in simulator. Needs no credentials.")
def demo(listen: Listen = None) -> None:
    """Run the daemon on a built-in simulator of Help Scout. Needs no credentials."""
    from exporter.cli import demo as command

    command.demo(listen or ())


@app.command(short_help="Run the simulator alone, for both generations of the API.")
def simulate(
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen.")
    ] = "127.0.0.1:9878",
    seed: Annotated[int, typer.Option(help="The world is a function of this and the time.")] = 1,
    mailboxes: Annotated[int, typer.Option(min=0, max=90_000, help="Mailboxes an account.")] = 6,
    accounts: Annotated[int, typer.Option(min=1, help="Accounts, each with credentials.")] = 1,
    latency: Annotated[
        str, typer.Option(metavar="DURATION", help="Time that each answer takes, like 50ms.")
    ] = "0s",
    rate_limit: Annotated[int, typer.Option(min=1, help="Calls a minute and account.")] = 400,
    now: Annotated[
        str | None,
        typer.Option(metavar="T", help="Freeze the clock at this time, like 2026-11-01T00:00:00Z."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="T", help="Start the clock at this time instead of now."),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(metavar="N", help="Let the clock run N times as fast."),
    ] = None,
    faults: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What goes wrong (YAML); also PUT to /_faults."),
    ] = None,
) -> None:
    """Run the simulator alone: a stand-in for both generations of Help Scout's API."""
    from exporter.cli import simulate as command

    command.simulate(
        listen, seed, mailboxes, accounts, latency, rate_limit, now, start, speed, faults
    )


@app.command(short_help="Validate the configuration, log in, ask one question of each kind.")
def check(config: Config = None) -> None:
    """Validate the configuration, log in, list mailboxes, ask one question of each kind."""
    from exporter.cli import check as command

    command.check(config)


@app.command(short_help="Show what the configuration costs in calls, without network.")
def plan(
    config: Config = None,
    mailboxes: Annotated[
        int | None,
        typer.Option(min=0, help="How many mailboxes to plan for; default: the state file's."),
    ] = None,
) -> None:
    """Show what the configuration costs in calls and series; exit 1 if too much. No network."""
    from exporter.cli import plan as command

    command.plan(config, mailboxes)


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
        typer.Option(metavar="T", help="Take this for now, in UTC: windows end then."),
    ] = None,
) -> None:
    """Ask every report once and print the metrics; exit 1 if a report failed."""
    from exporter.cli import once as command

    command.once(config, output, at)


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
    from exporter.cli import backfill as command

    command.backfill(start, end, output, step, budget, label or (), dry_run, config)


@app.command(short_help="Ask a running exporter whether it is healthy.")
def healthcheck(
    url: Annotated[
        str | None, typer.Option(help="What to ask; default: the configured listener.")
    ] = None,
    config: Config = None,
) -> None:
    """Ask a running exporter whether it is healthy; exit 1 unless it is."""
    from exporter.cli import healthcheck as command

    command.healthcheck(url, config)


def run() -> int:
    """Run the command that the arguments name; return its exit code. Raises Failure."""
    printed = StringIO()
    is_printed = not _PRINTED_BY_TYPER.isdisjoint(sys.argv)
    try:
        with redirect_stdout(printed) if is_printed else nullcontext():
            code = app(standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f"; see {context.command_path} --help" if context else ""
        note(" ".join(error.format_message().split()).rstrip(".") + hint)
        return error.exit_code
    finally:  # typer itself ends with a traceback where it cannot print
        if text := printed.getvalue():
            say(text.rstrip("\n"))
    return code if isinstance(code, int) else 0
