"""Heartbeat sessions over real streams: who holds a service, and what it looks like meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest

from orion_registry.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Reason
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import errors_pb2, registry_pb2
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.raw_stream import RawStream, becomes, connected, refused, register, renewed, service, status_of
from tests.e2e.raw_watch import RawWatch

OTHER_SECRET = "another-secret-of-32-bytes-or-more"
HEARTBEAT = "/orion.registry.v1.RegistryService/Heartbeat"


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with running_daemon() as running:
        yield running


@pytest.fixture
async def stub(daemon: Daemon) -> AsyncIterator[Any]:
    async with connected(daemon.address) as connection:
        yield connection


@pytest.fixture
async def other(daemon: Daemon) -> AsyncIterator[Any]:
    """A second connection: a second copy of the agent."""
    async with connected(daemon.address) as connection:
        yield connection


# Newer sessions.


async def test_a_newer_session_closes_the_older_one(stub: Any, other: Any) -> None:
    """The first beat of the newer one decides; the older is told lost, then ends ABORTED/SUPERSEDED."""
    ref = await register(stub, service("a"))
    older, newer = RawStream(stub), RawStream(other)
    [first] = await older.hello("a", ref)
    await older.beat()
    await older.frame("ack")
    [second] = await newer.hello("a", renewed(ref, first.epoch))
    assert second.epoch > first.epoch
    assert second.previous_reason == sv.STATUS_REASON_CODE_STREAM_OPEN
    await newer.beat()
    end = await older.end()
    assert [frame.lost for frame in end.frames] == [
        hb.Lost(service_id=ref.service_id, reason=hb.LOST_REASON_SUPERSEDED)
    ]
    assert isinstance(end.error, Aborted)
    assert end.error.reason is Reason.SUPERSEDED
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "STREAM_OPEN")
    stale = registry_pb2.UpdateServiceStatusRequest(ref=renewed(ref, first.epoch), status=sv.SERVICE_STATUS_STOPPING)
    assert (await refused(stub.UpdateServiceStatus(stale))).reason is Reason.STALE_EPOCH


async def test_a_stream_that_loses_one_of_two_services_goes_on(stub: Any, other: Any) -> None:
    """Only a stream with nothing left on it ends."""
    one, two = await register(stub, service("a", "one")), await register(stub, service("a", "two"))
    older, newer = RawStream(stub), RawStream(other)
    await older.hello("a", one, two)
    [taken] = await newer.hello("a", one)
    await newer.beat()
    assert (await older.frame("lost")).lost.service_id == one.service_id
    await older.beat()
    await older.frame("ack")
    newer.drop()
    await becomes(stub, one.service_id, "UNHEALTHY", "DISCONNECTED")
    assert await status_of(stub, two.service_id) == ("HEALTHY", "STREAM_OPEN")
    assert taken.epoch > one.epoch


async def test_a_claim_without_the_secret_waits_for_the_end_or_takes_over(stub: Any, other: Any) -> None:
    """AGENT_IN_USE with RetryInfo while a session is live; takeover ends it; after its end the claim succeeds."""
    ref = await register(stub, service("a"))
    held = RawStream(stub)
    await held.hello("a", ref)
    error = await refused(register(other, service("a"), secret=OTHER_SECRET))
    assert isinstance(error, AlreadyExists)
    assert error.reason is Reason.AGENT_IN_USE
    assert error.retry_after_s is not None
    assert error.retry_after_s > 0
    taken = await register(other, service("a"), secret=OTHER_SECRET, takeover=True)
    end = await held.end()
    assert end.frames[-1].lost.reason == hb.LOST_REASON_SUPERSEDED
    assert isinstance(end.error, Aborted)
    assert taken.service_id == ref.service_id
    assert taken.epoch > ref.epoch
    old = RawStream(stub)
    [late] = await old.hello("a", ref)
    assert late.error.reason == errors_pb2.ERROR_REASON_WRONG_SECRET
    heir = RawStream(other)
    [result] = await heir.hello("a", taken)
    assert not result.HasField("error")
    heir.drop()
    await becomes(stub, ref.service_id, "UNHEALTHY", "DISCONNECTED")
    back = await register(stub, service("a"), secret=OTHER_SECRET[::-1])
    assert back.epoch > result.epoch


# Leaving.


async def test_goodbye_stopping_unregisters_and_ends_ok(stub: Any, other: Any) -> None:
    """Watchers see REMOVED/UNREGISTERED; the stream ends with OK."""
    ref = await register(stub, service("a"))
    watch = RawWatch(other)
    removals: list[int] = []
    stream = RawStream(stub)
    await stream.hello("a", ref)
    watch.open()
    await watch.until(lambda: ref.service_id in watch.services)
    watch.removed = lambda event: removals.append(event.removal)
    await stream.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_STOPPING))
    assert (await stream.end()).error is None
    await watch.until(lambda: not watch.services)
    assert removals == [registry_pb2.REMOVAL_REASON_UNREGISTERED]
    assert isinstance(
        await refused(stub.GetService(registry_pb2.GetServiceRequest(service_id=ref.service_id))), NotFound
    )
    await watch.cut()


async def test_goodbye_moving_gives_a_grace(stub: Any) -> None:
    """UNKNOWN(RECONNECT_GRACE), and the way back is open."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    [first] = await stream.hello("a", ref)
    await stream.beat()
    await stream.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_MOVING))
    assert (await stream.end()).error is None
    assert await status_of(stub, ref.service_id) == ("UNKNOWN", "RECONNECT_GRACE")
    again = RawStream(stub)
    [second] = await again.hello("a", renewed(ref, first.epoch))
    assert second.previous_reason == sv.STATUS_REASON_CODE_RECONNECT_GRACE
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "STREAM_OPEN")


@pytest.mark.parametrize("how", ["half close", "cancel", "connection"])
async def test_an_end_without_goodbye_is_a_crash(how: str, daemon: Daemon, stub: Any) -> None:
    """Half-close, cancel and a closed connection mean the same: UNHEALTHY(DISCONNECTED) at once."""
    ref = await register(stub, service("a"))
    async with connected(daemon.address) as mine:
        stream = RawStream(mine)
        await stream.hello("a", ref)
        match how:
            case "half close":
                await stream.half_close()
            case "cancel":
                stream.drop()
        if how != "connection":
            await becomes(stub, ref.service_id, "UNHEALTHY", "DISCONNECTED", within_s=1.0)
    await becomes(stub, ref.service_id, "UNHEALTHY", "DISCONNECTED", within_s=1.0)


# On the stream.


async def test_attach_and_detach(stub: Any) -> None:
    """Services come and go while the stream lives."""
    one, two = await register(stub, service("a", "one")), await register(stub, service("a", "two"))
    stream = RawStream(stub)
    await stream.hello("a", one)
    await stream.send(attach=hb.Attach(sessions=[hb.Session(ref=two, load=sv.Load(in_flight=3))]))
    [result] = (await stream.frame("sessions")).sessions.results
    assert result.epoch > two.epoch
    got = (await stub.GetService(pb.GetServiceRequest(service_id=two.service_id))).service
    assert got.ready
    assert got.load.in_flight == 3
    await stream.send(detach=hb.Detach(service_ids=[two.service_id, "nobody"]))
    await stream.beat()
    await stream.frame("ack")
    assert await status_of(stub, two.service_id) == ("STARTING", "AWAITING_BEAT")
    assert await status_of(stub, one.service_id) == ("HEALTHY", "STREAM_OPEN")


async def test_one_bad_session_is_refused_alone(stub: Any) -> None:
    """Wrong secret, another's service, no service: each result says so; the good one stands."""
    good, foreign = await register(stub, service("a", "good")), await register(stub, service("b", "foreign"))
    static = await register(stub, service("a", "static", liveness=sv.LIVENESS_MODE_STATIC))
    wrong = sv.SessionRef(service_id=good.service_id, epoch=good.epoch, secret=OTHER_SECRET)
    unknown = sv.SessionRef(service_id="nobody", epoch=1, secret=OTHER_SECRET)
    future = renewed(good, good.epoch + 100_000)
    stream = RawStream(stub)
    results = await stream.hello("a", wrong, foreign, static, unknown, future, good)
    assert [result.error.reason for result in results] == [
        errors_pb2.ERROR_REASON_WRONG_SECRET,
        errors_pb2.ERROR_REASON_NOT_OWNER,
        errors_pb2.ERROR_REASON_WRONG_MODE,
        errors_pb2.ERROR_REASON_NO_SUCH_SERVICE,
        errors_pb2.ERROR_REASON_BAD_FIELD,
        errors_pb2.ERROR_REASON_UNSPECIFIED,
    ]
    assert await status_of(stub, good.service_id) == ("HEALTHY", "STREAM_OPEN")
    assert await status_of(stub, foreign.service_id) == ("STARTING", "AWAITING_BEAT")


async def test_acks_are_thinned(stub: Any) -> None:
    """The first beat is acknowledged, then every 10th."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    await stream.hello("a", ref)
    for _ in range(25):
        await stream.beat()
    acks = [(await stream.frame("ack")).ack for _ in range(3)]
    assert [ack.seq for ack in acks] == [1, 11, 21]
    assert {(ack.interval.seconds, ack.timeout.seconds) for ack in acks} == {(1, 3)}


async def test_a_change_of_the_interval_is_told_with_the_next_beat() -> None:
    """More streams than the beat budget allows at 1 s: the next ack assigns a longer interval."""
    async with running_daemon(beat_budget=1) as daemon, connected(daemon.address) as stub:
        ref = await register(stub, service("a"))
        stream = RawStream(stub)
        await stream.hello("a", ref)
        await stream.beat()
        assert (await stream.frame("ack")).ack.interval.ToMilliseconds() == 1_000
        crowd = [RawStream(stub) for _ in range(2)]
        for number, each in enumerate(crowd):
            await each.hello(f"crowd-{number}")
        assert await stream.beat() == 2
        ack = (await stream.frame("ack")).ack
        assert (ack.seq, ack.interval.ToMilliseconds(), ack.timeout.ToMilliseconds()) == (2, 3_000, 9_000)
        for each in crowd:
            each.drop()


async def test_drain_reaches_the_agent_and_its_ack_comes_back(daemon: Daemon, stub: Any) -> None:
    """A command is pending until the command_ack with its nonce."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    await stream.hello("a", ref)
    assert daemon.coordinator.drain(ref.service_id, deadline_s=30.0) == 1
    command = (await stream.frame("command")).command
    assert command.HasField("drain")
    assert (list(command.service_ids), command.drain.deadline.seconds) == ([ref.service_id], 30)
    [session] = daemon.coordinator.registry.get(ref.service_id).streams
    assert session.pending_commands == {command.nonce}
    await stream.send(command_ack=hb.CommandAck(nonce=command.nonce))
    await stream.beat()
    await stream.frame("ack")
    assert session.pending_commands == set()


async def test_self_status_on_the_stream(stub: Any) -> None:
    """The latest writer wins; it makes things worse, never better; HEALTHY clears it, unset keeps it."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    [session] = await stream.hello("a", ref, self_status=sv.SERVICE_STATUS_STARTING)
    assert await status_of(stub, ref.service_id) == ("STARTING", "SELF_REPORTED")

    async def beat(status: sv.ServiceStatus.ValueType) -> tuple[str, str]:
        await stream.beat(hb.ServiceBeat(service_id=ref.service_id, self_status=status))
        await asyncio.sleep(0.05)
        return await status_of(stub, ref.service_id)

    assert await beat(sv.SERVICE_STATUS_UNSPECIFIED) == ("STARTING", "SELF_REPORTED")
    assert await beat(sv.SERVICE_STATUS_HEALTHY) == ("HEALTHY", "STREAM_OPEN")
    assert await beat(sv.SERVICE_STATUS_STOPPING) == ("STOPPING", "SELF_REPORTED")
    mine = renewed(ref, session.epoch)
    report = pb.UpdateServiceStatusRequest(ref=mine, status=sv.SERVICE_STATUS_UNHEALTHY)
    await stub.UpdateServiceStatus(report)
    assert await status_of(stub, ref.service_id) == ("UNHEALTHY", "SELF_REPORTED")


# What breaks the protocol.


@pytest.mark.parametrize(
    ("garbage", "after_hello"),
    [(b"\xff\xff\xff", False), (b"\xff\xff\xff", True), (b"\x0a\x05\x0a\x03\xff\xfe\xfd", True)],
    ids=["first frame", "after hello", "bad utf-8"],
)
async def test_a_garbage_frame_ends_the_stream(garbage: bytes, after_hello: bool, daemon: Daemon, stub: Any) -> None:
    """INVALID_ARGUMENT/BAD_FIELD, and the services are those of a broken stream."""
    ref = await register(stub, service("a"))
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        call: Any = channel.stream_stream(HEARTBEAT)()
        if after_hello:
            hello = hb.Hello(agent_id="a", sessions=[hb.Session(ref=ref)])
            await call.write(hb.HeartbeatRequest(hello=hello).SerializeToString())
            assert await call.read()
            assert await call.read()
        await call.write(garbage)
        error = await refused(call.read())
    assert isinstance(error, InvalidArgument)
    assert error.reason is Reason.BAD_FIELD
    expected = ("UNHEALTHY", "DISCONNECTED") if after_hello else ("STARTING", "AWAITING_BEAT")
    await becomes(stub, ref.service_id, *expected)


async def test_frames_out_of_place(stub: Any) -> None:
    """Anything before hello, and a second hello: FAILED_PRECONDITION/WRONG_MODE."""
    early = RawStream(stub)
    await early.beat()
    late = RawStream(stub)
    await late.hello("a")
    await late.send_hello("a")
    for stream in (early, late):
        error = (await stream.end()).error
        assert isinstance(error, FailedPrecondition)
        assert error.reason is Reason.WRONG_MODE


async def test_a_frame_beyond_its_limit_is_applied_not_at_all(stub: Any) -> None:
    """One bad figure among good ones: the stream ends INVALID_ARGUMENT and names the field."""
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    await stream.hello("a", ref)
    good = hb.ServiceBeat(service_id=ref.service_id, self_status=sv.SERVICE_STATUS_STOPPING)
    bad = hb.ServiceBeat(service_id=ref.service_id, load=sv.Load(in_flight=-1))
    await stream.beat(good, bad)
    error = (await stream.end()).error
    assert isinstance(error, InvalidArgument)
    assert "beat.services[1].load.in_flight" in error.message
    await becomes(stub, ref.service_id, "UNHEALTHY", "DISCONNECTED")
    got = (await stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service
    assert len(got.status_reasons) == 1
