"""Copies, replays, retries, storms, and watchers that do not read."""

import asyncio
import contextlib
import time
from typing import Any

import grpc.aio

from orion_registry.errors import Reason, RegistryError
from orion_registry_pb.v1 import errors_pb2
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e import watch_resume
from tests.e2e.fleet import CHANNEL_OPTIONS, secret_of
from tests.e2e.raw_stream import RawStream, error_of, look, refused, register, renewed, service, status_of
from tests.e2e.raw_watch import ALL
from tests.faults.memory import resident_mb
from tests.faults.observer import unhealthy
from tests.faults.row import Group
from tests.faults.stage import Daemon, Stage

GROUP = Group("protocol")
STATIC = sv.LIVENESS_MODE_STATIC
STUCK = 20
"""Watchers that do not read."""


@GROUP.row(
    "21",
    "two-copies",
    "the same agent twice: the newest epoch wins, the old stream ends ABORTED/SUPERSEDED, and its clean-up changes "
    "nothing",
)
async def two_copies(stage: Stage) -> None:
    daemon = await stage.daemon()
    for number in range(stage.repeats):
        agent_id = f"twice-{number}"
        one, other = await stage.stub(daemon.address), await stage.stub(daemon.address)
        ref = await register(one, service(agent_id))
        old, new = RawStream(one), RawStream(other)
        [first] = await old.hello(agent_id, ref)
        await old.beat()
        await old.frame("ack")
        [second] = await new.hello(agent_id, renewed(ref, first.epoch))
        t0 = time.monotonic()
        await new.beat()
        end = await old.end()
        stage.finding.sample("old stream ended", time.monotonic() - t0, 0.5)
        stage.finding.check(second.epoch > first.epoch, f"epochs {first.epoch}, {second.epoch}")
        superseded = end.error is not None and end.error.reason is Reason.SUPERSEDED
        stage.finding.check(superseded, f"the old stream ended with {end.error}")
        await asyncio.sleep(0.5)
        is_now = await status_of(other, ref.service_id)
        stage.finding.check(is_now == ("HEALTHY", "STREAM_OPEN"), f"afterwards the service is {is_now}")
    died = daemon.observer.since(0.0, "UNHEALTHY", "GONE")
    stage.finding.check(not died, f"a watcher was told {died[:1]}")


@GROUP.row(
    "22",
    "old-epoch",
    "requests of an older session (update, status, unregister, hello): FAILED_PRECONDITION/STALE_EPOCH, no effect",
)
async def old_epoch(stage: Stage) -> None:
    daemon = await stage.daemon()
    stub = await stage.stub(daemon.address)
    for number in range(stage.repeats):
        agent_id = f"old-{number}"
        ref = await register(stub, service(agent_id))
        stream = RawStream(stub)
        [result] = await stream.hello(agent_id, ref)
        await stream.beat()
        await stream.frame("ack")
        mine = renewed(ref, result.epoch)
        before = (await stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service
        mask = pb.UpdateServiceRequest(ref=ref, service=sv.ServiceInfo(tags=["new"]))
        mask.update_mask.paths.append("tags")
        stopping = pb.UpdateServiceStatusRequest(ref=ref, status=sv.SERVICE_STATUS_STOPPING)
        for request in (
            stub.UpdateService(mask),
            stub.UpdateServiceStatus(stopping),
            stub.UnregisterService(pb.UnregisterServiceRequest(ref=ref)),
        ):
            error = await refused(request)
            stage.finding.count("refused", 1)
            stage.finding.check(error.reason is Reason.STALE_EPOCH, f"answered with {error}")
        late = RawStream(stub)
        [answer] = await late.hello(agent_id, ref)
        stage.finding.check(answer.error.reason == errors_pb2.ERROR_REASON_STALE_EPOCH, f"hello answered with {answer}")
        late.drop()
        after = (await stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service
        same = (after.generation, list(after.tags), look(after)) == (before.generation, list(before.tags), look(before))
        stage.finding.check(same, f"the service became {after}")
        await stub.UnregisterService(pb.UnregisterServiceRequest(ref=mine))


@GROUP.row("23", "retried-register", "the same RegisterService 20 times at once: one record, one answer")
async def retried_register(stage: Stage) -> None:
    daemon = await stage.daemon()
    stub = await stage.stub(daemon.address)
    for number in range(stage.repeats):
        agent_id = f"again-{number}"
        request = pb.RegisterServiceRequest(
            service=service(agent_id, liveness=STATIC), secret=secret_of(agent_id), request_id=f"request-{number}"
        )
        answers = await asyncio.gather(*(stub.RegisterService(request) for _ in range(20)))
        said = {(one.service.service_id, one.service.epoch, one.created, one.revision) for one in answers}
        stage.finding.check(len(said) == 1, f"{len(said)} different answers: {said}")
        there = [info for info in await daemon.found() if info.agent_id == agent_id]
        stage.finding.check(len(there) == 1 and there[0].generation == 1, f"{len(there)} records: {there}")


@contextlib.asynccontextmanager
async def lean_channel(address: str) -> Any:
    """A connection whose client grants no more than it was asked for: nothing grows its window."""
    options = (*CHANNEL_OPTIONS, ("grpc.http2.bdp_probe", 0), ("grpc.max_receive_message_length", -1))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield RegistryServiceStub(channel)


async def change_all(stub: Any, refs: list[sv.SessionRef], number: int) -> None:
    """One change of each service, with a lot to say."""

    async def change(ref: sv.SessionRef) -> None:
        request = pb.UpdateServiceRequest(ref=ref, service=sv.ServiceInfo(version=f"1.0.{number}"))
        request.update_mask.paths.append("version")
        await stub.UpdateService(request)

    for first in range(0, len(refs), 50):
        await asyncio.gather(*(change(ref) for ref in refs[first : first + 50]))


@GROUP.row(
    "34",
    "stuck-watcher",
    "20 watchers that do not read: cut (RESOURCE_EXHAUSTED) after 5 s, at most 2 MB each, and others are told of a "
    "kill in under 100 ms meanwhile",
    repeats=1,
)
async def stuck_watcher(stage: Stage) -> None:
    daemon = await stage.daemon("--history-size", "100")  # the ring keeps changed services too: not what is measured
    stub = await stage.stub(daemon.address)
    refs = []
    for number in range(300):
        info = service(f"large-{number}", liveness=STATIC)
        info.metadata.update({"text": "x" * 8_000})
        refs.append(await register(stub, info))
    victims = [await stage.agents(daemon, 1, f"victim-{number}") for number in range(5)]
    for number in range(1, 8):  # what so many changes take without them
        await change_all(stub, refs, number)
    before = resident_mb(daemon.pid)
    async with contextlib.AsyncExitStack() as stack:
        calls = []
        for _ in range(STUCK):
            lean = await stack.enter_async_context(lean_channel(daemon.address))
            calls.append(lean.WatchServices(pb.WatchServicesRequest(selector=ALL)))
        began = time.monotonic()
        while time.monotonic() - began < 7.0:
            number += 1
            await change_all(stub, refs, number)
            if number % 3 == 0 and victims:
                victim = victims.pop()
                t0 = victim.kill()
                seen = await daemon.observer.until(victim.ids, unhealthy, t0, 5.0)
                stage.samples("kill seen", seen, t0, 0.1)
            stage.finding.counts["MB more"] = round(
                max(stage.finding.counts.get("MB more", 0.0), resident_mb(daemon.pid) - before), 1
            )
        stage.finding.count("changes", (number - 7) * len(refs))
        for call in calls:
            stage.finding.check(*await was_cut(call))
    more = stage.finding.counts["MB more"]
    stage.finding.check(more < 2.0 * STUCK, f"{more} MB more than before")


async def was_cut(call: Any) -> tuple[bool, str]:
    """Whether a watch that is read at last was cut long ago."""
    try:
        async with asyncio.timeout(5.0):
            while isinstance(await call.read(), pb.WatchServicesResponse):
                pass
    except grpc.aio.AioRpcError as failure:
        error: RegistryError = error_of(failure)
        return error.reason is Reason.QUEUE_FULL, f"the watch ended with {error}"
    except TimeoutError:
        return False, "the watch goes on"
    return False, "the watch ended without an error"


@GROUP.row(
    "35",
    "old-revision",
    "watchers resume at old, lost and foreign revisions: what they show is always what a fresh snapshot shows "
    "(tests.e2e.watch_resume)",
    repeats=5,
)
async def old_revision(stage: Stage) -> None:
    outcome = await watch_resume.run(1_000 * stage.repeats, 20 * stage.repeats, 100, 32, seed=stage.repeats)
    stage.finding.faults += outcome.faults
    stage.finding.count("cuts", outcome.cuts)
    stage.finding.count("resyncs", outcome.resyncs)
    stage.finding.count("equal", outcome.compared)


@GROUP.row(
    "36",
    "10000-watches",
    "one client asks for 10,000 watches: it has 256 (max_streams_per_connection); with all of them to be told of a "
    "kill, too, others are told in under 300 ms",
    repeats=1,
)
async def many_watches(stage: Stage) -> None:
    daemon = await stage.daemon()
    victims = [await stage.agents(daemon, 1, f"victim-{number}") for number in range(5)]
    asked = 3_000 if stage.ci else 10_000
    before = resident_mb(daemon.pid)
    async with lean_channel(daemon.address) as stub:
        calls = [stub.WatchServices(pb.WatchServicesRequest(selector=ALL)) for _ in range(asked)]
        reads = [asyncio.ensure_future(call.read()) for call in calls]
        await settled(reads)
        answered = sum(read.done() for read in reads)
        stage.finding.count("asked", asked)
        stage.finding.count("answered", answered)
        stage.finding.check(answered == 256, f"{answered} of {asked} watches were answered")
        stage.finding.count("MB more", round(resident_mb(daemon.pid) - before, 1))
        for victim in victims:
            t0 = victim.kill()
            seen = await daemon.observer.until(victim.ids, unhealthy, t0, 5.0)
            stage.samples("kill seen", seen, t0, 0.3)
            await asyncio.sleep(0.5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
    await asyncio.sleep(2.0)
    stage.finding.count("MB more after", round(resident_mb(daemon.pid) - before, 1))
    async with lean_channel(daemon.address) as stub:
        began = time.monotonic()
        await stub.DiscoverServices(pb.DiscoverServicesRequest(selector=ALL), timeout=5.0)
        stage.finding.sample("answer after", time.monotonic() - began, 1.0)


async def settled(reads: list["asyncio.Future[Any]"]) -> None:
    """Until no more of them are answered for a second."""
    last, at = -1, time.monotonic()
    while time.monotonic() - at < 1.0:
        done = sum(read.done() for read in reads)
        if done != last:
            last, at = done, time.monotonic()
        await asyncio.sleep(0.05)


@GROUP.row(
    "37",
    "storm",
    "10,000 registrations, then half of them unregistered, faster than --registration-rate (500/s): the rest is "
    "refused with RATE_LIMITED and RetryInfo, who waits gets through, and the registry holds exactly what was said",
    repeats=1,
)
async def storm(stage: Stage) -> None:
    rate, total = (200, 1_500) if stage.ci else (500, 10_000)
    daemon = await stage.daemon("--registration-rate", str(rate))
    stubs = [await stage.stub(daemon.address) for _ in range(4)]
    numbers = iter(range(total))
    model: dict[str, sv.SessionRef] = {}
    began = time.monotonic()

    async def lane(stub: Any) -> None:
        for number in numbers:
            info = service(f"storm-{number}", liveness=STATIC)
            ref = await patiently(stage, stub, info)
            model[ref.service_id] = ref

    await asyncio.gather(*(lane(stubs[number % 4]) for number in range(512)))
    took_s = time.monotonic() - began
    stage.finding.count("a second", round(total / took_s))
    most = rate + rate * took_s  # all that the bucket held, and what came in
    stage.finding.check(total <= most, f"{total} were let in, {most:.0f} at most should have been")
    leaving = [ref for number, ref in enumerate(model.values()) if number % 2]
    for first in range(0, len(leaving), 200):
        part = leaving[first : first + 200]
        await asyncio.gather(*(stubs[0].UnregisterService(pb.UnregisterServiceRequest(ref=ref)) for ref in part))
    for ref in leaving:
        del model[ref.service_id]
    there = {info.service_id for info in await daemon.found()}
    stage.finding.check(there == model.keys(), f"{len(there)} are registered, {len(model)} should be")
    refusals = int(stage.finding.counts.get("refused", 0))
    stage.finding.check(refusals > 0, "none was refused: the rate does not hold")
    await same_in_the_watch(stage, daemon, set(model))


async def patiently(stage: Stage, stub: Any, info: sv.ServiceInfo) -> sv.SessionRef:
    """Registers, as often as it takes, when it is told to."""
    for _ in range(100):
        try:
            return await register(stub, info)
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure)
            stage.finding.count("refused", 1)
            if error.reason is not Reason.RATE_LIMITED or error.retry_after_s is None:
                raise RuntimeError(f"refused with {error}, without RetryInfo or for another reason") from failure
            await asyncio.sleep(error.retry_after_s)
    raise RuntimeError(f"{info.agent_id} was refused 100 times")


async def same_in_the_watch(stage: Stage, daemon: Daemon, expected: set[str]) -> None:
    """A watcher shows the same."""
    try:
        await daemon.observer.watch.until(lambda: set(daemon.observer.watch.services) == expected, 10.0)
    except TimeoutError:
        stage.finding.check(False, f"a watcher shows {len(daemon.observer.watch.services)}, not {len(expected)}")
