"""A registry that misbehaves on the heartbeat stream: the session gives the stream up in time and tries again."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import Unreachable
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.core.model import Load, ServiceSpec
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb

pytestmark = pytest.mark.timeout(30)
SPEC = ServiceSpec(agent_id="a-1", service_name="s", service_id="x")
QUICK = SessionOptions(handshake_timeout_s=0.4, write_timeout_s=0.4, goodbye_timeout_s=0.3, start_timeout_s=10.0)
SERVICE = "/orion.registry.v1.RegistryService/"

Behaviour = Callable[[Any, int], Awaitable[None]]
"""What the fake does with one Heartbeat call: (context, number of the call from 1)."""


class FakeRegistry(grpc.GenericRpcHandler):
    """Answers RegisterService and UnregisterService; Heartbeat does as it is told."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self.streams: list[float] = []

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        async def register(data: bytes, _context: Any) -> bytes:
            answer = pb.RegisterServiceResponse(service=pb.RegisterServiceRequest.FromString(data).service)
            answer.service.epoch = 1
            return answer.SerializeToString()

        async def unregister(_data: bytes, _context: Any) -> bytes:
            return b""

        async def heartbeat(_requests: Any, context: Any) -> None:
            self.streams.append(time.monotonic())
            await self._behaviour(context, len(self.streams))

        match details.method.removeprefix(SERVICE):
            case "RegisterService":
                return grpc.unary_unary_rpc_method_handler(register)
            case "UnregisterService":
                return grpc.unary_unary_rpc_method_handler(unregister)
            case "Heartbeat":
                return grpc.stream_stream_rpc_method_handler(heartbeat)
        return None


@asynccontextmanager
async def fake(behaviour: Behaviour) -> AsyncIterator[tuple[FakeRegistry, RegistryClient]]:
    handler = FakeRegistry(behaviour)
    server = grpc.aio.server(handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with RegistryClient(f"127.0.0.1:{port}") as client:
        yield handler, client
    await server.stop(None)


async def accept(context: Any, epoch: int) -> None:
    """Answers hello without reading it."""
    welcome = hb.Welcome()
    welcome.interval.FromMilliseconds(50)
    welcome.timeout.FromMilliseconds(150)
    await context.write(hb.HeartbeatResponse(welcome=welcome).SerializeToString())
    results = [hb.SessionResult(service_id="x", epoch=epoch)]
    await context.write(hb.HeartbeatResponse(sessions=hb.Sessions(results=results)).SerializeToString())


async def serve(context: Any, epoch: int) -> list[hb.HeartbeatRequest]:
    """Serves well, to the end; returns the frames."""
    frames: list[hb.HeartbeatRequest] = []
    await accept(context, epoch)
    while (data := await context.read()) is not grpc.aio.EOF:
        frames.append(hb.HeartbeatRequest.FromString(data))
        if frames[-1].HasField("goodbye"):
            break
    return frames


async def test_a_registry_that_never_answers_hello_is_given_up_and_tried_again() -> None:
    async def mute_at_first(context: Any, number: int) -> None:
        if number < 3:
            await asyncio.sleep(5)
        await serve(context, number)

    async with fake(mute_at_first) as (registry, client), client.session("a-1", [SPEC], QUICK) as session:
        assert session.connection_state is ConnectionState.CONNECTED
        assert len(registry.streams) == 3
        assert isinstance(session.last_error, Unreachable)
        assert "did not answer hello" in session.last_error.message


async def test_a_registry_that_reads_nothing_does_not_hold_up_beats_for_ever() -> None:
    async def deaf_at_first(context: Any, number: int) -> None:
        if number == 1:
            await accept(context, number)
            await asyncio.sleep(20)
        await serve(context, number)

    async with fake(deaf_at_first) as (registry, client), client.session("a-1", [SPEC], QUICK) as session:
        bulky = Load(named={f"{number:02}".ljust(128, "x"): 1.0 for number in range(16)})
        async with asyncio.timeout(15):
            while len(registry.streams) == 1:
                session.set_load(bulky)
                if session._supervisor.stream is not None:
                    session._supervisor.stream.beat_now()  # fills the windows: 2 kB a beat
                await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            await session.wait_for(ConnectionState.CONNECTED)
        assert "write was blocked" in str(session.last_error)


async def test_an_accepted_stream_that_is_cut_at_once_is_not_tried_at_full_speed() -> None:
    async def cut(context: Any, number: int) -> None:
        await accept(context, number)

    async with fake(cut) as (registry, client), client.session("a-1", [SPEC], QUICK):
        await asyncio.sleep(3.0)
        assert len(registry.streams) <= 14, "0.1 + 0.2 + 0.4 + 0.8 + 1.6 s of windows, halved on average"


async def test_go_away_is_obeyed() -> None:
    async def send_away(context: Any, number: int) -> None:
        if number > 1:
            await serve(context, number)
            return
        await accept(context, number)
        go_away = hb.GoAway(reason=hb.GO_AWAY_REASON_SHUTDOWN)
        go_away.reconnect_after.FromMilliseconds(600)
        await context.write(hb.HeartbeatResponse(go_away=go_away).SerializeToString())
        await asyncio.sleep(0.05)

    async with fake(send_away) as (registry, client), client.session("a-1", [SPEC], QUICK) as session:
        await session.wait_for(ConnectionState.RECONNECTING)
        async with asyncio.timeout(5):
            await session.wait_for(ConnectionState.CONNECTED)
        waited = registry.streams[1] - registry.streams[0]
        assert 0.6 <= waited <= 1.6


async def test_beats_come_at_the_assigned_pace_and_carry_rising_numbers() -> None:
    seen: list[hb.HeartbeatRequest] = []

    async def well(context: Any, number: int) -> None:
        seen.extend(await serve(context, number))

    async with fake(well) as (_, client), client.session("a-1", [SPEC], QUICK):
        await asyncio.sleep(1.05)
    kinds = [frame.WhichOneof("frame") for frame in seen]
    assert kinds[0] == "hello"
    assert kinds[-1] == "goodbye"
    beats = [frame.beat for frame in seen if frame.HasField("beat")]
    assert [beat.seq for beat in beats] == list(range(1, len(beats) + 1))
    assert 15 <= len(beats) <= 23, "one at once, then every 50 ms"
    assert seen[0].hello.sessions[0].ref.epoch == 1
    assert not any(beat.services for beat in beats), "nothing new, nothing said"
