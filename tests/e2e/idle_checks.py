"""What 5,000 checks at 30 s cost: the CPU share of the daemon, by kind. The budget is 10 % of one core.

For each kind in turn a daemon of its own, services with 5,000 checks of 100 healthy targets in another process, and,
once every check has run, the CPU seconds of the daemon for so many intervals. Exit code 1 if a share is above --limit,
or a check did not pass.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from examples.demo.processes import Nursery
from orion_registry import CheckSpec, HttpProbe, LivenessMode, RegistryClient, ServiceSpec, TcpProbe
from orion_registry.core.checks.spec import Probe
from tests.e2e.fleet import raise_open_files_limit, start_daemon
from tests.e2e.many_checks import cpu_s, register_all

TARGETS = 100
SETTLE_S = 70.0
"""5,000 registrations, the first runs within 5 s (100 a tick), and the second ones, so that they are spread."""

KINDS: dict[str, Callable[[], Probe]] = {"tcp": TcpProbe, "http": HttpProbe}


async def measure(kind: str, checks: int, interval_s: float, intervals: int) -> tuple[float, str]:
    """CPU share of the daemon, and what is wrong."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            targets = await nursery.start_ready("targets", "-m", "tests.e2e.check_targets", str(TARGETS), "0")
            address = await start_daemon(nursery)
            daemon = nursery.children[-1]
            check = CheckSpec(name=kind, probes=(KINDS[kind](),), interval_s=interval_s)
            specs = [
                ServiceSpec(
                    agent_id=f"agent-{number:05d}",
                    service_name="checked",
                    host="127.0.0.1",
                    port=targets.ready["good"][number % TARGETS],
                    liveness=LivenessMode.STATIC,
                    checks=(check,),
                )
                for number in range(checks)
            ]
            async with RegistryClient(address) as client:
                await register_all(client, specs)
                await asyncio.sleep(SETTLE_S)
                began, used, runs = time.monotonic(), cpu_s(daemon.pid), (await client.health_stats()).total.runs
                await asyncio.sleep(intervals * interval_s)
                spent, past = cpu_s(daemon.pid) - used, time.monotonic() - began
                stats = await client.health_stats()
    made = stats.total.runs - runs
    print(
        f"{kind:<5} {checks:,} checks every {interval_s:g} s: {100 * spent / past:.1f} % of one core; "
        f"{made:,} runs in {past:.0f} s, {1e6 * spent / max(made, 1):.0f} us each"
    )
    wrong = ""
    if stats.passing != checks or stats.stale or stats.total.failed:
        wrong = f"{stats.passing:,} pass, {stats.stale:,} are stale, {stats.total.failed:,} runs failed"
    return spent / past, wrong


def main() -> int:
    """All kinds in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=("tcp", "http"), help="only this one (tcp and http)")
    parser.add_argument("--checks", type=int, default=5_000)
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between two runs (30)")
    parser.add_argument("--intervals", type=int, default=3, help="how long to measure, in intervals (3)")
    parser.add_argument("--limit", type=float, default=0.1, help="CPU share (0.1)")
    options = parser.parse_args()
    raise_open_files_limit()
    failed = False
    for kind in options.kind or ("tcp", "http"):
        share, wrong = asyncio.run(measure(kind, options.checks, options.interval, options.intervals))
        failed = failed or share > options.limit or bool(wrong)
        if wrong:
            print(f"  {wrong}")
    print("FAILED" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
