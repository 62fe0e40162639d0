"""Selections through the client: released with their outcome, kept over broken streams, and never leaked."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any

import pytest

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.failures import NoAnswerInTime, Unreachable
from orion_registry.core.model import LivenessMode, ServiceSpec, ServiceStatus, StatusReasonCode
from orion_registry.core.selection.performance import Outcome, Performance
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, Reason, ResourceExhausted, Unavailable
from orion_registry.server.daemon import Daemon
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import balancer_pb2 as pb

pytestmark = pytest.mark.timeout(30)
CALC = Selector(service_name="calc")


def static(agent_id: str, **fields: Any) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="calc", liveness=LivenessMode.STATIC, **fields)


@pytest.fixture
async def balancer(daemon: Daemon) -> AsyncIterator[BalancerClient]:
    async with BalancerClient(daemon.address, caller="ann", zone="z1", timeout_s=3.0) as connected:
        yield connected


async def add(client: RegistryClient, agent_id: str, **fields: Any) -> str:
    return (await client.register(static(agent_id, **fields))).ref.service_id


async def until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


def open_leases(daemon: Daemon) -> int:
    return daemon.coordinator.registry.balancing.stats.leases_open


def performance(daemon: Daemon, service_id: str) -> Performance:
    return daemon.coordinator.registry.balancing.slots_of(service_id).performance


def cut_streams(daemon: Daemon) -> None:
    """Ends every Route stream on the daemon's side, as a network does that resets the connection."""
    for route in list(daemon.coordinator.selections._routes.values()):
        route.stop()


async def test_a_block_holds_a_slot_and_its_end_is_the_outcome(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    service_id = await add(client, "a", port=7000, max_concurrency=1)
    async with balancer.select(CALC) as selection:
        assert (selection.service.service_id, selection.service.port, selection.holds) == (service_id, 7000, True)
        assert [lease.caller for lease in daemon.coordinator.registry.balancing.open_leases()] == ["/ann"]
        assert balancer.held == (selection,)
        with pytest.raises(ResourceExhausted) as full:
            await balancer.acquire(CALC)
        assert full.value.reason is Reason.NO_FREE_SLOT
        await asyncio.sleep(0.02)
    assert not selection.holds
    await until(lambda: open_leases(daemon) == 0)
    seen = performance(daemon, service_id)
    assert (seen.succeeded, seen.failed) == (1, 0)
    assert 0.02 <= seen.times.average_s < 1


@pytest.mark.parametrize(
    ("error", "said", "counts"),
    [
        (ValueError(), None, (0, 1)),
        (TimeoutError(), None, (0, 1)),
        (asyncio.CancelledError(), None, (0, 0)),
        (ValueError(), Outcome.SUCCEEDED, (1, 0)),
        (None, Outcome.FAILED, (0, 1)),
        (None, Outcome.UNKNOWN, (0, 0)),
    ],
)
async def test_how_a_block_ends_is_told(
    daemon: Daemon,
    client: RegistryClient,
    balancer: BalancerClient,
    error: BaseException | None,
    said: Outcome | None,
    counts: tuple[int, int],
) -> None:
    service_id = await add(client, "a")
    with pytest.raises(type(error)) if error is not None else nullcontext():
        async with balancer.select(CALC) as selection:
            selection.outcome = said
            if error is not None:
                raise error
    await until(lambda: open_leases(daemon) == 0)
    seen = performance(daemon, service_id)
    assert (seen.succeeded, seen.failed) == counts


async def test_what_is_asked_for_reaches_the_registry(client: RegistryClient, balancer: BalancerClient) -> None:
    near, far = await add(client, "a", zone="z1"), await add(client, "b", zone="z2")
    assert {(await balancer.acquire(CALC)).service.service_id for _ in range(4)} == {near}
    assert (await balancer.acquire(CALC, exclude=(near,))).service.service_id == far
    chosen = {(await balancer.acquire(CALC, affinity_key="k")).service.service_id for _ in range(4)}
    assert len(chosen) == 1
    assert (await balancer.acquire(CALC, ttl_s=3600.0, strategy=StrategyName.RANDOM)).ttl_s == 3600
    with pytest.raises(InvalidArgument, match="lease_ttl"):
        await balancer.acquire(CALC, ttl_s=3601.0)
    with pytest.raises(NotFound) as nobody:
        await balancer.acquire(Selector(service_name="nothing"))
    assert nobody.value.reason is Reason.NO_MATCH
    with pytest.raises(InvalidArgument, match="tuple"):
        await balancer.acquire(Selector(tags="gpu"))  # type: ignore[arg-type]


async def test_degraded_ones_must_be_asked_for(client: RegistryClient, balancer: BalancerClient) -> None:
    await add(client, "a")
    only = await add(client, "b")
    for _ in range(5):
        await balancer.report(only, Outcome.FAILED, 0.01)
    assert {(await balancer.acquire(CALC)).service.agent_id for _ in range(6)} == {"a"}
    with pytest.raises(Unavailable) as out:
        await balancer.acquire(Selector(service_name="calc", agent_id="b"))
    assert out.value.reason is Reason.NO_READY_SERVICE
    got = await balancer.acquire(Selector(service_name="calc", agent_id="b"), allow_degraded=True)
    assert got.service.service_id == only
    with pytest.raises(NotFound):
        await balancer.report("nobody", Outcome.FAILED, 0.01)


async def test_a_release_by_hand_is_answered(daemon: Daemon, client: RegistryClient, balancer: BalancerClient) -> None:
    service_id = await add(client, "a")
    selection = await balancer.acquire(CALC)
    await balancer.release(selection, Outcome.SUCCEEDED, 0.5)
    assert open_leases(daemon) == 0
    assert performance(daemon, service_id).times.average_s == 0.5
    with pytest.raises(NotFound) as again:
        await balancer.release(selection)
    assert again.value.reason is Reason.NO_SUCH_LEASE


async def test_a_wait_gets_the_slot_that_frees(client: RegistryClient, balancer: BalancerClient) -> None:
    await add(client, "a", max_concurrency=1)
    first = await balancer.acquire(CALC)
    waits = asyncio.create_task(balancer.acquire(CALC, wait_s=10.0))
    await asyncio.sleep(0.05)
    assert not waits.done()
    await balancer.release(first)
    assert (await waits).service.agent_id == "a"
    with pytest.raises(ResourceExhausted):
        await balancer.acquire(CALC, wait_s=0.1)


@pytest.mark.parametrize("wait_s", [-1.0, math.inf, math.nan, 3601.0])
async def test_waiting_ends(balancer: BalancerClient, wait_s: float) -> None:
    with pytest.raises(InvalidArgument, match=f"wait_s: must be 0 to 3,600 seconds, got {wait_s:,}"):
        await balancer.acquire(CALC, wait_s=wait_s)


@pytest.mark.parametrize("turns", range(6))
async def test_who_gives_up_leaves_no_slot_taken(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, turns: int
) -> None:
    """Whether the cancellation comes before the command is sent, while it is under way, or with its answer."""
    await add(client, "a", max_concurrency=1)
    await balancer.release(await balancer.acquire(CALC))
    task = asyncio.create_task(balancer.acquire(CALC))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await balancer.acquire(CALC, wait_s=2.0)).holds
    assert open_leases(daemon) == 1


async def test_an_answer_that_comes_with_the_cancellation_is_given_back(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, "a")
    route = balancer._open
    task = asyncio.create_task(balancer.acquire(CALC))
    take = route._take

    def take_and_cancel(response: Any) -> None:
        take(response)
        task.cancel()

    monkeypatch.setattr(route, "_take", take_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.undo()
    await until(lambda: open_leases(daemon) == 0)
    assert not balancer.held


async def test_who_gives_up_waiting_waits_no_longer(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    await add(client, "a", max_concurrency=1)
    async with balancer.select(CALC):
        waits = asyncio.create_task(balancer.acquire(CALC, wait_s=10.0))
        stats = daemon.coordinator.registry.balancing
        await until(lambda: stats.stats.waiting == 1)
        waits.cancel()
        await until(lambda: stats.stats.waiting == 0)
    await until(lambda: open_leases(daemon) == 0)


async def test_what_is_held_is_renewed_until_it_is_released(client: RegistryClient, balancer: BalancerClient) -> None:
    await add(client, "a", max_concurrency=1)
    async with balancer.select(CALC, ttl_s=0.4) as selection:
        await asyncio.sleep(1.5)
        assert selection.holds
        with pytest.raises(ResourceExhausted):
            await balancer.acquire(CALC)


async def test_a_lease_that_ends_by_itself_is_not_held_any_more(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, caplog: pytest.LogCaptureFixture
) -> None:
    await add(client, "a")
    selection = await balancer.acquire(CALC, ttl_s=0.3)
    selection.rest()  # as if the loop were too busy to renew
    await until(lambda: not selection.holds)
    assert "not reserved any more" in caplog.text
    assert open_leases(daemon) == 0
    taken = await balancer.acquire(CALC, ttl_s=0.3)
    balancing = daemon.coordinator.registry.balancing
    balancing.drop(next(iter(balancing.open_leases())))  # the registry has forgotten it, and the renewal finds out
    await until(lambda: not taken.holds)
    async with balancer.select(CALC) as last:
        balancing.drop(next(iter(balancing.open_leases())))
        balancer._renew(last)
        await until(lambda: not last.holds)


async def test_holders_hear_that_their_agent_has_died_or_was_removed(
    client: RegistryClient, balancer: BalancerClient
) -> None:
    made = await client.register(static("a"))
    async with balancer.select(CALC) as selection:
        await client.update_status(made.ref, ServiceStatus.UNHEALTHY)
        async with asyncio.timeout(2):
            await selection.lost.wait()
        assert selection.why_lost is StatusReasonCode.SELF_REPORTED
        assert selection.holds, "the slot is kept until the caller lets go of it"
    await client.update_status(made.ref, ServiceStatus.HEALTHY)
    async with balancer.select(CALC) as selection:
        await client.unregister(made.ref)
        async with asyncio.timeout(2):
            await selection.lost.wait()
        assert selection.why_lost is None


async def test_a_broken_stream_costs_no_selection(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    """What is held is kept under its id, what waits goes on waiting, and what is asked meanwhile is answered."""
    await add(client, "a", max_concurrency=1)
    selection = await balancer.acquire(CALC)
    waits = asyncio.create_task(balancer.acquire(CALC, wait_s=10.0))
    stats = daemon.coordinator.registry.balancing
    await until(lambda: stats.stats.waiting == 1)
    for _ in range(3):
        cut_streams(daemon)
        await until(lambda: stats.stats.waiting == 0)
        await until(lambda: stats.stats.waiting == 1)
        await until(lambda: all(lease.stream for lease in stats.open_leases()))
    assert selection.holds
    assert [lease.selection_id for lease in stats.open_leases()] == [selection.selection_id]
    cut_streams(daemon)
    await balancer.release(selection, Outcome.SUCCEEDED)
    assert (await waits).holds
    assert open_leases(daemon) == 1


async def test_a_command_that_may_not_be_done_twice_fails_with_its_stream(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    service_id = await add(client, "a")
    await balancer.report(service_id, Outcome.SUCCEEDED, 0.1)
    monkeypatch.setattr(balancer._open, "_take", lambda _response: cut_streams(daemon))
    with pytest.raises(Unreachable, match="before the answer"):
        await balancer.report(service_id, Outcome.SUCCEEDED, 0.1)
    assert performance(daemon, service_id).succeeded == 2


async def test_whoever_is_cancelled_while_it_closes_leaves_no_stream(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    await add(client, "a", max_concurrency=1)
    await balancer.acquire(CALC)
    other, stats = BalancerClient(daemon.address), daemon.coordinator.registry.balancing
    await other.__aenter__()
    waits = asyncio.create_task(other.acquire(CALC, wait_s=60.0))
    await until(lambda: stats.stats.waiting == 1)
    closing = asyncio.create_task(other.close())
    await asyncio.sleep(0.05)
    closing.cancel()
    await asyncio.wait({closing})
    assert closing.cancelled()
    await until(lambda: daemon.coordinator.selections.streams == 1)
    with pytest.raises(Unreachable, match="closed"):
        await waits


async def test_a_release_whose_answer_was_lost_is_no_error(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, "a")
    selection, take = await balancer.acquire(CALC), balancer._open._take

    def lose(_response: pb.RouteResponse) -> None:
        monkeypatch.setattr(balancer._open, "_take", take)
        cut_streams(daemon)

    monkeypatch.setattr(balancer._open, "_take", lose)
    await balancer.release(selection, Outcome.SUCCEEDED)
    assert performance(daemon, selection.service.service_id).succeeded == 1
    with pytest.raises(NotFound, match="NO_SUCH_LEASE"):
        await balancer.release(selection)


async def test_a_restarted_registry_is_found_again_and_knows_nothing_of_old_leases() -> None:
    store = MemoryStore()
    async with running_daemon(store=store) as daemon, RegistryClient(daemon.address) as client:
        await add(client, "a", max_concurrency=1)
        address, balancer = daemon.address, BalancerClient(daemon.address, timeout_s=8.0)
        await balancer.__aenter__()
        held = await balancer.acquire(CALC)
    asked = asyncio.create_task(balancer.acquire(CALC, wait_s=1.0))
    async with running_daemon(store=store, listen=(address,)) as daemon:
        assert (await asked).service.agent_id == "a"
        await until(lambda: not held.holds)
        assert open_leases(daemon) == 1
        await balancer.close()
        assert open_leases(daemon) == 0, "what was held is released at the end"
    with pytest.raises(Unreachable, match="closed"):
        await balancer.acquire(CALC)


async def test_what_cannot_be_renewed_now_is_held_and_tried_again(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster, while the member that granted it does not answer."""
    await add(client, "a")
    refused = asyncio.Event()

    def renew(*_: object) -> float:
        monkeypatch.undo()
        refused.set()
        raise Unavailable(Reason.STORE_DOWN, "member 'm1' does not answer", retry_after_s=1.0)

    monkeypatch.setattr(daemon.coordinator.registry.balancing, "renew", renew)
    async with balancer.select(CALC, ttl_s=1.6) as selection:
        await refused.wait()
        await asyncio.sleep(1.6)
        assert selection.holds
        assert open_leases(daemon) == 1


async def test_what_cannot_be_renewed_any_more_is_not_held(
    client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is over for good: nobody may believe that the slot is still reserved."""
    await add(client, "a")
    held = await balancer.acquire(CALC)
    monkeypatch.setattr(balancer._open, "_closed", Unreachable("the stream is over", address="nowhere"))
    balancer._renew(held)
    assert not held.holds
    assert balancer.held == ()


async def test_without_a_registry_the_reason_is_told(unused_tcp_port: int) -> None:
    async with BalancerClient(f"127.0.0.1:{unused_tcp_port}", timeout_s=1.0) as balancer:
        with pytest.raises(Unreachable, match="orion-registry serve"):
            await balancer.acquire(CALC)
    lost = BalancerClient()
    with pytest.raises(Unreachable, match="inside `async with`"):
        await lost.acquire(CALC)


async def test_a_registry_that_hangs_is_told() -> None:
    done = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()
        done.set()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with BalancerClient(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=0.3) as balancer:
        with pytest.raises(NoAnswerInTime, match=r"in 0\.3 s"):
            await balancer.acquire(CALC)
    server.close()
    await asyncio.wait_for(done.wait(), 5)
    await asyncio.sleep(0.05)


async def test_what_is_refused_for_good_is_not_asked_again(daemon: Daemon) -> None:
    async with BalancerClient(daemon.address) as balancer:
        balancer._hello.zone = "z" * 200
        with pytest.raises(InvalidArgument, match=r"hello\.zone"):
            await balancer.acquire(CALC)
        with pytest.raises(InvalidArgument, match=r"hello\.zone"):
            await balancer.acquire(CALC)


@pytest.mark.parametrize("wrong", [{"caller": "a b"}, {"zone": "z" * 129}, {"timeout_s": 0.0}])
def test_wrong_arguments_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        BalancerClient(**wrong)


async def test_many_at_once_share_messages_and_leave_nothing(daemon: Daemon, client: RegistryClient) -> None:
    for number in range(5):
        await add(client, f"a{number}", max_concurrency=2)
    running: dict[str, int] = {}

    async def call(balancer: BalancerClient) -> None:
        async with balancer.select(CALC, wait_s=10.0) as selection:
            name = selection.service.service_id
            running[name] = running.get(name, 0) + 1
            assert running[name] <= 2
            await asyncio.sleep(0.001)
            running[name] -= 1

    async with BalancerClient(daemon.address, caller="a") as one, BalancerClient(daemon.address, caller="b") as other:
        await asyncio.gather(*(call(balancer) for _ in range(200) for balancer in (one, other)))
        assert not one.held
    assert open_leases(daemon) == 0


async def test_news_that_come_with_the_answer_are_heard(client: RegistryClient, balancer: BalancerClient) -> None:
    """An agent may die in the turn in which it is selected: result and notice are in one message then."""
    await add(client, "a")
    route = balancer._route
    assert route is not None
    asked = asyncio.ensure_future(balancer.acquire(Selector(service_name="calc", tags=("none",)), wait_s=1.0))
    await asyncio.sleep(0)
    (number,) = route._pending
    picked = pb.Selection(selection_id="s-1")
    notice = pb.SelectionNotice(selection_id="s-1", kind=pb.SELECTION_NOTICE_KIND_SERVICE_LOST)
    result = pb.RouteResult(id=number, select=pb.SelectServiceResponse(selections=[picked]))
    route._take(pb.RouteResponse(results=[result], notices=[notice]))
    selection = await asked
    async with asyncio.timeout(1):
        await selection.lost.wait()


async def test_a_block_of_more_than_a_day_frees_its_slot(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    await add(client, "a")
    async with balancer.select(CALC) as selection:
        selection.began -= 90_000
    await until(lambda: open_leases(daemon) == 0)


# Going on to the next candidate.


async def test_with_attempts_a_service_that_refuses_connections_is_passed_over(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    """Dead ones are heavier, so they are selected first: each costs one failed outcome and no call."""
    dead = [await add(client, f"dead-{n}", host="127.0.0.1", port=1, weight=9.0) for n in range(2)]
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    live = await add(client, "live", host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    async with balancer.select(CALC, attempts=3) as selection:
        assert selection.service.service_id == live
        assert open_leases(daemon) == 1
    assert [performance(daemon, service_id).failed for service_id in dead] == [1, 1]
    with pytest.raises(ConnectionError, match=r"none of 2 .*127\.0\.0\.1:1"):
        await balancer.acquire(CALC, attempts=2, exclude=[live])
    with pytest.raises(ConnectionError, match="none of 2 ") as fewer:
        await balancer.acquire(CALC, attempts=9, exclude=[live])
    assert isinstance(fewer.value.__cause__, NotFound)
    with pytest.raises(NotFound):
        await balancer.acquire(CALC, attempts=9, exclude=[live, *dead])
    with pytest.raises(InvalidArgument, match=r"attempts: .*1 to 100"):
        await balancer.acquire(CALC, attempts=0)
    await until(lambda: open_leases(daemon) == 0)
    server.close()


async def test_without_attempts_nobody_is_connected_to(client: RegistryClient, balancer: BalancerClient) -> None:
    await add(client, "dead", host="127.0.0.1", port=1)
    assert (await balancer.acquire(CALC)).service.agent_id == "dead"
