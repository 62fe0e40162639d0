"""Must-show 10, second half: whatever comes late or gets lost, the record is untouched and the agent is back."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from orion_registry.core.sessions import HeartbeatSession
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import errors_pb2
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.raw_stream import RawStream, connected, register, renewed, service, status_of
from tests.e2e.raw_watch import RawWatch


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with running_daemon(probation_s=0.0) as running:  # agents are cut again and again, on purpose
        yield running


class Copies:
    """Connections, one for each copy of the agent, and what a watcher was told of its service."""

    def __init__(self, daemon: Daemon, stack: AsyncExitStack) -> None:
        self._daemon = daemon
        self._stack = stack
        self.told: list[sv.ServiceStatus.ValueType] = []

    async def stub(self) -> Any:
        """A connection more."""
        return await self._stack.enter_async_context(connected(self._daemon.address))

    async def watch(self, service_id: str) -> None:
        """From now on keeps what a watcher is told of the service's status."""
        watch = RawWatch(await self.stub())
        watch.seen = lambda info, _: self.told.append(info.status) if info.service_id == service_id else None
        watch.open()
        self._stack.push_async_callback(watch.cut)
        await watch.bookmarked.wait()


@pytest.fixture
async def copies(daemon: Daemon) -> AsyncIterator[Copies]:
    async with AsyncExitStack() as stack:
        yield Copies(daemon, stack)


async def held_by(daemon: Daemon, stub: Any, ref: sv.SessionRef, epoch: int) -> None:
    """The service is healthy, and the holder of this epoch acts for it."""
    assert await status_of(stub, ref.service_id) == ("HEALTHY", "STREAM_OPEN")
    assert daemon.coordinator.registry.get(ref.service_id).used_epoch == epoch
    report = pb.UpdateServiceStatusRequest(ref=renewed(ref, epoch))
    assert (await stub.UpdateServiceStatus(report)).service.ready


@pytest.mark.parametrize("beaten", [False, True], ids=["hello", "hello and beat"])
async def test_clean_up_delayed_past_a_new_hello(beaten: bool, daemon: Daemon, copies: Copies) -> None:
    """The old handler notices its end only after the agent is back: nobody is told anything."""
    coordinator = daemon.coordinator
    close, withheld = coordinator.close_stream, list[HeartbeatSession]()
    old, new = await copies.stub(), await copies.stub()
    ref = await register(old, service("a"))
    before = RawStream(old)
    [first] = await before.hello("a", ref)
    await before.beat()
    await before.frame("ack")
    coordinator.close_stream = withheld.append  # type: ignore[method-assign,assignment]
    before.drop()
    after = RawStream(new)
    [second] = await after.hello("a", renewed(ref, first.epoch))
    await copies.watch(ref.service_id)
    if beaten:
        await after.beat()
        await after.frame("ack")
    coordinator.close_stream = close  # type: ignore[method-assign]
    assert withheld, "the old handler has not ended yet"
    for session in withheld:
        close(session)
    if not beaten:
        await after.beat()
        await after.frame("ack")
    await held_by(daemon, new, ref, second.epoch)
    assert set(copies.told) == {sv.SERVICE_STATUS_HEALTHY}


async def test_an_old_hello_delayed_past_the_first_beat_is_stale(daemon: Daemon, copies: Copies) -> None:
    """It was sent before the agent reconnected, and arrives after: STALE_EPOCH, and the newer session goes on."""
    old, new = await copies.stub(), await copies.stub()
    ref = await register(old, service("a"))
    current, delayed = RawStream(new), RawStream(old)
    [session] = await current.hello("a", ref)
    await current.beat()
    await current.frame("ack")
    await copies.watch(ref.service_id)
    [late] = await delayed.hello("a", ref)
    assert late.error.reason == errors_pb2.ERROR_REASON_STALE_EPOCH
    delayed.drop()
    await held_by(daemon, new, ref, session.epoch)
    assert set(copies.told) == {sv.SERVICE_STATUS_HEALTHY}


async def test_an_old_hello_delayed_until_before_the_first_beat(daemon: Daemon, copies: Copies) -> None:
    """It is accepted, but nobody is left to use what it is given: the living one beats, and is not fenced off."""
    old, new = await copies.stub(), await copies.stub()
    ref = await register(old, service("a"))
    current, ghost = RawStream(new), RawStream(old)
    [session] = await current.hello("a", ref)
    [given] = await ghost.hello("a", ref)
    assert given.epoch > session.epoch
    await copies.watch(ref.service_id)
    await current.beat()
    await current.frame("ack")
    await held_by(daemon, new, ref, session.epoch)
    ghost.drop()
    [third] = await RawStream(await copies.stub()).hello("a", renewed(ref, session.epoch))
    assert third.epoch > given.epoch
    assert await status_of(new, ref.service_id) == ("HEALTHY", "STREAM_OPEN")
    assert set(copies.told) == {sv.SERVICE_STATUS_HEALTHY}


@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_welcome_locks_nobody_out(times: int, daemon: Daemon, copies: Copies) -> None:
    """An agent that never reads its welcome comes back with the epoch that it knows, as often as it takes."""
    stub = await copies.stub()
    ref = await register(stub, service("a"))
    first = RawStream(stub)
    [known] = await first.hello("a", ref)
    await first.beat()
    await first.frame("ack")
    first.drop()
    mine = renewed(ref, known.epoch)
    for _ in range(times):
        lost = RawStream(await copies.stub())
        await lost.send_hello("a", mine)
        while daemon.coordinator.registry.get(ref.service_id).epoch == known.epoch:
            await status_of(stub, ref.service_id)  # until it has arrived
        lost.drop()
    back = RawStream(await copies.stub())
    [session] = await back.hello("a", mine)
    assert session.epoch > known.epoch
    await back.beat()
    await back.frame("ack")
    await held_by(daemon, stub, ref, session.epoch)
    assert (await stub.GetService(pb.GetServiceRequest(service_id=ref.service_id))).service.generation == 1


async def test_a_lost_answer_to_a_registration(daemon: Daemon, copies: Copies) -> None:
    """Registered twice with the secret, because the first answer got lost: the session goes on."""
    stub = await copies.stub()
    ref = await register(stub, service("a"))
    stream = RawStream(stub)
    [session] = await stream.hello("a", ref)
    await stream.beat()
    await stream.frame("ack")
    again = await register(await copies.stub(), service("a"))
    assert again.epoch == session.epoch
    await held_by(daemon, stub, ref, session.epoch)
