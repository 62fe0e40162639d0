"""A heartbeat stream frame by frame, with generated stubs alone: for what a well-behaved SDK would never do."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc.aio

from orion_registry.errors import RegistryError
from orion_registry.wire.status import DETAILS_KEY, error_from_status
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e.fleet import CHANNEL_OPTIONS, secret_of

FRAME_S = 5.0
"""How long one frame may take."""


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Any]:
    """A stub on a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
        yield RegistryServiceStub(channel)


def error_of(failure: grpc.aio.AioRpcError) -> RegistryError:
    """The error in a failed call's trailers."""
    details = dict(failure.trailing_metadata() or ()).get(DETAILS_KEY, b"")
    assert isinstance(details, bytes)
    return error_from_status(failure.code().value[0], failure.details() or "", details)


async def refused(awaitable: Any) -> RegistryError:
    """The error that a call is refused with."""
    try:
        answer = await awaitable
    except grpc.aio.AioRpcError as failure:
        return error_of(failure)
    raise AssertionError(f"not refused: {answer}")


def service(agent_id: str, name: str = "work", **fields: Any) -> sv.ServiceInfo:
    """A service to register."""
    return sv.ServiceInfo(agent_id=agent_id, service_name=name, port=7000, **fields)


async def register(stub: Any, info: sv.ServiceInfo, *, secret: str = "", **fields: Any) -> sv.SessionRef:
    """Registers; returns the right to act for the service."""
    secret = secret or secret_of(info.agent_id)
    answer = await stub.RegisterService(pb.RegisterServiceRequest(service=info, secret=secret, **fields))
    return sv.SessionRef(service_id=answer.service.service_id, epoch=answer.service.epoch, secret=secret)


def renewed(ref: sv.SessionRef, epoch: int) -> sv.SessionRef:
    """The same right with another epoch."""
    return sv.SessionRef(service_id=ref.service_id, epoch=epoch, secret=ref.secret)


@dataclass(frozen=True, slots=True)
class End:
    """How a stream ended; error None is OK."""

    frames: list[hb.HeartbeatResponse]
    error: RegistryError | None


class RawStream:
    """One Heartbeat call."""

    def __init__(self, stub: Any) -> None:
        self._call = stub.Heartbeat()
        self._seq = 0

    async def send(self, **frame: Any) -> None:
        """Writes one frame, such as `beat=...`."""
        await self._call.write(hb.HeartbeatRequest(**frame))

    async def hello(self, agent_id: str, *refs: sv.SessionRef, **fields: Any) -> list[hb.SessionResult]:
        """Says hello; returns the results."""
        await self.send_hello(agent_id, *refs, **fields)
        assert (await self.frame("welcome")).welcome.interval.seconds >= 1
        return list((await self.frame("sessions")).sessions.results)

    async def send_hello(self, agent_id: str, *refs: sv.SessionRef, **fields: Any) -> None:
        """Says hello and reads no answer."""
        await self.send(hello=hb.Hello(agent_id=agent_id, sessions=[hb.Session(ref=ref, **fields) for ref in refs]))

    async def beat(self, *news: hb.ServiceBeat) -> int:
        """Beats; returns its seq."""
        self._seq += 1
        await self.send(beat=hb.Beat(seq=self._seq, services=news))
        return self._seq

    async def frame(self, kind: str) -> hb.HeartbeatResponse:
        """The next frame, which must be of this kind."""
        async with asyncio.timeout(FRAME_S):
            frame = await self._call.read()
        assert isinstance(frame, hb.HeartbeatResponse), f"the stream ended, {kind} was due"
        assert frame.WhichOneof("frame") == kind, f"{kind} was due, got {frame}"
        return frame

    async def end(self) -> End:
        """All frames up to the end, and the end."""
        frames: list[hb.HeartbeatResponse] = []
        try:
            async with asyncio.timeout(FRAME_S):
                while isinstance(frame := await self._call.read(), hb.HeartbeatResponse):
                    frames.append(frame)
                code = await self._call.code()
            assert code is grpc.StatusCode.OK
        except grpc.aio.AioRpcError as failure:
            return End(frames, error_of(failure))
        return End(frames, None)

    async def half_close(self) -> None:
        """Says that nothing more will be sent."""
        await self._call.done_writing()

    async def leave(self) -> None:
        """Says goodbye and reads to the end."""
        await self.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_STOPPING))
        await self.end()

    def drop(self) -> None:
        """Cancels the call: on the server this looks like any other end without goodbye."""
        self._call.cancel()


async def status_of(stub: Any, service_id: str) -> tuple[str, str]:
    """Status and worst reason of a service, short."""
    info = (await stub.GetService(pb.GetServiceRequest(service_id=service_id))).service
    return look(info)


def look(info: sv.ServiceInfo) -> tuple[str, str]:
    """Status and worst reason, short."""
    status = sv.ServiceStatus.Name(info.status).removeprefix("SERVICE_STATUS_")
    return status, sv.StatusReasonCode.Name(info.status_reasons[0].code).removeprefix("STATUS_REASON_CODE_")


async def becomes(stub: Any, service_id: str, status: str, reason: str, within_s: float = 3.0) -> None:
    """Waits until a service has this status for this reason."""
    deadline = time.monotonic() + within_s
    while (got := await status_of(stub, service_id)) != (status, reason):
        assert time.monotonic() < deadline, f"{service_id} should be {(status, reason)} by now, is {got}"
        await asyncio.sleep(0.01)
