"""The heartbeat stream's pump: how streams begin, carry mail from outside, and end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.core.frames import GoAway, GoAwayReason
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import Aborted, Reason
from orion_registry.server.methods import REGISTRY_METHODS
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2
from orion_registry_pb.v1.service_pb2 import Load, ServiceStatus
from tests.server.serving import OWN_CONNECTION, Served, raw, read, served_registry, until
from tests.server.test_server_wrapper import typed

HEARTBEAT = next(method for method in REGISTRY_METHODS if method.name == "Heartbeat")
BEAT = hb.HeartbeatRequest(beat=hb.Beat(seq=1))
UNHEALTHY, HEALTHY = ServiceStatus.SERVICE_STATUS_UNHEALTHY, ServiceStatus.SERVICE_STATUS_HEALTHY


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with served_registry() as registry:
        yield registry


async def end_of(call: Any) -> tuple[list[Any], grpc.aio.AioRpcError | None]:
    """The frames that still come, and the error that ends the stream."""
    frames = []
    try:
        async with asyncio.timeout(5):
            while (message := await call.read()) is not grpc.aio.EOF:
                frames.append(message)
    except grpc.aio.AioRpcError as error:
        return frames, error
    return frames, None


async def status_of(served: Served, ref: service_pb2.SessionRef) -> int:
    return (await served.stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service.status


def sessions_of(served: Served) -> list[HeartbeatSession]:
    return list(served.coordinator.streams)


async def test_hello_beat_goodbye(served: Served) -> None:
    """The plain life of a stream: welcome, sessions, ack; STOPPING unregisters and ends it with OK."""
    ref = await served.register()
    call = await served.heartbeat(ref)
    assert await status_of(served, ref) == HEALTHY
    beat = hb.Beat(seq=7, services=[hb.ServiceBeat(service_id=ref.service_id, load=Load(in_flight=3))])
    await call.write(hb.HeartbeatRequest(beat=beat))
    ack = (await read(call)).ack
    assert (ack.seq, ack.interval.seconds) == (7, 1)
    got = await served.stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))
    assert got.service.load.in_flight == 3
    assert got.service.HasField("last_heartbeat")
    await call.write(hb.HeartbeatRequest(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_STOPPING)))
    assert (await end_of(call))[1] is None
    assert await call.code() is grpc.StatusCode.OK
    assert len(served.coordinator.registry) == 0
    assert sessions_of(served) == []


@pytest.mark.parametrize("how", ["half-close", "cancel", "connection"])
async def test_end_without_goodbye(served: Served, how: str) -> None:
    """However a stream ends, without a goodbye its services are UNHEALTHY at once."""
    ref = await served.register()
    async with grpc.aio.insecure_channel(served.address, options=OWN_CONNECTION) as channel:
        other = Served(served.coordinator, served.address, type(served.stub)(channel), channel)
        call = await other.heartbeat(ref)
        if how == "half-close":
            await call.done_writing()
            assert (await end_of(call))[1] is None
        elif how == "cancel":
            call.cancel()
    await until(lambda: not sessions_of(served))
    assert await status_of(served, ref) == UNHEALTHY


async def test_superseded(served: Served) -> None:
    """A newer session takes over: the old stream is told at once while it waits in read, and ends ABORTED."""
    ref = await served.register()
    old = await served.heartbeat(ref)
    new = await served.heartbeat(ref)
    await new.write(BEAT)
    frames, error = await end_of(old)
    assert [frame.lost.reason for frame in frames] == [hb.LOST_REASON_SUPERSEDED]
    assert (type(typed(error)), typed(error).reason) == (Aborted, Reason.SUPERSEDED)
    assert await status_of(served, ref) == HEALTHY
    assert len(sessions_of(served)) == 1
    new.cancel()


async def test_lost_while_others_stay(served: Served) -> None:
    """Mail from outside arrives while the agent says nothing; the stream goes on for its other services."""
    one, two = await served.register(service_name="one"), await served.register(service_name="two")
    call = await served.heartbeat(one, two)
    await served.stub.UnregisterService(pb.UnregisterServiceRequest(ref=one))
    async with asyncio.timeout(1):
        lost = (await read(call)).lost
    assert (lost.service_id, lost.reason) == (one.service_id, hb.LOST_REASON_UNREGISTERED)
    await call.write(BEAT)
    assert (await read(call)).ack.seq == 1
    call.cancel()


async def test_command(served: Served) -> None:
    """A drain command arrives, and its acknowledgement."""
    ref = await served.register()
    call = await served.heartbeat(ref)
    assert served.coordinator.drain(ref.service_id, 5.0) == 1
    command = (await read(call)).command
    assert command.drain.deadline.seconds == 5
    await call.write(hb.HeartbeatRequest(command_ack=hb.CommandAck(nonce=command.nonce)))
    (session,) = sessions_of(served)
    await until(lambda: not session.pending_commands)
    call.cancel()


async def test_stop(served: Served) -> None:
    """At the registry's end every stream gets go_away, then UNAVAILABLE/NOT_SERVING with a delay."""
    calls = []
    for index in range(20):
        ref = await served.register(agent_id=f"agent-{index}")
        calls.append(await served.heartbeat(ref, agent_id=f"agent-{index}"))
    await served.coordinator.stop()
    for call in calls:
        frames, error = await end_of(call)
        assert [frame.WhichOneof("frame") for frame in frames] == ["go_away"]
        assert typed(error).reason is Reason.NOT_SERVING
        assert typed(error).retry_after_s is not None


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.ABORTED])
async def test_end_from_outside(served: Served, code: grpc.StatusCode) -> None:
    """The registry may end a stream at any time with any status, OK too; last words come first."""
    call = await served.heartbeat(await served.register())
    (session,) = sessions_of(served)
    session.go_away(GoAway(reason=GoAwayReason.REBALANCE, reconnect_after_s=0.5))
    session.finish(None if code is grpc.StatusCode.OK else Aborted(Reason.SUPERSEDED, "x"))
    frames, _ = await end_of(call)
    assert [frame.WhichOneof("frame") for frame in frames] == ["go_away"]
    assert await call.code() is code
    await until(lambda: not sessions_of(served))


REFUSED = [
    (BEAT, grpc.StatusCode.FAILED_PRECONDITION, Reason.WRONG_MODE),
    (hb.HeartbeatRequest(), grpc.StatusCode.INVALID_ARGUMENT, Reason.BAD_FIELD),
    (hb.HeartbeatRequest(hello=hb.Hello(agent_id="a b")), grpc.StatusCode.INVALID_ARGUMENT, Reason.BAD_FIELD),
    (
        hb.HeartbeatRequest(hello=hb.Hello(agent_id="a", instance_id="x" * 129)),
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.BAD_FIELD,
    ),
    (
        hb.HeartbeatRequest(hello=hb.Hello(agent_id="a", sessions=[hb.Session()] * 1001)),
        grpc.StatusCode.INVALID_ARGUMENT,
        Reason.BAD_FIELD,
    ),
]


@pytest.mark.parametrize(("frame", "code", "reason"), REFUSED, ids=range(len(REFUSED)))
async def test_refused_first_frame(
    served: Served, frame: hb.HeartbeatRequest, code: grpc.StatusCode, reason: Reason
) -> None:
    """A frame that breaks the protocol or a limit ends the stream with its status."""
    call = served.stub.Heartbeat()
    await call.write(frame)
    _, error = await end_of(call)
    assert typed(error).reason is reason
    assert await call.code() is code
    await until(lambda: not sessions_of(served))


@pytest.mark.parametrize("load", [Load(utilization=float("nan")), Load(named={"x": float("inf")}), Load(in_flight=-1)])
async def test_refused_beat(served: Served, load: Load) -> None:
    """A beat beyond a limit too; the message names the field."""
    ref = await served.register()
    call = await served.heartbeat(ref)
    beat = hb.Beat(services=[hb.ServiceBeat(service_id=ref.service_id, load=load)])
    await call.write(hb.HeartbeatRequest(beat=beat))
    _, error = await end_of(call)
    assert typed(error).reason is Reason.BAD_FIELD
    assert "load" in typed(error).message


async def test_garbage_in_the_middle(served: Served) -> None:
    """A garbage frame after good ones ends the stream with INVALID_ARGUMENT."""
    ref = await served.register()
    session = hb.Session(ref=ref)
    hello = hb.HeartbeatRequest(hello=hb.Hello(agent_id="agent", sessions=[session])).SerializeToString()
    call = raw(served.channel, HEARTBEAT)()
    for data in (hello, BEAT.SerializeToString(), b"\xff"):
        await call.write(data)
    frames, error = await end_of(call)
    assert len(frames) == 3
    assert typed(error).reason is Reason.BAD_FIELD
    assert await status_of(served, ref) == UNHEALTHY


async def test_fault_of_ours(served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception while a frame is taken ends the stream INTERNAL, logged once; its session is closed."""
    call = await served.heartbeat(await served.register())

    def broken(*_: Any) -> None:
        raise RuntimeError("secret text")

    monkeypatch.setattr(type(served.coordinator), "beat", broken)
    # The pump of the running stream holds the method already: a new one meets the fault.
    call.cancel()
    other = await served.heartbeat(await served.register(agent_id="other"), agent_id="other")
    await other.write(BEAT)
    _, error = await end_of(other)
    assert error is not None
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(error.details())
    assert [record.msg for record in caplog.records if record.levelno >= logging.ERROR] == ["handler failed"]
    await until(lambda: not sessions_of(served))


async def test_agent_that_does_not_read(served: Served) -> None:
    """Acks pile up nowhere: while they cannot be sent no further frame is read. Its end is not held up for ever."""
    ref = await served.register()
    call = raw(served.channel, HEARTBEAT)()
    hello = hb.HeartbeatRequest(hello=hb.Hello(agent_id="agent", sessions=[hb.Session(ref=ref)]))
    await call.write(hello.SerializeToString())
    # Each attach is answered; nobody reads the answers.
    attach = hb.HeartbeatRequest(attach=hb.Attach(sessions=[hb.Session(ref=ref)] * 500)).SerializeToString()

    async def flood() -> None:
        while True:
            await call.write(attach)

    flooding = asyncio.create_task(flood())
    await until(lambda: sessions_of(served))
    (session,) = sessions_of(served)
    longest, still, before = 0, 0, -1
    async with asyncio.timeout(20):
        while still < 30:  # until nothing moves any more
            await asyncio.sleep(0.01)
            longest = max(longest, len(session.outbox))
            moved = next(iter(session.services.values())).epoch if session.services else 0
            still = still + 1 if moved == before else 0
            before = moved
    assert longest <= 4
    session.finish(Aborted(Reason.SUPERSEDED, "x"))
    await until(lambda: not sessions_of(served))
    flooding.cancel()
    call.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_many_ends_leave_nothing_behind(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """After streams that ended in every way, no task and no session is left."""
    before = len(asyncio.all_tasks())
    for index in range(40):
        calls = [await served.heartbeat(agent_id=f"agent-{index}-{number}") for number in range(8)]
        for number, call in enumerate(calls):
            match number % 4:
                case 0:
                    call.cancel()
                case 1:
                    await call.done_writing()
                case 2:
                    await call.write(hb.HeartbeatRequest(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_MOVING)))
                case 3:
                    await call.write(hb.HeartbeatRequest())
        for call in calls:
            if not call.cancelled():
                await end_of(call)
    await until(lambda: not sessions_of(served))
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
