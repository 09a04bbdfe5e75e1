"""The list of faults that tests must notice fits the code that it is about: `make mutants`."""

import pytest

from scripts.mutants import ROOT, Fault, faults

FAULTS = faults()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.file}: {fault.what}")
@pytest.mark.no_cover
def test_a_fault_can_be_put_in_at_one_place_and_its_tests_are_there(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.old) == 1
    assert fault.new not in (fault.old, None)
    assert all((ROOT / test.partition("::")[0]).exists() for test in fault.tests)


def test_no_fault_is_listed_twice() -> None:
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)
