"""`simulate`: the simulator alone, until it is told to end."""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from exporter.cli.words import checked, instant, say
from exporter.durations import parse_duration
from exporter.failure import Failure, WrongUsage
from exporter.simulator import Faults, Simulator, SimulatorOptions, parse_faults


def simulate(
    listen: str,
    seed: int,
    mailboxes: int,
    accounts: int,
    latency: str,
    rate_limit: int,
    now: str | None,
    start: str | None,
    speed: float | None,
    faults: Path | None,
) -> None:
    """Run the simulator until it is told to end."""
    host, port = _host_and_port(listen)
    for option, value in (("--start", start), ("--speed", speed)):
        if now is not None and value is not None:
            raise WrongUsage(f"{option}: the clock stands still with --now; give one of the two")
    if speed is not None and not 0 < speed < math.inf:
        raise WrongUsage(f"--speed: {speed:g} is not a number above 0")
    options = SimulatorOptions(
        seed=seed,
        mailboxes=mailboxes,
        accounts=accounts,
        latency_seconds=checked("--latency", parse_duration, latency).total_seconds(),
        rate_limit=rate_limit,
        now=None if now is None else checked("--now", instant, now),
        start=None if start is None else checked("--start", instant, start),
        speed=1.0 if speed is None else speed,
        faults=Faults() if faults is None else _faults(faults),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with simulator(options, host, port) as service:
        say(f"api v1: {service.url}/v1\napi v2: {service.url}/v2")
        for client_id, client_secret, api_key in service.credentials():
            say(f"client_id: {client_id}  client_secret: {client_secret}  api_key: {api_key}")
        while not stop.wait(0.2):
            pass


@contextlib.contextmanager
def simulator(options: SimulatorOptions, host: str, port: int) -> Iterator[Simulator]:
    """Run a simulator. Raises Failure where it cannot listen."""
    service = Simulator(options)
    try:
        service.start(host, port)
    except OSError as error:
        raise Failure(f"--listen: cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        yield service
    finally:
        service.stop()


def _host_and_port(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise WrongUsage(f'--listen: "{text}" is not HOST:PORT')
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host asks for it


def _faults(path: Path) -> Faults:
    try:
        return parse_faults(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongUsage(f"--faults: {path}: {error.strerror}") from None
    except ValueError as error:
        raise WrongUsage(f"--faults: {path}: {error}") from None
