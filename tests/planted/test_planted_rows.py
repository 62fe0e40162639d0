"""Every planted fault still fits its source, and names a test that is there."""

import ast
from pathlib import Path

import pytest

from tests.planted.__main__ import misfit
from tests.planted.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_row_fits(fault: Fault) -> None:
    assert misfit(fault) == ""
    changed = (ROOT / fault.file).read_text().replace(fault.find, fault.replace)
    ast.parse(changed)
    file, _, name = fault.caught_by.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


def test_there_are_enough_and_no_two_are_the_same() -> None:
    assert len(FAULTS) >= 30
    assert len({fault.name for fault in FAULTS}) == len({(f.file, f.find, f.replace) for f in FAULTS}) == len(FAULTS)
