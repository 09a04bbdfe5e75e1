"""What holds for every test."""

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import uvicorn
from coverage import Coverage
from hypothesis import HealthCheck, settings
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from tests.warm import import_program

# A busy machine is slow, and that says nothing about the code: time is no matter of these tests.
settings.register_profile("exporter", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("exporter")

# A shell's job in the background ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def _not_measured() -> Iterator[None]:
    coverage = Coverage.current()
    if coverage is None:
        yield
        return
    coverage.stop()
    try:
        yield
    finally:
        coverage.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Measure how the program is imported, and not how pytest rewrites and collects the tests."""
    if Coverage.current() is not None:
        import_program()
    with _not_measured():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Do not measure the fixtures of a file of which no test is measured."""
    file = item.getparent(pytest.Module)
    marks = {mark.name for mark in file.own_markers} if file else set()
    with _not_measured() if "no_cover" in marks else nullcontext():
        return (yield)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Do not measure properties, which takes twice as long: other tests run the same lines.

    What is imported and collected by now stays: leave it out of each collection of garbage.
    """
    for item in session.items:
        if item.get_closest_marker("hypothesis"):
            item.add_marker("no_cover")
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Make the program's own authorities one: every client reads them all, which takes 40 ms."""
    path = tmp_path_factory.mktemp("authorities") / "one.pem"
    end = "-----END CERTIFICATE-----\n"
    path.write_text(Path(DEFAULT_CA_BUNDLE_PATH).read_text().partition(end)[0] + end)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.helpscout.trust.DEFAULT_CA_BUNDLE_PATH", str(path))
        yield


@pytest.fixture(scope="session", autouse=True)
def _soon_stopped() -> Iterator[None]:
    """Let a server look each 10 ms, not 100, whether it should end: hundreds of tests wait."""

    async def main_loop(server: uvicorn.Server) -> None:
        turn = 0
        while not await server.on_tick(0 if turn % 100 == 0 else 1):  # at 0 it looks at the time
            turn += 1
            await asyncio.sleep(0.01)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uvicorn.Server, "main_loop", main_loop)
        yield
