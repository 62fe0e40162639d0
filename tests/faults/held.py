"""Thousands of agents, each on a connection of its own, held by one registry on one machine.

Agents are lean (tests.e2e.fleet --reconnect): one raw stream each, with the SDK's back-off, and the patience that the
registry asks for. They are spread over several processes. Measured: the interval that is assigned, the registry's CPU
and memory, and how long after a kill -9 of the registry all are back.
"""

import asyncio
import resource
import signal
import time
from collections import Counter

from orion_registry_pb.v1.service_pb2 import ServiceInfo
from tests.e2e.fleet import Fleet, daemon_address
from tests.e2e.raw_stream import RawStream, look, register, service
from tests.e2e.restart import Host, cpu_s, returns
from tests.faults.memory import resident_mb
from tests.faults.stage import Stage

EACH = 2_500
"""Agents of one process."""
SPARE_FILES = 512
"""Of a process's open files, for what is no agent: the registry keeps 256 of them back itself."""


async def play(stage: Stage, *, agents: int, watch_s: float, back_s: float) -> None:
    """Holds so many for a while, kills the registry, and waits until all are back.

    Args:
        stage: where.
        agents: how many; fewer if the limit on open files allows no more, which is said.
        watch_s: how long to measure the registry at rest.
        back_s: how soon all must be HEALTHY again after the kill.
    """
    finding = stage.finding
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    fits = agents if files == resource.RLIM_INFINITY else min(agents, files - SPARE_FILES)
    if fits < agents:
        finding.notes.append(f"only {fits} agents: {files} open files are allowed")
    host = Host(stage.nursery, stage.directory, "--admission-rate", "500")  # the default: part of what is measured
    await host.start()
    await daemon_address(host.daemon)
    empty_mb = resident_mb(host.daemon.pid)
    began = time.monotonic()
    for first in range(0, fits - 1, EACH):
        count = str(first)
        size = min(EACH, fits - 1 - first)  # the last one is the newcomer, who asks what is assigned
        await Fleet.start(stage.nursery, f"fleet-{count}", host.address, size, "--prefix", f"f{count}", "--reconnect")
    finding.sample("all registered and HEALTHY in", time.monotonic() - began)
    stub = await stage.stub(host.address)
    await asyncio.sleep(15.0 if fits > 2_000 else 3.0)  # the interval widens step by step
    finding.count("agents", fits)
    finding.count("interval assigned s", await interval_s(stub))
    await at_rest(stage, host, fits, watch_s, empty_mb)
    await restarted(stage, host, stub, fits - 1, back_s)


async def at_rest(stage: Stage, host: Host, agents: int, seconds: float, empty_mb: float) -> None:
    """What it costs to hold them, and that nobody falls out."""
    finding, dead = stage.finding, Counter[str]()
    watch = await stage.raw_watch(host.address)

    def seen(info: ServiceInfo, _: float) -> None:
        status, reason = look(info)
        if status == "UNHEALTHY":
            dead[reason] += 1

    watch.seen = seen
    used, since = cpu_s(host.daemon.pid), time.monotonic()
    await asyncio.sleep(seconds)
    finding.count("CPU %", round(100.0 * (cpu_s(host.daemon.pid) - used) / (time.monotonic() - since), 1))
    finding.count("kB an agent", round((resident_mb(host.daemon.pid) - empty_mb) * 1024 / agents, 1))
    finding.count("false deaths", sum(dead.values()))
    finding.check(not dead, f"declared dead while nothing happened: {dict(dead)}")
    finding.check(not watch.ended, "the watcher was cut off while nothing happened")
    await watch.cut()


async def interval_s(stub: object) -> float:
    """What a newcomer is told."""
    ref = await register(stub, service("newcomer"))
    stream = RawStream(stub)
    await stream.send_hello("newcomer", ref)
    interval: float = (await stream.frame("welcome")).welcome.interval.ToTimedelta().total_seconds()
    await stream.leave()
    return interval


async def restarted(stage: Stage, host: Host, stub: object, agents: int, back_s: float) -> None:
    """kill -9 under all of them."""
    watch = await stage.raw_watch(host.address)
    result = await returns(host, stub, watch, agents, signal.SIGKILL, patience_s=max(60.0, 2 * back_s))
    stage.finding.sample("half back", result.half_s)
    stage.finding.sample("all back", result.all_s, back_s)
    stage.finding.count("CPU s until all were back", round(result.cpu_s, 1))
    stage.finding.count("HEALTHY", result.back)
    stage.finding.faults += result.faults
