"""The demo, step by step. Each function is one step; what it promises, it checks."""

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any

from examples.demo.caller import Caller, CallRecord, Timeline, Traffic
from examples.demo.processes import Child, Nursery, free_port
from examples.demo.report import Report
from examples.demo.skills import PROFILES
from orion_registry.client.client import RegistryClient
from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.core.model import RemovalReason, ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import Unavailable
from orion_registry.wire.service import Service

EVERYTHING = Selector(tags=("demo",), include_not_ready=True)
VICTIM = "abacus"
LEAVER = "scribe"
LATE_S = 0.1
"""No call may start at a dead agent later than this after the kill."""


@dataclass(kw_only=True)
class Stage:
    """What the steps share."""

    report: Report
    nursery: Nursery
    client: RegistryClient
    caller: Caller
    port: int
    agents: dict[str, Child] = field(default_factory=dict)

    async def start_agent(self, agent_id: str) -> Child:
        address = f"127.0.0.1:{self.port}"
        child = await self.nursery.start_ready(agent_id, "-m", "examples.demo.agents", agent_id, address)
        self.agents[agent_id] = child
        return child


async def tell(report: Report, nursery: Nursery) -> None:
    """Runs all steps; raises what goes wrong."""
    port = free_port()
    async with RegistryClient(f"127.0.0.1:{port}") as client:
        stage = Stage(report=report, nursery=nursery, client=client, caller=Caller(client), port=port)
        try:
            await _start_daemon(stage)
            async with client.watch(EVERYTHING) as watch:
                timeline = Timeline(watch)
                try:
                    await _start_agents(stage, timeline)
                    await _discover_and_call(stage)
                    async with Traffic(stage.caller, "math.add", [1, 2, 3], rate=100.0) as traffic:
                        before = await _kill(stage, timeline, traffic)
                        await _bring_back(stage, timeline, traffic, before)
                    await _say_goodbye(stage, timeline)
                finally:
                    await timeline.close()
        finally:
            await stage.caller.close()
    await _take_down(stage)


async def _start_daemon(stage: Stage) -> None:
    stage.report.step("The registry starts, as a process of its own")
    began = time.monotonic()
    daemon = await stage.nursery.start_daemon(stage.port)
    while True:
        try:
            await stage.client.discover(timeout_s=1.0)
            break
        except Unavailable as error:
            if daemon.exit_code is not None or time.monotonic() - began > 10.0:
                raise RuntimeError(f"the daemon does not answer: {error.message}") from error
            await asyncio.sleep(0.05)
    ms = (time.monotonic() - began) * 1000
    stage.report.check(
        daemon.exit_code is None,
        f"pid {daemon.pid} answers on 127.0.0.1:{stage.port} after {ms:.0f} ms",
        daemon_pid=daemon.pid,
        port=stage.port,
        ready_ms=round(ms),
    )


async def _start_agents(stage: Stage, timeline: Timeline) -> None:
    stage.report.step("Five agents start, each serving a gRPC service of its own; they register and beat")
    await asyncio.gather(*(stage.start_agent(agent_id) for agent_id in PROFILES))
    for agent_id, child in stage.agents.items():
        _, event = await timeline.first(_is_healthy(agent_id, pid=child.pid))
        service = _service(event)
        stage.report.check(
            service.ready,
            f"{agent_id:<11} pid {child.pid:<7} HEALTHY  epoch {service.epoch:<4} {', '.join(service.capabilities)}",
            **{agent_id: {"pid": child.pid, "service_id": service.service_id, "epoch": service.epoch}},
        )


async def _discover_and_call(stage: Stage) -> None:
    stage.report.step("A caller discovers by capability and tags, and calls what it finds")
    questions: list[tuple[str, tuple[str, ...], list[Any], Any]] = [
        ("math.add", ("exact",), [1, 2, 3], 6.0),
        ("math.add", ("quick",), [0.1, 0.2], 0.30000000000000004),
        ("stats.median", ("numbers",), [3, 1, 2], 2),
        ("text.reverse", ("words",), ["orion"], "noiro"),
        ("calendar.weekday", ("dates",), ["2026-01-01"], "Thursday"),
    ]
    for capability, tags, arguments, expected in questions:
        record = await stage.caller.call(capability, arguments, tags)
        answer = record.answer or {"result": record.error, "agent": "nobody", "pid": 0}
        stage.report.check(
            record.is_true and answer["result"] == expected,
            f"{capability}{tuple(arguments)} + tag {tags[0]} -> {answer['agent']} (pid {answer['pid']}): "
            f"{answer['result']}",
        )
    both = await stage.client.discover(Selector(capabilities=("math.add",)))
    names = sorted(service.agent_id for service in both.services)
    stage.report.check(names == ["abacus", "slide-rule"], f"math.add is offered by both {' and '.join(names)}")
    none = await stage.client.discover(Selector(capabilities=("math.add",), tags=("words",)))
    stage.report.check(not none.services, "math.add with tag words: nobody, and no error")


async def _kill(stage: Stage, timeline: Timeline, traffic: Traffic) -> Service:
    stage.report.step(f"{VICTIM} is killed with SIGKILL while it is being called 100 times a second")
    await asyncio.sleep(0.6)
    victim = stage.agents[VICTIM]
    answered = {record.answer["agent"] for record in traffic.records if record.answer}
    stage.report.check(answered == {"abacus", "slide-rule"}, f"{len(traffic.records)} calls so far, answered by both")
    t0 = time.monotonic()
    victim.kill()
    seen, event = await timeline.first(_is_unhealthy(VICTIM), after=t0)
    ms = (seen - t0) * 1000
    service = _service(event)
    reasons = ", ".join(reason.code.name for reason in service.reasons)
    stage.report.check(
        ms < 100.0, f"the watcher saw it UNHEALTHY({reasons}) {ms:.1f} ms after the kill", unhealthy_ms=round(ms, 2)
    )
    await asyncio.sleep(1.0)
    late = _late_calls(traffic.records, service.port, t0)
    since = [record for record in traffic.records if record.started > t0 + LATE_S]
    failed = sum(record.answer is None for record in traffic.records if record.started >= t0 - 2.0)
    stage.report.check(
        not late,
        f"{len(since)} calls started later than {LATE_S * 1000:.0f} ms after the kill: {len(late)} went to its port "
        f"({failed} calls failed at the moment of the kill)",
        calls_after=len(since),
        late_calls=len(late),
        failed_calls=failed,
    )
    stage.report.check(
        bool(since) and all(record.is_true and record.pid == stage.agents["slide-rule"].pid for record in since),
        "all of them were answered by slide-rule, by its pid",
    )
    return service


async def _bring_back(stage: Stage, timeline: Timeline, traffic: Traffic, before: Service) -> None:
    stage.report.step(f"{VICTIM} is started again")
    began = time.monotonic()
    child = await stage.start_agent(VICTIM)
    seen, event = await timeline.first(_is_healthy(VICTIM, pid=child.pid), after=began)
    service = _service(event)
    stage.report.check(
        service.agent_id == before.agent_id and service.service_id == before.service_id,
        f"HEALTHY again {seen - began:.2f} s after the start; same agent_id, same service_id {service.service_id}",
        healthy_s=round(seen - began, 3),
    )
    stage.report.check(
        service.epoch > before.epoch,
        f"its epoch rose from {before.epoch} to {service.epoch}",
        epoch_before=before.epoch,
        epoch_after=service.epoch,
    )
    await asyncio.sleep(0.3)
    answered = sum(record.is_true and record.pid == child.pid for record in traffic.records)
    stage.report.check(answered > 0, f"it answers calls again: {answered} by the new pid {child.pid}")
    lies = [record for record in traffic.records if record.answer is not None and not record.is_true]
    stage.report.check(not lies and not traffic.unserved, f"all {len(traffic.records)} calls went where they should")


async def _say_goodbye(stage: Stage, timeline: Timeline) -> None:
    stage.report.step(f"{LEAVER} is stopped with SIGTERM and says goodbye")
    began = time.monotonic()
    code = await stage.agents[LEAVER].stop()
    seen, event = await timeline.first(
        lambda event: event.kind is WatchKind.REMOVED and _service(event).agent_id == LEAVER, after=began
    )
    stage.report.check(
        event.removal is RemovalReason.UNREGISTERED,
        f"the watcher saw it REMOVED({event.removal.name if event.removal else '?'}) "
        f"{(seen - began) * 1000:.0f} ms after the signal",
        removed_ms=round((seen - began) * 1000, 1),
    )
    stage.report.check(code == 0, f"it exited with {code}")
    left = await stage.client.discover(EVERYTHING)
    stage.report.check(len(left.services) == 4, f"{len(left.services)} services are left")


async def _take_down(stage: Stage) -> None:
    stage.report.step("Everything is taken down")
    await stage.nursery.stop_all()
    children = stage.nursery.children
    killed = [child for child in children if child.exit_code == -signal.SIGKILL]
    stage.report.check(
        len(killed) == 1 and all(child.exit_code == 0 for child in children if child not in killed),
        "all exited with 0, but for the one that was killed",
        exit_codes={f"{child.name} {child.pid}": child.exit_code for child in children},
    )
    left = [child.name for child in children if _is_running(child.pid)]
    stage.report.check(not left, f"{len(children)} processes were started, {len(left)} are left {left or ''}".rstrip())


def _late_calls(records: list[CallRecord], port: int, t0: float) -> list[CallRecord]:
    return [record for record in records if record.port == port and record.started > t0 + LATE_S]


def _service(event: WatchEvent) -> Service:
    assert event.service is not None
    return event.service


def _is_healthy(agent_id: str, pid: int) -> Any:
    return lambda event: (
        event.service is not None
        and event.service.agent_id == agent_id
        and event.service.status is ServiceStatus.HEALTHY
        and event.service.metadata.get("pid") == pid
    )


def _is_unhealthy(agent_id: str) -> Any:
    return lambda event: (
        event.service is not None
        and event.service.agent_id == agent_id
        and event.service.status is ServiceStatus.UNHEALTHY
    )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
