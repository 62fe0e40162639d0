"""Agents and their callers: calls reach capabilities, slots hold, refusals go elsewhere, and stopping loses nothing."""

import asyncio
import functools
import json
import math
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.client import agent_life
from orion_registry.client.agent import Agent
from orion_registry.client.agent_calls import AgentUnreachable, CallFailed, CallTimedOut
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.capability import METHOD
from orion_registry.client.channel import channel_options
from orion_registry.client.client import RegistryClient
from orion_registry.client.options import SessionOptions
from orion_registry.client.profile import PROFILES
from orion_registry.client.selection import Selection
from orion_registry.core.model import LivenessMode, Load, ServiceSpec, ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import (
    Aborted,
    AlreadyExists,
    InvalidArgument,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
    bad_field,
)
from orion_registry.server.daemon import Daemon
from orion_registry.wire.service import Service
from orion_registry.wire.status import DETAILS_KEY, status_of
from orion_registry_pb.agent.v1.agent_pb2 import CallRequest, CallResponse

pytestmark = pytest.mark.timeout(30)


class Work:
    """Capabilities whose calls last until they are let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.thread_go = threading.Event()
        self.begun = 0
        self.cancelled = 0

    async def wait(self, what: str = "done") -> str:
        self.begun += 1
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return what

    def wait_in_thread(self) -> str:
        self.begun += 1
        self.thread_go.wait(10)
        return threading.current_thread().name


def make(daemon: Daemon, work: Work | None = None, **fields: Any) -> Agent:
    agent = Agent("calc", address=daemon.address, **{"tags": ["demo"], "drain_timeout_s": 5.0, **fields})

    @agent.capability("math.add", tags=["exact"])
    async def add(a: float, b: float = 1) -> float:
        return a + b

    @agent.capability("math.div")
    def div(a: float, b: float) -> float:
        if b > 1e6:
            raise bad_field("b", "at most a million", b)
        return a / b

    @agent.capability("odd")
    async def odd() -> object:
        return object()

    if work is not None:
        agent.capability("wait")(work.wait)
        agent.capability("wait.thread")(work.wait_in_thread)
    return agent


@pytest.fixture
async def balancer(daemon: Daemon) -> AsyncIterator[BalancerClient]:
    async with BalancerClient(daemon.address, caller="ann") as connected:
        yield connected


async def until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 8
    while not holds():
        assert time.monotonic() < give_up_at
        await asyncio.sleep(0.01)


async def seen_as(client: RegistryClient, agent: Agent, holds: Callable[[Service], bool]) -> None:
    """Waits until the registry sees the agent's service so."""
    async with asyncio.timeout(5):
        while True:
            if holds(await client.get(agent.session.ref().service_id)):
                return
            await asyncio.sleep(0.02)


def counts(daemon: Daemon, service_id: str) -> tuple[int, int]:
    seen = daemon.coordinator.registry.balancing.slots_of(service_id).performance
    return seen.succeeded, seen.failed


def open_leases(daemon: Daemon) -> int:
    return daemon.coordinator.registry.balancing.stats.leases_open


async def call_directly(address: str, data: bytes, path: str = METHOD) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return await method(data)


async def test_a_capability_is_called_with_its_arguments_by_name(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    async with make(daemon, max_concurrency=3, zone="z", metadata={"team": "blue"}, version="7") as agent:
        assert await balancer.call("math.add", {"a": 2, "b": 3}) == 5
        assert await balancer.call("math.add", {"a": 2**70}) == 2**70 + 1  # whole numbers of any size
        assert await balancer.call("math.div", {"a": 1, "b": 4}, selector=Selector(tags=("exact",))) == 0.25
        service = await client.get(agent.session.ref().service_id)
        assert (service.agent_id, service.service_name, service.address) == ("calc", "calc", agent.address)
        assert (service.capabilities, service.tags) == (("math.add", "math.div", "odd"), ("demo", "exact"))
        assert (service.max_concurrency, service.zone, service.version) == (3, "z", "7")
        assert service.metadata == {"team": "blue"}
        await until(lambda: counts(daemon, service.service_id) == (3, 0))
    assert (await client.discover(Selector(include_not_ready=True))).services == ()


async def test_what_a_capability_raises_reaches_the_caller_and_counts(
    daemon: Daemon, balancer: BalancerClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with make(daemon) as agent:
        with pytest.raises(CallFailed, match=r"math\.div failed: ZeroDivisionError: ") as failed:
            await balancer.call("math.div", {"a": 1, "b": 0})
        assert failed.value.service.agent_id == "calc"
        assert "Traceback" in caplog.text
        with pytest.raises(CallFailed, match="odd failed: TypeError"):
            await balancer.call("odd")
        await until(lambda: counts(daemon, agent.session.ref().service_id) == (0, 2))


async def cancels_itself() -> None:
    own = asyncio.ensure_future(asyncio.sleep(60))
    own.cancel()
    await own


async def exits() -> None:
    raise SystemExit(3)


def exits_in_thread() -> None:
    raise SystemExit(3)


def runs_out() -> object:
    return next(iter(()))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (cancels_itself, "CancelledError"),
        (exits, "SystemExit: 3"),
        (exits_in_thread, "SystemExit: 3"),
        (runs_out, "raised StopIteration"),
    ],
)
async def test_what_is_raised_beside_errors_fails_the_call_and_nothing_else(
    daemon: Daemon, balancer: BalancerClient, function: Callable[[], object], says: str
) -> None:
    agent = make(daemon)
    agent.capability("bad")(function)
    async with agent:
        with pytest.raises(CallFailed, match=rf"bad failed: .*{says}"):
            await balancer.call("bad", timeout_s=5.0)
        assert agent.in_flight == 0
        assert await balancer.call("math.add", {"a": 2}) == 3


async def test_a_decorated_coroutine_function_and_an_object_that_is_called_run_in_the_loop(
    daemon: Daemon, balancer: BalancerClient
) -> None:
    async def here() -> bool:
        return threading.current_thread() is threading.main_thread()

    @functools.wraps(here)
    def decorated() -> object:
        return here()

    class Callee:
        async def __call__(self) -> bool:
            return await here()

    agent = make(daemon)
    agent.capability("decorated")(decorated)
    agent.capability("object")(Callee())
    async with agent:
        assert await balancer.call("decorated") is True
        assert await balancer.call("object") is True


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"a": 1}, r"missing a required argument: 'b'; it is math\.div\(a: float, b: float\)"),
        ({"a": 1, "b": 2, "c": 3}, "unexpected keyword argument 'c'"),
        ({"a": float("nan"), "b": 2}, "arguments: must be JSON values"),
        ({"a": b"1", "b": 2}, "arguments: must be JSON values"),
        ({"a": 1, "b": 1e7}, "b: must be at most a million"),
    ],
)
async def test_wrong_arguments_are_the_callers_fault_alone(
    daemon: Daemon, balancer: BalancerClient, arguments: dict[str, Any], says: str
) -> None:
    """They never count against the agent: one bad caller would get it ejected for all."""
    async with make(daemon) as agent:
        with pytest.raises(InvalidArgument, match=says):
            await balancer.call("math.div", arguments)
        await until(lambda: open_leases(daemon) == 0)
        assert counts(daemon, agent.session.ref().service_id) == (0, 0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\xff\xff", "2 bytes are no CallRequest"),
        (CallRequest(capability="math.div", arguments="[1]").SerializeToString(), "JSON object, got list"),
        (CallRequest(capability="math.div", arguments="{").SerializeToString(), "must be JSON"),
        (CallRequest(capability="math.div", arguments='{"a": NaN}').SerializeToString(), "NaN is no JSON number"),
        (CallRequest(capability="math.div", arguments='{"a":' + "[" * 100_000).SerializeToString(), "must be JSON"),
    ],
)
async def test_whatever_comes_is_answered_with_a_typed_error(daemon: Daemon, data: bytes, says: str) -> None:
    async with make(daemon) as agent:
        with pytest.raises(grpc.aio.AioRpcError, match=says) as refused:
            await call_directly(agent.address, data)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await call_directly(agent.address, b"", "/orion.agent.v1.AgentService/Other")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_slots_hold_whoever_calls_and_load_is_told(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    """max_concurrency holds against callers without a lease too, and the registry learns how many calls there are."""
    work = Work()
    async with make(daemon, work, max_concurrency=2) as agent:
        request = CallRequest(capability="wait").SerializeToString()
        calls = [asyncio.create_task(call_directly(agent.address, request)) for _ in range(2)]
        await until(lambda: agent.in_flight == 2)
        with pytest.raises(grpc.aio.AioRpcError, match="all 2 slots are taken") as full:
            await call_directly(agent.address, request)
        assert full.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await seen_as(client, agent, lambda service: service.load == Load(in_flight=2))
        with pytest.raises(ResourceExhausted) as taken:
            await balancer.call("math.add", {"a": 1}, timeout_s=0.1)
        assert taken.value.reason is Reason.NO_FREE_SLOT
        work.go.set()
        assert [CallResponse.FromString(await one).result for one in calls] == ['"done"', '"done"']
        assert agent.in_flight == 0


async def test_a_plain_function_blocks_nobody_and_keeps_its_slot_until_it_returns(
    daemon: Daemon, balancer: BalancerClient
) -> None:
    work = Work()
    async with make(daemon, work, max_concurrency=2) as agent:
        with pytest.raises(CallTimedOut):
            await balancer.call("wait.thread", timeout_s=0.3)
        assert agent.in_flight == 1  # its thread runs on
        assert await balancer.call("math.add", {"a": 1}) == 2
        work.thread_go.set()
        await until(lambda: agent.in_flight == 0)
        assert (await balancer.call("wait.thread")).startswith("agent calc")


async def test_who_goes_away_cancels_a_coroutine(daemon: Daemon, balancer: BalancerClient) -> None:
    work = Work()
    async with make(daemon, work) as agent:
        call = asyncio.create_task(balancer.call("wait"))
        await until(lambda: work.begun == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: agent.in_flight == 0)
        assert work.cancelled == 1
        with pytest.raises(CallTimedOut):
            await balancer.call("wait", timeout_s=0.2)
        await until(lambda: counts(daemon, agent.session.ref().service_id) == (0, 1))


async def test_who_stops_is_not_selected_finishes_and_loses_no_call_that_is_on_its_way(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient
) -> None:
    work = Work()
    agent = make(daemon, work)
    await agent.start()
    calls = [asyncio.create_task(balancer.call("wait")) for _ in range(3)]
    await until(lambda: work.begun == 3)
    async with balancer.select(Selector(service_name="calc")) as selection:  # selected, and not called yet
        stopping = asyncio.create_task(agent.stop())
        await seen_as(client, agent, lambda service: service.status is ServiceStatus.STOPPING)
        with pytest.raises(Unavailable) as none:
            await balancer.call("math.add", {"a": 1})
        assert none.value.reason is Reason.NO_READY_SERVICE
        assert json.loads(await late_call(selection)) == 5
    assert not stopping.done()
    work.go.set()
    assert await asyncio.gather(*calls) == ["done"] * 3
    assert await stopping is True
    assert await agent.stop() is True
    assert (await client.discover(Selector(include_not_ready=True))).services == ()


async def late_call(selection: Selection) -> str:
    request = CallRequest(capability="math.add", arguments='{"a": 2, "b": 3}')
    return CallResponse.FromString(await call_directly(selection.service.address, request.SerializeToString())).result


async def test_an_idle_agent_that_stops_still_takes_the_call_that_is_on_its_way(
    daemon: Daemon, client: RegistryClient, balancer: BalancerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_life, "QUIET_S", 1.5)  # for slow machines
    agent = make(daemon)
    await agent.start()
    async with balancer.select(Selector(service_name="calc")) as selection:
        stopping = asyncio.create_task(agent.stop())
        await seen_as(client, agent, lambda service: service.status is ServiceStatus.STOPPING)
        assert json.loads(await late_call(selection)) == 5
    assert await stopping is True


async def test_calls_that_do_not_finish_are_cut_off_in_the_end(daemon: Daemon, balancer: BalancerClient) -> None:
    work = Work()
    agent = make(daemon, work, drain_timeout_s=0.3)
    await agent.start()
    call = asyncio.create_task(balancer.call("wait"))
    await until(lambda: work.begun == 1)
    began = time.monotonic()
    assert await agent.stop() is False
    assert time.monotonic() - began < 2
    with pytest.raises(AgentUnreachable):
        await call
    assert work.cancelled == 1


class Refusing(grpc.GenericRpcHandler):
    """Answers each call with a code, or ends the connection."""

    def __init__(self, code: grpc.StatusCode, error: RegistryError | None) -> None:
        self.code, self.error, self.calls = code, error, 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(self.answer)

    async def answer(self, _data: bytes, context: Any) -> bytes:
        self.calls += 1
        if self.error is not None:
            context.set_trailing_metadata(((DETAILS_KEY, status_of(self.error).details),))
        if self.code is not grpc.StatusCode.OK:
            await context.abort(self.code, "no")
        return CallResponse(result="{not JSON").SerializeToString()


@pytest.fixture
async def other(client: RegistryClient) -> AsyncIterator[Callable[..., Any]]:
    """Starts services that refuse; they are preferred to real agents."""
    servers = []

    async def start(code: grpc.StatusCode, error: RegistryError | None = None) -> Refusing:
        handler = Refusing(code, error)
        server = grpc.aio.server(handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        await client.register(
            ServiceSpec(
                agent_id=f"other-{len(servers)}",
                service_name="other",
                port=port,
                capabilities=("math.add",),
                liveness=LivenessMode.STATIC,
                weight=1000.0,
            )
        )
        return handler

    yield start
    for server in servers:
        await server.stop(None)


async def test_a_call_that_was_refused_before_it_began_goes_to_another(
    daemon: Daemon, balancer: BalancerClient, other: Callable[..., Any]
) -> None:
    stopping = await other(grpc.StatusCode.UNAVAILABLE, Unavailable(Reason.NOT_SERVING, "no"))
    full = await other(grpc.StatusCode.RESOURCE_EXHAUSTED, ResourceExhausted(Reason.NO_FREE_SLOT, "no"))
    async with make(daemon):
        assert await balancer.call("math.add", {"a": 1}) == 2
    assert (stopping.calls, full.calls) == (1, 1)
    with pytest.raises((Unavailable, ResourceExhausted), match=r"no$"):
        await balancer.call("math.add", {"a": 1})
    assert (stopping.calls, full.calls) == (2, 2)


async def test_a_call_whose_connection_broke_is_made_again_only_if_that_does_no_harm(
    daemon: Daemon, balancer: BalancerClient, other: Callable[..., Any]
) -> None:
    broken = await other(grpc.StatusCode.UNAVAILABLE)
    async with make(daemon):
        with pytest.raises(AgentUnreachable, match="cannot reach agent other-1 at 127"):
            await balancer.call("math.add", {"a": 1})
        assert await balancer.call("math.add", {"a": 1}, idempotent=True) == 2
    assert broken.calls == 2


async def test_a_service_that_is_no_agent_says_so(balancer: BalancerClient, other: Callable[..., Any]) -> None:
    await other(grpc.StatusCode.UNIMPLEMENTED)
    with pytest.raises(CallFailed, match="not made with Agent"):
        await balancer.call("math.add")


async def test_an_answer_that_is_no_json_says_whose(balancer: BalancerClient, other: Callable[..., Any]) -> None:
    await other(grpc.StatusCode.OK)
    with pytest.raises(CallFailed, match=r"agent other-1 at 127\.0\.0\.1:\d+ answered what is not JSON"):
        await balancer.call("math.add")


async def test_an_unknown_capability_is_named(daemon: Daemon, client: RegistryClient, balancer: BalancerClient) -> None:
    """As when an agent was started again with less than it is registered with elsewhere."""
    async with make(daemon) as agent:
        host, _, port = agent.address.rpartition(":")
        spec = ServiceSpec(
            agent_id="x",
            service_name="x",
            host=host,
            port=int(port),
            capabilities=("gone",),
            liveness=LivenessMode.STATIC,
        )
        await client.register(spec)
        with pytest.raises(Unimplemented, match=r"no capability 'gone', only math\.add, math\.div"):
            await balancer.call("gone")


async def test_of_two_with_one_agent_id_the_newer_is_told_or_the_older_if_it_was_taken_over(
    daemon: Daemon, balancer: BalancerClient
) -> None:
    first = make(daemon, agent_id="calc-1")
    await first.start()
    second = make(daemon, agent_id="calc-1", options=SessionOptions(claim_timeout_s=0.0))
    with pytest.raises(AlreadyExists):
        await second.start()
    assert await balancer.call("math.add", {"a": 1}) == 2
    async with make(daemon, agent_id="calc-1", options=SessionOptions(takeover=True)) as third:
        with pytest.raises(Aborted):
            await first.ended()
        assert await first.stop() is True
        assert await balancer.call("math.add", {"a": 1}) == 2
        assert third.in_flight == 0


async def test_a_start_that_fails_leaves_nothing(daemon: Daemon) -> None:
    async with make(daemon) as first:
        port = int(first.address.rpartition(":")[2])
        second = make(daemon, agent_id="calc-2", port=port)
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: the port is in use"):
            await second.start()
        with pytest.raises(RuntimeError, match="does not run"):
            _ = second.session
        with pytest.raises(RuntimeError, match="runs already"):
            await first.start()


def test_what_cannot_be_is_refused_where_it_is_written() -> None:
    with pytest.raises(InvalidArgument, match="host: must be on loopback unless insecure_listen is set"):
        Agent("calc", host="0.0.0.0")
    assert Agent("calc", host="0.0.0.0", insecure_listen=True).agent_id == "calc"
    with pytest.raises(InvalidArgument, match="tags: must be a list of texts"):
        Agent("calc", tags="gpu")
    with pytest.raises(InvalidArgument, match="drain_timeout_s"):
        Agent("calc", drain_timeout_s=-1.0)
    with pytest.raises(InvalidArgument, match="max_concurrency"):
        Agent("calc", max_concurrency=-1)
    agent = Agent("calc")
    agent.capability("x")(lambda: 1)
    with pytest.raises(InvalidArgument, match="offered once"):
        agent.capability("x")(lambda: 1)

    async def stream() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(InvalidArgument, match="which yields"):
        agent.capability("y")(stream)
    with pytest.raises(InvalidArgument, match=r"arguments by name.* y\(a, /\)"):
        agent.capability("y")(lambda a, /: a)


async def test_a_call_may_take_as_long_as_it_likes(daemon: Daemon, balancer: BalancerClient) -> None:
    async with make(daemon):
        assert await balancer.call("math.add", {"a": 1}, timeout_s=math.inf) == 2


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, math.nan])
async def test_a_call_needs_time(daemon: Daemon, balancer: BalancerClient, timeout_s: float) -> None:
    with pytest.raises(InvalidArgument, match=f"timeout_s: must be above 0 seconds, got {timeout_s}"):
        await balancer.call("math.add", timeout_s=timeout_s)


async def test_a_caller_with_nothing_to_call_for_may_look_after_its_connection(daemon: Daemon) -> None:
    """Three PINGs too many would end it with GOAWAY, and be written to the caller's stderr."""
    patience = replace(PROFILES["lan"], keepalive_time_s=1.1)
    async with (
        make(daemon) as agent,
        grpc.aio.insecure_channel(agent.address, options=channel_options(patience)) as channel,
    ):
        await channel.channel_ready()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(channel.wait_for_state_change(grpc.ChannelConnectivity.READY), 6.0)


async def test_an_agent_without_capabilities_does_not_start() -> None:
    with pytest.raises(InvalidArgument, match="at least one"):
        await Agent("calc").start()
