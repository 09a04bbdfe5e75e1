"""What holds for every test."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from requests.utils import DEFAULT_CA_BUNDLE_PATH

# A busy machine is slow, and that says nothing about the code: time is no matter of these tests.
settings.register_profile("exporter", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("exporter")


def pytest_collection_finish() -> None:
    """Leave what is imported and collected by now, and stays, out of each collection of garbage."""
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
