"""What tests of single modules share."""

from collections.abc import Iterator

import pytest
import structlog
from structlog.testing import LogCapture


@pytest.fixture
def log() -> Iterator[LogCapture]:
    """What is logged while the test runs, as events with their fields."""
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.reset_defaults()
