"""Must-show 2: 1,000 services checked against 200 targets, of which 20 hang and 20 refuse.

Daemon, targets and this program are processes of their own. Healthy targets note when each service's check knocks. Exit
code 1 unless

  on time    999 of 1,000 gaps between two checks of a service on a healthy target are one interval, give or take 10 %
             and 50 ms (those of a daemon that stood still are not: it says how often it did)
  fallen     every service on another target is CHECK_FAILED within 3 intervals of its registration
  accuracy   no service on a healthy target ever was, and all of the others stay so: 100 %

The CPU share of the daemon is printed, once everything has settled.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from examples.demo.processes import Nursery
from orion_registry import CheckSpec, HttpProbe, LivenessMode, RegistryClient, Selector, ServiceSpec, ServiceStatus
from orion_registry.client.admin import AdminClient
from orion_registry.core.events import EventFilter, EventType, StatusChanged
from tests.e2e.fleet import raise_open_files_limit, start_daemon
from tests.probes.targets import refusing as refusing_port

AT_ONCE = 64
SLACK_S = 0.05
LATE_MOST = 0.001


@dataclass(slots=True)
class Seen:
    """What was seen. Spans in seconds; gaps in intervals."""

    interval_s: float
    gaps: list[float] = field(default_factory=list)
    fell_s: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    flaps: int = 0
    cpu: float = 0.0
    stats: str = ""

    def early_or_late(self, share: float = 0.1) -> list[float]:
        """Gaps that are not one interval, give or take this share of it."""
        slack = share + SLACK_S / self.interval_s
        return [gap for gap in self.gaps if not 1 - slack <= gap <= 1 + slack]


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, its children that ended left out."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100  # utime, stime: proc(5); USER_HZ is 100 on Linux


def spec(number: int, port: int, interval_s: float) -> ServiceSpec:
    """A service that is checked over HTTP, under a path of its own."""
    check = CheckSpec(
        name="web", probes=(HttpProbe(path=f"/{number}"),), interval_s=interval_s, timeout_s=min(1.0, interval_s / 4)
    )
    return ServiceSpec(
        agent_id=f"agent-{number:05d}",
        service_name="checked",
        host="127.0.0.1",
        port=port,
        liveness=LivenessMode.STATIC,
        checks=(check,),
    )


async def register_all(client: RegistryClient, specs: list[ServiceSpec]) -> dict[str, float]:
    """Registers services; returns when each was answered (wall clock), by agent_id."""
    gate = asyncio.Semaphore(AT_ONCE)
    at: dict[str, float] = {}

    async def one(each: ServiceSpec) -> None:
        async with gate:
            await client.register(each, timeout_s=60.0)
            at[each.agent_id] = time.time()

    await asyncio.gather(*map(one, specs))
    return at


async def changes(admin: AdminClient) -> list[tuple[float, StatusChanged]]:
    """All changes of status, with when."""
    wanted = EventFilter(types=frozenset({EventType.STATUS_CHANGED}))
    found: list[tuple[float, StatusChanged]] = []
    after = 0
    while True:
        page = await admin.list_events(wanted, after_seq=after, page_size=1_000)
        found += [(one.wall, one.event) for one in page.events if isinstance(one.event, StatusChanged)]
        after = page.after_seq
        if after >= page.last_seq:
            return found


async def measure(
    *, services: int, targets: int, hanging: int, refusing: int, interval_s: float, intervals: int
) -> Seen:
    """One run, so many intervals long after all are registered."""
    seen = Seen(interval_s)
    good = targets - hanging - refusing
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            knocked_at = await nursery.start_ready("targets", "-m", "tests.e2e.check_targets", str(good), str(hanging))
            address = await start_daemon(nursery)
            daemon = nursery.children[-1]
            bad = [*knocked_at.ready["hanging"], *(refusing_port() for _ in range(refusing))]
            ports = [*knocked_at.ready["good"], *bad]
            specs = [spec(number, ports[number % targets], interval_s) for number in range(services)]
            doomed = {each.agent_id for each in specs if each.port in bad}
            async with RegistryClient(address) as client, AdminClient(address) as admin:
                at = await register_all(client, specs)
                await asyncio.sleep(3 * interval_s)
                began, used = time.monotonic(), cpu_s(daemon.pid)
                await asyncio.sleep((intervals - 3) * interval_s)
                seen.cpu = (cpu_s(daemon.pid) - used) / (time.monotonic() - began)
                await judge(seen, client, admin, at, doomed)
            into = Path(directory) / "asked.json"
            knocked_at.write_json({"into": str(into)})
            await knocked_at.read_json(30.0)
            asked = json.loads(into.read_text())
    note_gaps(seen, asked, expected=services - len(doomed))
    return seen


async def judge(seen: Seen, client: RegistryClient, admin: AdminClient, at: dict[str, float], doomed: set[str]) -> None:
    """Who fell when, who fell for no reason, and who did not fall."""
    falls: Counter[str] = Counter()
    for wall, change in await changes(admin):
        falls[change.agent_id] += 1
        if change.after is ServiceStatus.UNHEALTHY and change.agent_id in doomed:
            seen.fell_s.append(wall - at[change.agent_id])
    seen.flaps = sum(count for agent, count in falls.items() if agent not in doomed)
    seen.flaps += sum(count - 1 for agent, count in falls.items() if agent in doomed)

    found = await client.discover(Selector(include_not_ready=True))
    for service in found.services:
        expected = ServiceStatus.UNHEALTHY if service.agent_id in doomed else ServiceStatus.HEALTHY
        if service.status is not expected:
            seen.wrong.append(f"{service.agent_id} is {service.status.name}, not {expected.name}")
    stats = await client.health_stats()
    total = stats.total
    seen.stats = f"{total.runs:,} runs: {total.passed:,} passed, {total.failed:,} failed, {stats.stale} stale now"
    info = await admin.server_info()
    seen.stats += f"; the daemon stood still {info.stalls} times, {info.credited_s:.2f} s in all"
    seen.stats += f"; it could not look {total.unavailable} times"
    if total.denied:
        seen.wrong.append(f"{total.denied} runs were denied")


def note_gaps(seen: Seen, asked: dict[str, list[float]], *, expected: int) -> None:
    """Gaps at the targets. Connections that brought no request are checks that a busy machine cut short."""
    asked.pop("", None)
    if len(asked) != expected:
        seen.wrong.append(f"{len(asked)} services were checked on healthy targets, not {expected}")
    for times in asked.values():
        seen.gaps += [(after - before) / seen.interval_s for before, after in pairwise(times)]


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("services", 1_000), ("targets", 200), ("hanging", 20), ("refusing", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two runs (10)")
    parser.add_argument("--intervals", type=int, default=12, help="how long it takes, in intervals (12)")
    options: Any = parser.parse_args()
    raise_open_files_limit()
    seen = asyncio.run(
        measure(
            services=options.services,
            targets=options.targets,
            hanging=options.hanging,
            refusing=options.refusing,
            interval_s=options.interval,
            intervals=options.intervals,
        )
    )
    return tell(seen, options)


def tell(seen: Seen, options: Any) -> int:
    """Prints what was seen; returns the exit code."""
    late = seen.early_or_late()
    limit_s = 3 * options.interval
    bad = f"{options.hanging} hang, {options.refusing} refuse"
    print(f"{options.services:,} services, {options.targets} targets ({bad}), every {options.interval:g} s")
    print(f"runs        {seen.stats}")
    print(
        f"gaps        {len(seen.gaps):,}: median {median(seen.gaps):.3f} intervals, {min(seen.gaps):.3f} to "
        f"{max(seen.gaps):.3f}; {len(late)} off by more than 10 %"
    )
    print(
        f"fallen      {len(seen.fell_s)}: median {median(seen.fell_s):.1f} s after registration, last "
        f"{max(seen.fell_s):.1f} s (limit {limit_s:g} s)"
    )
    right = options.services - len(seen.wrong)
    print(f"accuracy    {100 * right / options.services:.2f} %, {seen.flaps} changes that should not be")
    print(f"CPU         {100 * seen.cpu:.1f} % of one core, the daemon's")
    for line in seen.wrong[:10]:
        print(f"  {line}")
    failed = bool(len(late) > LATE_MOST * len(seen.gaps) or seen.wrong or seen.flaps or max(seen.fell_s) > limit_s)
    print("FAILED" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
