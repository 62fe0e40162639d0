"""The fuzzer's short form: the same promises with fewer messages. The whole: python -m tests.fuzz."""

import pytest

from tests.fuzz.run import fuzz
from tests.fuzz.verdict import checks


@pytest.mark.long  # .ci/run fuzzes with more messages, in a step of its own
@pytest.mark.parametrize("seed", [1])
async def test_no_message_makes_the_daemon_fail(seed: int) -> None:
    report = await fuzz(9_000, seed)
    broken = [f"{check.promise}: {check.found}" for check in checks(report) if not check.held]
    faults = [f"{fault.path}: {fault.why}" for fault in report.tally.faults[:5]]
    assert not broken, (broken, faults, report.twin_faults[:5], report.suspicious[:5])
