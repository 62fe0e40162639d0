"""Several addresses: one that fails, or does not serve, costs an attempt; where a registry sends to is tried first."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.client import route
from orion_registry.client import watch as watch_module
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.channel import ADDRESSES, DEFAULT_ADDRESS, Connection, resolve_addresses
from orion_registry.client.client import RegistryClient
from orion_registry.client.environment import Environment
from orion_registry.client.failures import NoAnswerInTime, Unreachable
from orion_registry.client.profile import PROFILES
from orion_registry.client.state import ConnectionState
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, PermissionDenied, Reason, Unavailable
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from tests.client.test_client_stream_faults import QUICK, SPEC, accept, fake, serve
from tests.server.serving import until

pytestmark = pytest.mark.timeout(30)
NOBODY = "127.0.0.1:1"


def connection(*addresses: str) -> Connection:
    return Connection(addresses, PROFILES["lan"])


def test_addresses_come_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORION_ADDRESS", " a:1, b:2 ,a:1,")
    assert resolve_addresses("") == ("a:1", "b:2")
    assert resolve_addresses(["c:3", "unix:/x"]) == ("c:3", "unix:/x")
    with pytest.raises(InvalidArgument, match="HOST:PORT"):
        resolve_addresses("a:1,b")
    with pytest.raises(InvalidArgument, match="at most 32"):
        resolve_addresses([f"a:{port}" for port in range(1, ADDRESSES + 2)])


@pytest.mark.parametrize("empty", ["", " ", ","])
def test_a_variable_that_is_empty_counts_as_not_set(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    monkeypatch.setenv("ORION_ADDRESS", empty)
    assert resolve_addresses("") == resolve_addresses([]) == (DEFAULT_ADDRESS,)


def test_who_is_sent_away_goes_where_it_was_told_then_where_it_went_before() -> None:
    way = connection("a:1", "b:2")
    way.sent_away("a:1", ["c:3", "a:1", "b:2", "c:3"])
    assert way.addresses == ("c:3", "b:2", "a:1")
    assert way.address == "c:3"
    way.failed("c:3")
    way.failed("c:3")  # another call that had gone there
    assert way.address == "b:2"
    way.sent_away("b:2", ["d:4"])
    assert way.addresses == ("d:4", "a:1", "b:2"), "what was named before is forgotten"
    way.sent_away("d:4", [])
    assert way.address == "a:1"


def test_an_alternate_that_is_no_address_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    way = connection("a:1")
    with caplog.at_level(logging.WARNING):
        way.sent_away("a:1", ["nowhere", "b:2"])
    assert way.addresses == ("b:2", "a:1")
    assert "nowhere" in caplog.text


def test_a_registry_cannot_name_more_than_a_client_will_hold() -> None:
    way = connection("a:1")
    way.sent_away("a:1", [f"b:{port}" for port in range(1, 1_000)])
    assert len(way.addresses) == ADDRESSES
    assert way.addresses[-1] == "a:1", "its own way back is never lost"


async def test_a_session_and_a_watch_find_the_address_that_serves(daemon: Daemon) -> None:
    async with (
        RegistryClient([NOBODY, daemon.address]) as client,
        client.watch(Selector(include_not_ready=True)) as watch,
        client.session("a-1", [SPEC]) as session,
    ):
        assert session.connection_state is ConnectionState.CONNECTED
        async with asyncio.timeout(5):
            await watch.synced.wait()
        assert client.address == daemon.address


async def test_a_call_that_nobody_answers_fails_and_the_next_goes_on(daemon: Daemon) -> None:
    async with RegistryClient(f"{NOBODY},{daemon.address}") as client:
        with pytest.raises(Unreachable):
            await client.discover()
        assert (await client.discover()).services == ()


async def test_a_registry_that_does_not_serve_is_left(daemon: Daemon) -> None:
    """One that starts or stops refuses calls itself: nobody is unreachable, and still the next one is better."""
    async with running_daemon() as other, RegistryClient([daemon.address, other.address]) as client:
        spec = ServiceSpec(agent_id="a", service_name="s", liveness=LivenessMode.STATIC)
        await client.register(spec)
        daemon.coordinator.serving = False
        with pytest.raises(Unavailable) as refused:
            await client.register(spec)
        assert refused.value.reason is Reason.NOT_SERVING
        assert not isinstance(refused.value, Unreachable)
        assert client.address == other.address
        assert (await client.register(spec)).created
        daemon.coordinator.serving = True


class Hung(grpc.GenericRpcHandler):
    """What a proxy is whose registry hangs: PINGs are answered, calls taken, and nothing ever comes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def wait(_requests: Any, _context: Any) -> AsyncIterator[bytes]:
            await asyncio.sleep(60)
            yield b""

        return grpc.stream_stream_rpc_method_handler(wait)


@pytest.fixture
async def hung() -> AsyncIterator[str]:
    server = grpc.aio.server(handlers=[Hung()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(0)


async def test_a_watch_leaves_a_registry_that_hangs_behind_a_proxy(
    daemon: Daemon, hung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "FIRST_ANSWER_S", 0.3)
    async with RegistryClient([hung, daemon.address]) as client, client.watch() as watch:
        async with asyncio.timeout(5):
            await watch.synced.wait()
        await asyncio.sleep(0.5)
        assert watch.connection_state is ConnectionState.CONNECTED, "one that answered may be silent"
        assert client.address == daemon.address


async def test_a_route_leaves_a_registry_that_hangs_behind_a_proxy(
    daemon: Daemon, hung: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "SILENT_S", 0.2)
    async with BalancerClient([hung, daemon.address], timeout_s=0.5) as balancer:
        with pytest.raises(NoAnswerInTime):
            await balancer.acquire(Selector(service_name="none"))
        with pytest.raises(NotFound):
            await balancer.acquire(Selector(service_name="none"))


@pytest.mark.parametrize("timeout_s", [0.2, 1.0])
async def test_a_call_takes_no_longer_than_it_may_though_the_registry_is_away(hung: str, timeout_s: float) -> None:
    for address in (hung, NOBODY):
        async with BalancerClient(address) as balancer:
            began = time.monotonic()
            with pytest.raises(Unreachable):
                await balancer.call("math.add", timeout_s=timeout_s)
            assert time.monotonic() - began < timeout_s + 1.0


@pytest.mark.parametrize("several", [True, False])
async def test_callers_do_not_wait_for_one_that_stops_while_they_know_another(several: bool) -> None:
    waits, waited = list[float](), asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        waited.set()
        await asyncio.sleep(0.01)

    async with running_daemon() as first, running_daemon() as second:
        addresses = [first.address, second.address] if several else [first.address]
        async with BalancerClient(addresses, environment=Environment(sleep=sleep, draw=lambda: 0.0)) as balancer:
            with pytest.raises(NotFound):
                await balancer.acquire(Selector(service_name="none"))
            await first.stop()
            async with asyncio.timeout(5):
                await waited.wait()
            assert (waits[0] == 0.0) == several, "NOT_SERVING says how long to wait for this one"


async def test_a_local_view_whose_watch_is_refused_for_good_says_so(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with RegistryClient(daemon.address) as client, client.local_view(Selector(service_name="s")) as view:

        def refuse(_: object) -> None:
            raise PermissionDenied(Reason.NOT_ALLOWED, "not any more")

        monkeypatch.setattr(view._watch._fold, "apply", refuse)
        await client.register(ServiceSpec(agent_id="a", service_name="s", liveness=LivenessMode.STATIC))
        async with asyncio.timeout(5):
            await view.wait_for(ConnectionState.CLOSED)
        assert "ended for good, and what it shows grows old: NOT_ALLOWED: not any more" in caplog.text


async def test_go_away_alternates_are_tried_first(daemon: Daemon) -> None:
    async def send_away(context: Any, number: int) -> None:
        if number > 1:
            await serve(context, number)
            return
        await accept(context, number)
        go_away = hb.GoAway(reason=hb.GO_AWAY_REASON_SHUTDOWN, alternates=[daemon.address])
        await context.write(hb.HeartbeatResponse(go_away=go_away).SerializeToString())
        await asyncio.sleep(0.05)

    async with fake(send_away) as (registry, client), client.session("a-1", [SPEC], QUICK) as session:
        await until(lambda: daemon.coordinator.streams)  # that it is away for a moment may go unseen
        async with asyncio.timeout(5):
            await session.wait_for(ConnectionState.CONNECTED)
        assert client.address == daemon.address
        assert len(registry.streams) == 1
        assert (await client.get("x")).ready, "registered where it was sent"
