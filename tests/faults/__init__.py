"""The fault matrix: the daemon as a process, and everything that can go wrong around it."""

import pytest

pytest.register_assert_rewrite("tests.faults.bench", "tests.faults.fault")
