"""Quick forms of tests.e2e.checks and many_checks: shorter intervals, fewer of everything, more room for noise."""

import asyncio
import subprocess
import sys

import pytest

from examples.demo.processes import ROOT
from tests.cli.process import daemon_process
from tests.e2e import many_checks

pytestmark = pytest.mark.processes


async def test_checks_of_every_kind_see_what_breaks_and_what_is_mended() -> None:
    """Must-show 1: times are judged by intervals, so a short one is no mercy to a busy machine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.checks", "--interval", "2",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


async def test_targets_that_hang_and_refuse_delay_nobody_else() -> None:
    """Must-show 2 with 100 services, once a second."""
    seen = await many_checks.measure(services=100, targets=20, hanging=2, refusing=2, interval_s=1.0, intervals=6)
    assert (seen.wrong, seen.flaps) == ([], 0)
    assert seen.fell_s
    late = seen.early_or_late(0.25)  # a stall of the machine moves two runs of each service
    assert len(late) <= 0.25 * len(seen.gaps), late


def test_the_example_of_a_third_party() -> None:
    with daemon_process() as daemon:
        done = subprocess.run(
            [sys.executable, "examples/third_party.py", daemon.wait_ready()],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "registered: STARTING",
        "HEALTHY (CHECK_OK): PASSED",
        "UNHEALTHY (CHECK_FAILED): FAILED status 503, not 200 to 299",
        "HEALTHY (CHECK_OK): PASSED",
    ]
