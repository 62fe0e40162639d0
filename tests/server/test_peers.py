"""Calls to another member that goes while they are open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from orion_registry.core.membership import Member
from orion_registry.errors import ERROR_DOMAIN, Unavailable
from orion_registry.server.cluster_methods import CLUSTER_SERVICE
from orion_registry.server.peers import AllPeers, Load
from orion_registry.wire.status import DETAILS_KEY
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

Context = grpc.aio.ServicerContext[pb.HandOverRequest, pb.HandOverResponse]


@asynccontextmanager
async def hanging() -> AsyncIterator[Member]:
    """A member that takes connections and says nothing."""
    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield Member(name="m2", life="2" * 32, addresses=(f"{host}:{port}",))
    finally:
        server.close()
        for writer in writers:
            writer.close()


@asynccontextmanager
async def knowing(member: Member, load: Load = lambda *_: None) -> AsyncIterator[AllPeers]:
    peers = AllPeers("1" * 32, None, load)
    peers.know([member])
    try:
        yield peers
    finally:
        await peers.close()


@asynccontextmanager
async def serving(name: str, handler: "grpc.RpcMethodHandler[Any, Any]") -> AsyncIterator[Member]:
    """A member that has one method, and no more."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(CLUSTER_SERVICE, {name: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Member(name="m2", life="2" * 32, addresses=(f"127.0.0.1:{port}",))
    finally:
        await server.stop(None)


@asynccontextmanager
async def telling() -> AsyncIterator[Member]:
    """A member that tells how many streams it has, and no more."""

    async def watch_load(_request: pb.WatchLoadRequest, _context: object) -> AsyncIterator[pb.WatchLoadResponse]:
        yield pb.WatchLoadResponse(streams=7)
        await asyncio.Event().wait()

    handler = grpc.unary_stream_rpc_method_handler(
        watch_load, pb.WatchLoadRequest.FromString, pb.WatchLoadResponse.SerializeToString
    )
    async with serving("WatchLoad", handler) as member:
        yield member


async def test_what_cannot_be_taken_in_once_is_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    faults = [RuntimeError("of a test"), ValueError("of a test")]

    def load(_member: Member, _answer: pb.WatchLoadResponse) -> None:
        if faults:
            raise faults.pop()

    async with telling() as member, knowing(member, load) as peers:
        async with asyncio.timeout(10.0):
            while faults or not peers.reachable(member.life):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        assert peers.streams == {member.life: 7}
    told = [record for record in caplog.records if record.message == "what a member tells could not be taken in"]
    assert len(told) == 1, "once for faults in a row"


async def test_a_call_to_a_member_that_is_lost_meanwhile_says_that_it_is_gone() -> None:
    async with hanging() as member, knowing(member) as peers:
        asked = asyncio.create_task(peers.hand_over(member, ["calc"]))
        await asyncio.sleep(0.05)
        assert not asked.done()
        peers.know(())
        assert await asked is None


async def test_a_call_whose_link_is_renewed_may_be_made_again() -> None:
    async with hanging() as member, knowing(member) as peers:
        asked = asyncio.create_task(peers.hand_over(member, ["calc"]))
        await asyncio.sleep(0.05)
        peers.know([replace(member, addresses=("127.0.0.1:1",))])
        with pytest.raises(Unavailable, match="was renewed") as cut:
            await asked
        assert cut.value.retry_after_s


async def test_who_is_cancelled_while_asking_is_cancelled() -> None:
    async with hanging() as member, knowing(member) as peers:
        asked = asyncio.create_task(peers.hand_over(member, ["calc"]))
        await asyncio.sleep(0.05)
        asked.cancel()
        peers.know(())
        with pytest.raises(asyncio.CancelledError):
            await asked


@pytest.mark.parametrize(("reason", "gone"), [("NOT_SERVING", True), ("NEWER_THAN_THIS", False)])
async def test_a_refusal_that_is_newer_than_this_member_does_not_mean_that_the_other_is_gone(
    reason: str, gone: bool
) -> None:
    """It may be granting still: nothing of it may be taken for granted."""
    details = [any_pb2.Any()]
    details[0].Pack(ErrorInfo(reason=reason, domain=ERROR_DOMAIN))
    status = Status(code=14, message="not now", details=details)

    async def refuse(_request: pb.HandOverRequest, context: Context) -> pb.HandOverResponse:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not now", ((DETAILS_KEY, status.SerializeToString()),))

    handler = grpc.unary_unary_rpc_method_handler(
        refuse, pb.HandOverRequest.FromString, pb.HandOverResponse.SerializeToString
    )
    async with serving("HandOver", handler) as member, knowing(member) as peers:
        if gone:
            assert await peers.hand_over(member, ["calc"]) is None
        else:
            with pytest.raises(Unavailable, match="not now"):
                await peers.hand_over(member, ["calc"])
