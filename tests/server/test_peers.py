"""Calls to another member that goes while they are open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orion_registry.core.membership import Member
from orion_registry.server.peers import AllPeers


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
async def knowing(member: Member) -> AsyncIterator[AllPeers]:
    peers = AllPeers("1" * 32, None, lambda *_: None)
    peers.know([member])
    try:
        yield peers
    finally:
        await peers.close()


async def test_a_call_to_a_member_that_is_lost_meanwhile_says_that_it_is_gone() -> None:
    async with hanging() as member, knowing(member) as peers:
        asked = asyncio.create_task(peers.hand_over(member, ["calc"]))
        await asyncio.sleep(0.05)
        assert not asked.done()
        peers.know(())
        assert await asked is None


async def test_who_is_cancelled_while_asking_is_cancelled() -> None:
    async with hanging() as member, knowing(member) as peers:
        asked = asyncio.create_task(peers.hand_over(member, ["calc"]))
        await asyncio.sleep(0.05)
        asked.cancel()
        peers.know(())
        with pytest.raises(asyncio.CancelledError):
            await asked
