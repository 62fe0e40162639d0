"""BalancerService through the real wrapper: unary calls, errors, waits, and the Route stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from orion_registry.core.config import RegistryConfig
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.errors import Reason, RegistryError
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.balancer_service import BalancerService
from orion_registry.server.methods import BALANCER_METHODS, REGISTRY_METHODS
from orion_registry.server.registry_service import RegistryService
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from orion_registry.wire.status import decode_error
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import balancer_pb2_grpc as stubs
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2_grpc as registry_stubs
from orion_registry_pb.v1.service_pb2 import Load, Selector, ServiceStatus, StatusReasonCode
from tests.server.serving import OWN_CONNECTION, Served, read, serving, until
from tests.server.test_server_wrapper import typed

STATIC = 4
ANY: Any = int  # numbers that are none of an enum
SUM = Selector(service_name="sum")
BY_LOAD = pb.SELECTION_STRATEGY_WEIGHTED_LEAST_LOAD


@dataclass
class Balanced(Served):
    """A registry with BalancerService."""

    balancer: Any = None

    async def agents(self, number: int, **fields: Any) -> list[str]:
        fields = {"liveness": STATIC, **fields}
        return [(await self.register(f"agent{place}", **fields)).service_id for place in range(number)]

    async def select(self, selector: Selector = SUM, **fields: Any) -> list[Any]:
        answer = await self.balancer.SelectService(pb.SelectServiceRequest(selector=selector, **fields))
        return list(answer.selections)

    async def release(self, selection_id: str, **fields: Any) -> None:
        await self.balancer.ReleaseService(pb.ReleaseServiceRequest(selection_id=selection_id, **fields))

    async def stats(self) -> Any:
        return await self.balancer.GetBalancerStats(pb.GetBalancerStatsRequest())

    async def refused(self, reason: Reason, **fields: Any) -> RegistryError:
        return await refused(reason, self.select(**fields))


@asynccontextmanager
async def balanced(**config: Any) -> AsyncIterator[Balanced]:
    coordinator = Coordinator(
        config=RegistryConfig(),
        store=MemoryStore(),
        clock=SystemClock(),
        entropy=SeededEntropy(),
        balancer=BalancerConfig(**config),
    )
    handlers = {**RegistryService(coordinator).handlers, **BalancerService(coordinator).handlers}
    async with serving((*REGISTRY_METHODS, *BALANCER_METHODS), handlers, lambda: coordinator.serving) as address:
        await coordinator.start()
        async with grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel:
            registry: Any = registry_stubs.RegistryServiceStub(channel)
            balancer: Any = stubs.BalancerServiceStub(channel)
            yield Balanced(coordinator, address, registry, channel, balancer)
        if coordinator.serving:
            await coordinator.stop()


@pytest.fixture
async def served() -> AsyncIterator[Balanced]:
    async with balanced() as registry:
        yield registry


async def refused(reason: Reason, call: Any) -> RegistryError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    found: RegistryError = typed(caught.value)
    assert found.reason is reason, found
    return found


def span(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


# Unary.


async def test_a_selection_is_a_service_with_a_lease_on_it(served: Balanced) -> None:
    """What is selected can be called at once, and listed; its release frees the slot, and can be done once."""
    (service_id,) = await served.agents(1, capabilities=["add"], tags=["blue"], max_concurrency=1)
    (got,) = await served.select(Selector(capabilities=["add"], tags=["blue"]), caller="ann", lease_ttl=span(90))
    assert (got.service.service_id, got.service.host, got.service.port) == (service_id, "10.0.0.1", 80)
    assert got.service.status == ServiceStatus.SERVICE_STATUS_HEALTHY
    assert got.ttl.seconds == 90
    listed = (await served.balancer.ListSelections(pb.ListSelectionsRequest())).selections
    assert [(one.selection_id, one.service_id, one.caller, one.on_stream) for one in listed] == [
        (got.selection_id, service_id, "ann", False)
    ]
    assert listed[0].ttl.seconds in {89, 90}
    error = await served.refused(Reason.NO_FREE_SLOT)
    assert error.retry_after_s == 1.0
    await served.release(got.selection_id, outcome=pb.CALL_OUTCOME_SUCCEEDED, response_time=span(0.25))
    await refused(Reason.NO_SUCH_LEASE, served.release(got.selection_id))
    seen = await served.balancer.GetServicePerformance(pb.GetServicePerformanceRequest(service_id=service_id))
    assert (seen.succeeded, seen.failed, seen.leases, seen.success_rate) == (1, 0, 0, 1.0)
    assert seen.average.nanos == seen.min.nanos == seen.max.nanos == 250_000_000
    assert seen.p50.nanos == pytest.approx(250_000_000, rel=0.05)
    assert len(await served.select()) == 1


async def test_the_kinds_of_none(served: Balanced) -> None:
    await served.refused(Reason.NO_MATCH)
    ref = await served.register("slow")
    error = await served.refused(Reason.NO_READY_SERVICE)
    assert "1 AWAITING_BEAT" in error.message
    assert error.retry_after_s == 1.0
    await served.refused(Reason.NO_MATCH, exclude_service_ids=[ref.service_id])
    call = await served.heartbeat(ref, agent_id="slow")
    assert (await served.select())[0].service.service_id == ref.service_id
    call.cancel()
    await until(lambda: served.coordinator.registry.census.streams_open == 0)
    assert "DISCONNECTED" in (await served.refused(Reason.NO_READY_SERVICE)).message


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"count": 101}, "count"),
        ({"count": -1}, "count"),
        ({"wait_timeout": span(3_601)}, "wait_timeout"),
        ({"wait_timeout": Duration(nanos=-1)}, "wait_timeout"),
        ({"lease_ttl": Duration()}, "lease_ttl"),
        ({"lease_ttl": Duration(seconds=10**15)}, "lease_ttl"),
        ({"strategy": 77}, "strategy"),
        ({"caller": "no name"}, "caller"),
        ({"request_id": "x" * 129}, "request_id"),
        ({"affinity_key": "x" * 129}, "affinity_key"),
        ({"exclude_service_ids": ["x"] * 1_001}, "exclude_service_ids"),
        ({"selector": Selector(include_not_ready=True)}, "selector.include_not_ready"),
        ({"selector": Selector(statuses=[ServiceStatus.SERVICE_STATUS_HEALTHY])}, "selector.statuses"),
        ({"selector": Selector(namespace="a b")}, "selector.namespace"),
    ],
)
async def test_what_is_beyond_its_limit_is_named(served: Balanced, fields: dict[str, Any], field: str) -> None:
    await served.agents(1)
    error = await served.refused(Reason.BAD_FIELD, **fields)
    assert error.message.startswith(f"{field}: ")
    assert (await served.stats()).leases_open == 0


async def test_other_calls_name_what_is_wrong(served: Balanced) -> None:
    (service_id,) = await served.agents(1)
    (got,) = await served.select()
    stub = served.balancer
    cases = [
        (stub.ReleaseService(pb.ReleaseServiceRequest(selection_id=got.selection_id, outcome=ANY(9))), "outcome"),
        (
            stub.ReleaseService(pb.ReleaseServiceRequest(selection_id=got.selection_id, response_time=span(90_000))),
            "response_time",
        ),
        (stub.ReportOutcome(pb.ReportOutcomeRequest(service_id="?")), "service_id"),
        (stub.ReportOutcome(pb.ReportOutcomeRequest(service_id=service_id, outcome=ANY(-1))), "outcome"),
        (stub.RenewSelections(pb.RenewSelectionsRequest()), "selection_ids"),
        (stub.SetStrategy(pb.SetStrategyRequest(strategy=ANY(11))), "strategy"),
        (stub.SetStrategy(pb.SetStrategyRequest(service_name="a", capability="b")), "scope"),
        (stub.ListSelections(pb.ListSelectionsRequest(page_size=-1)), "page_size"),
        (stub.ListSelections(pb.ListSelectionsRequest(caller="a b")), "caller"),
        (stub.GetServicePerformance(pb.GetServicePerformanceRequest()), "service_id"),
    ]
    for call, field in cases:
        assert (await refused(Reason.BAD_FIELD, call)).message.startswith(f"{field}: ")
    await refused(Reason.BAD_PAGE_TOKEN, stub.ListSelections(pb.ListSelectionsRequest(page_token="?")))
    for call in (
        stub.ReportOutcome(pb.ReportOutcomeRequest(service_id="nobody")),
        stub.GetServicePerformance(pb.GetServicePerformanceRequest(service_id="nobody")),
        stub.ListSelections(pb.ListSelectionsRequest(service_id="nobody")),
    ):
        await refused(Reason.NO_SUCH_SERVICE, call)
    assert (await served.stats()).leases_open == 1


async def test_a_retry_is_answered_with_the_same_lease(served: Balanced) -> None:
    await served.agents(3, max_concurrency=1)
    first, again = [await served.select(request_id="r1", count=2) for _ in range(2)]
    assert [one.selection_id for one in first] == [one.selection_id for one in again]
    await served.refused(Reason.REQUEST_ID_REUSED, request_id="r1", count=1)
    assert len(await served.select(request_id="r1", count=2, caller="bob")) == 1, "another caller's ids are its own"


async def test_renewals_are_answered_each_for_itself(served: Balanced) -> None:
    await served.agents(1)
    (got,) = await served.select()
    request = pb.RenewSelectionsRequest(selection_ids=[got.selection_id, "gone"], lease_ttl=span(300))
    good, bad = (await served.balancer.RenewSelections(request)).renewals
    assert (good.selection_id, good.ttl.seconds, good.HasField("error")) == (got.selection_id, 300, False)
    assert (bad.selection_id, decode_error(bad.error).reason) == ("gone", Reason.NO_SUCH_LEASE)
    request = pb.RenewSelectionsRequest(selection_ids=[got.selection_id], lease_ttl=span(3_601))
    (too_long,) = (await served.balancer.RenewSelections(request)).renewals
    assert decode_error(too_long.error).reason is Reason.BAD_FIELD


async def test_listed_leases_come_in_pages(served: Balanced) -> None:
    one, other = await served.agents(2)
    for number in range(5):
        await served.select(caller=f"c{number % 2}", exclude_service_ids=[other if number else one])
    seen: list[str] = []
    token = ""
    while True:
        page = await served.balancer.ListSelections(pb.ListSelectionsRequest(page_size=2, page_token=token))
        seen += [lease.selection_id for lease in page.selections]
        token = page.next_page_token
        if not token:
            break
    assert len(set(seen)) == len(seen) == 5
    for request, number in (
        (pb.ListSelectionsRequest(service_id=one), 4),
        (pb.ListSelectionsRequest(caller="c1"), 2),
        (pb.ListSelectionsRequest(service_id=other, caller="c0"), 1),
    ):
        assert len((await served.balancer.ListSelections(request)).selections) == number


async def test_operators_switch_strategies_and_have_them_explained(served: Balanced) -> None:
    ids = await served.agents(3, capabilities=["add"])
    stub, selector = served.balancer, Selector(capabilities=["add"])
    set_to = pb.SetStrategyRequest(strategy=pb.SELECTION_STRATEGY_ROUND_ROBIN, capability="add")
    assert (await stub.SetStrategy(set_to)).previous == pb.SELECTION_STRATEGY_UNSPECIFIED
    assert (await stub.SetStrategy(set_to)).previous == pb.SELECTION_STRATEGY_ROUND_ROBIN
    chosen = [(await served.select(selector))[0].service.service_id for _ in range(6)]
    assert sorted(chosen) == sorted(ids * 2)
    request = pb.SelectServiceRequest(selector=selector, exclude_service_ids=[ids[0]])
    told, again = [await stub.ExplainSelection(pb.ExplainSelectionRequest(request=request, seed=3)) for _ in range(2)]
    assert told == again
    assert told.strategy == pb.SELECTION_STRATEGY_ROUND_ROBIN
    assert told.chosen_service_id in ids[1:]
    assert told.candidate_count == 3
    verdicts = {one.service_id: one.verdict for one in told.candidates}
    assert verdicts[ids[0]] == pb.CANDIDATE_VERDICT_EXCLUDED
    assert verdicts[told.chosen_service_id] == pb.CANDIDATE_VERDICT_CHOSEN
    assert all(one.in_flight == 2 for one in told.candidates)
    stats = await served.stats()
    assert (stats.leases_open, stats.pools) == (6, 1)
    totals = {one.strategy: (one.selections, one.switches) for one in stats.strategies}
    assert totals[pb.SELECTION_STRATEGY_ROUND_ROBIN] == (6, 1)
    assert {(one.capability, one.strategy) for one in stats.scopes} == {
        ("", BY_LOAD),
        ("add", pb.SELECTION_STRATEGY_ROUND_ROBIN),
    }
    assert (await stub.SetStrategy(pb.SetStrategyRequest(capability="add"))).previous == set_to.strategy


async def test_a_callers_zone_goes_first_and_the_explanation_says_so(served: Balanced) -> None:
    (far,) = await served.agents(1, zone="z2", max_concurrency=1)
    near = (await served.register("near", liveness=STATIC, zone="z1", max_concurrency=1)).service_id
    told = await served.balancer.ExplainSelection(
        pb.ExplainSelectionRequest(request=pb.SelectServiceRequest(selector=SUM, zone="z1"))
    )
    assert (told.chosen_service_id, told.preferred_zone) == (near, "z1")
    assert {one.service_id: (one.zone, one.verdict) for one in told.candidates} == {
        far: ("z2", pb.CANDIDATE_VERDICT_OTHER_ZONE),
        near: ("z1", pb.CANDIDATE_VERDICT_CHOSEN),
    }
    assert told.reason.endswith("zone 'z1' goes first: 1 of 1 ready, 2 candidates in all")
    assert [(await served.select(zone="z1"))[0].service.service_id for _ in range(2)] == [near, far]
    assert "zone" in (await served.refused(Reason.BAD_FIELD, zone="z" * 129)).message


async def test_who_fails_is_ejected_in_sight_of_discovery(served: Balanced) -> None:
    bad, good = await served.agents(2)
    for _ in range(5):
        await served.balancer.ReportOutcome(
            pb.ReportOutcomeRequest(service_id=bad, outcome=pb.CALL_OUTCOME_FAILED, response_time=span(0.1))
        )
    snapshot = served.coordinator.registry.get(bad).snapshot
    assert snapshot.reasons[0].code.name == "EJECTED"
    assert {(await served.select())[0].service.service_id for _ in range(6)} == {good}
    assert (await served.stats()).ejected == 1


async def test_an_answer_that_would_be_too_large_grants_less() -> None:
    async with balanced() as served:
        await served.agents(30, tags=[f"{number}" + "x" * 120 for number in range(60)], metadata={"m": "y" * 16_000})
        got = await served.select(count=100)
        assert 30 < len(got) < 100
        assert (await served.stats()).leases_open == len(got)


# Waiting.


async def test_a_freed_slot_goes_to_who_waits(served: Balanced) -> None:
    await served.agents(1, max_concurrency=1)
    (held,) = await served.select()
    waiting = asyncio.ensure_future(served.select(wait_timeout=span(5)))
    balancing = served.coordinator.registry.balancing
    await until(lambda: balancing.stats.waiting == 1)
    await served.release(held.selection_id)
    (got,) = await waiting
    assert got.selection_id != held.selection_id
    await served.refused(Reason.NO_FREE_SLOT, wait_timeout=span(0.05))


async def test_who_hangs_up_waits_no_longer(served: Balanced) -> None:
    await served.agents(1, max_concurrency=1)
    (held,) = await served.select()
    request = pb.SelectServiceRequest(selector=SUM, wait_timeout=span(60))
    call = served.balancer.SelectService(request)
    balancing = served.coordinator.registry.balancing
    await until(lambda: balancing.stats.waiting == 1)
    call.cancel()
    await until(lambda: balancing.stats.waiting == 0)
    await served.release(held.selection_id)
    assert (await served.stats()).leases_open == 0


async def test_too_many_who_wait_are_refused() -> None:
    async with balanced(queue=1) as served:
        await served.agents(1, max_concurrency=1)
        await served.select()
        call = served.balancer.SelectService(pb.SelectServiceRequest(selector=SUM, wait_timeout=span(60)))
        await until(lambda: served.coordinator.registry.balancing.stats.waiting == 1)
        error = await served.refused(Reason.QUEUE_FULL, wait_timeout=span(60))
        assert error.retry_after_s == 1.0
        await served.coordinator.stop()
        await refused(Reason.NOT_SERVING, call)


# Route.


@dataclass
class Caller:
    """One Route stream."""

    call: Any
    sent: int = 0

    async def send(self, *commands: pb.RouteCommand) -> list[int]:
        for command in commands:
            self.sent += 1
            command.id = self.sent
        await self.call.write(pb.RouteRequest(commands=commands))
        return [command.id for command in commands]

    async def ask(self, *commands: pb.RouteCommand) -> list[Any]:
        """The results of commands that are answered at once, in one message."""
        ids = await self.send(*commands)
        answer = await read(self.call)
        assert [result.id for result in answer.results] == ids
        return list(answer.results)


def select(**fields: Any) -> pb.RouteCommand:
    return pb.RouteCommand(select=pb.SelectServiceRequest(selector=SUM, **fields))


def release(selection_id: str, **fields: Any) -> pb.RouteCommand:
    return pb.RouteCommand(release=pb.ReleaseServiceRequest(selection_id=selection_id, **fields))


async def test_route_answers_a_batch_under_its_ids(served: Balanced) -> None:
    (service_id,) = await served.agents(1, max_concurrency=2)
    caller = Caller(served.balancer.Route())
    one, two, three = await caller.ask(select(), select(), select())
    assert one.select.selections[0].service.service_id == two.select.selections[0].service.service_id == service_id
    assert decode_error(three.error).reason is Reason.NO_FREE_SLOT
    assert decode_error(three.error).retry_after_s == 1.0
    listed = (await served.balancer.ListSelections(pb.ListSelectionsRequest())).selections
    assert all(lease.on_stream for lease in listed)
    selection_id = one.select.selections[0].selection_id
    done, renewed, noted, none, unknown, twice = await caller.ask(
        release(selection_id, outcome=pb.CALL_OUTCOME_SUCCEEDED),
        pb.RouteCommand(renew=pb.RenewSelectionsRequest(selection_ids=[two.select.selections[0].selection_id])),
        pb.RouteCommand(report=pb.ReportOutcomeRequest(service_id=service_id, outcome=pb.CALL_OUTCOME_FAILED)),
        pb.RouteCommand(cancel=pb.CancelWait(id=99)),
        pb.RouteCommand(),
        release(selection_id),
    )
    assert [result.WhichOneof("result") for result in (done, renewed, noted, none)] == [
        "release",
        "renew",
        "report",
        "cancel",
    ]
    assert not none.cancel.waited
    assert decode_error(unknown.error).reason is Reason.BAD_FIELD
    assert decode_error(twice.error).reason is Reason.NO_SUCH_LEASE
    assert (await served.stats()).streams == 1


async def test_what_is_asked_again_and_again_is_answered_the_same(served: Balanced) -> None:
    """Messages of plain commands go a way of their own: their refusals, counts and groups are those of the other."""
    await served.agents(2, max_concurrency=1)
    caller = Caller(served.balancer.Route())
    await caller.ask(select(), select(count=2))
    (route,) = served.coordinator.selections._routes.values()
    took = route._take  # type: ignore[attr-defined]
    route._take = None  # type: ignore[attr-defined] # from here on nothing goes the other way
    for _ in range(3):
        listed = (await served.balancer.ListSelections(pb.ListSelectionsRequest())).selections
        held = [lease.selection_id for lease in listed]
        *done, none, both, late = await caller.ask(
            *(release(one, outcome=pb.CALL_OUTCOME_SUCCEEDED, response_time=Duration(nanos=5_000_000)) for one in held),
            release("nobody's"),
            select(count=2),
            select(),
        )
        assert len(done) == 2
        assert all(result.HasField("release") for result in done)
        assert decode_error(none.error).reason is Reason.NO_SUCH_LEASE
        assert len({one.service.service_id for one in both.select.selections}) == 2
        assert decode_error(late.error).reason is Reason.NO_FREE_SLOT
    route._take = took  # type: ignore[attr-defined]
    service_id = both.select.selections[0].service.service_id
    seen = await served.balancer.GetServicePerformance(pb.GetServicePerformanceRequest(service_id=service_id))
    assert (seen.succeeded, seen.average) == (3, Duration(nanos=5_000_000))


async def test_route_tells_who_waits_its_place_and_then_its_slot(served: Balanced) -> None:
    await served.agents(1, max_concurrency=1)
    caller = Caller(served.balancer.Route())
    (held,) = await caller.ask(select())
    first, second, third = await caller.ask(*(select(wait_timeout=span(30)) for _ in range(3)))
    assert [result.waiting.position for result in (first, second, third)] == [0, 1, 2]
    assert all(result.WhichOneof("result") == "waiting" for result in (first, second, third))
    again = pb.RouteCommand(id=second.id, select=pb.SelectServiceRequest(selector=SUM, wait_timeout=span(30)))
    await caller.call.write(pb.RouteRequest(commands=[again]))
    assert decode_error((await read(caller.call)).results[0].error).reason is Reason.BAD_FIELD
    cancel = pb.RouteCommand(id=77, cancel=pb.CancelWait(id=second.id))
    await caller.call.write(pb.RouteRequest(commands=[cancel]))
    ended, cancelled = (await read(caller.call)).results
    assert (ended.id, decode_error(ended.error).reason) == (second.id, Reason.NO_FREE_SLOT)
    assert (cancelled.id, cancelled.cancel.waited) == (77, True)
    await served.release(held.select.selections[0].selection_id)
    (woken,) = (await read(caller.call)).results
    assert woken.id == first.id
    await served.release(woken.select.selections[0].selection_id)
    (last,) = (await read(caller.call)).results
    assert last.id == third.id


async def test_what_hello_says_holds_for_selects_that_do_not_say_it(served: Balanced) -> None:
    await served.agents(1, zone="z2", max_concurrency=4)
    await served.register("near", liveness=STATIC, zone="z1", max_concurrency=4)
    call = served.balancer.Route()

    async def zone(fields: dict[str, Any], **more: Any) -> str:
        select = pb.SelectServiceRequest(selector=SUM, **fields)
        await call.write(pb.RouteRequest(commands=[pb.RouteCommand(id=1, select=select)], **more))
        return str((await read(call)).results[0].select.selections[0].service.zone)

    assert await zone({}, hello=pb.RouteHello(caller="ann", zone="z1")) == "z1"
    assert await zone({}) == "z1"
    assert await zone({"zone": "z2", "caller": "bob"}) == "z2"
    assert await zone({}, hello=pb.RouteHello(zone="z2")) == "z2"
    listed = await served.balancer.ListSelections(pb.ListSelectionsRequest())
    assert [one.caller for one in listed.selections] == ["ann", "ann", "bob", ""]
    call.cancel()


@pytest.mark.parametrize(
    ("hello", "field"), [(pb.RouteHello(caller="a b"), "hello.caller"), (pb.RouteHello(zone="z" * 129), "hello.zone")]
)
async def test_a_wrong_hello_ends_the_stream(served: Balanced, hello: pb.RouteHello, field: str) -> None:
    call = served.balancer.Route()
    await call.write(pb.RouteRequest(hello=hello))
    error = await refused(Reason.BAD_FIELD, call.read())
    assert field in error.message


async def test_a_wait_on_a_stream_times_out_with_an_error(served: Balanced) -> None:
    await served.agents(1, max_concurrency=1)
    caller = Caller(served.balancer.Route())
    _, waiting = await caller.ask(select(), select(wait_timeout=span(0.05)))
    (over,) = (await read(caller.call)).results
    assert (over.id, decode_error(over.error).reason) == (waiting.id, Reason.NO_FREE_SLOT)


async def test_holders_are_told_when_their_agent_dies(served: Balanced) -> None:
    ref = await served.register("agent", max_concurrency=4)
    stream = await served.heartbeat(ref)
    await stream.write(hb.HeartbeatRequest(beat=hb.Beat(seq=1)))
    caller, other = Caller(served.balancer.Route()), Caller(served.balancer.Route())
    one, two = await caller.ask(select(), select())
    await served.select()
    await other.ask(pb.RouteCommand(report=pb.ReportOutcomeRequest(service_id=ref.service_id)))
    stream.cancel()
    notices = (await read(caller.call)).notices
    assert [(notice.selection_id, notice.service_id, notice.kind) for notice in notices] == [
        (result.select.selections[0].selection_id, ref.service_id, pb.SELECTION_NOTICE_KIND_SERVICE_LOST)
        for result in (one, two)
    ]
    assert {notice.reason for notice in notices} == {StatusReasonCode.STATUS_REASON_CODE_DISCONNECTED}
    (none,) = await caller.ask(select())
    assert decode_error(none.error).reason is Reason.NO_READY_SERVICE


async def test_holders_are_told_when_a_lease_expires(served: Balanced) -> None:
    await served.agents(1)
    caller = Caller(served.balancer.Route())
    (got,) = await caller.ask(select(lease_ttl=span(0.05)))
    (notice,) = (await read(caller.call)).notices
    assert notice.kind == pb.SELECTION_NOTICE_KIND_EXPIRED
    assert notice.selection_id == got.select.selections[0].selection_id


@pytest.mark.parametrize("how", ["cancel", "done_writing"])
async def test_leases_end_soon_after_their_stream(how: str) -> None:
    async with balanced(stream_grace_s=0.3) as served:
        await served.agents(1, max_concurrency=2)
        caller = Caller(served.balancer.Route())
        await caller.ask(select(), select())
        await caller.send(select(wait_timeout=span(60)))
        await read(caller.call)
        balancing = served.coordinator.registry.balancing
        assert balancing.stats.waiting == 1
        if how == "cancel":
            caller.call.cancel()
        else:
            await caller.call.done_writing()
            assert await caller.call.code() is grpc.StatusCode.OK
        await until(lambda: balancing.stats.waiting == 0)
        assert balancing.stats.leases_open == 2
        await until(lambda: balancing.stats.leases_open == 0)
        assert served.coordinator.selections.streams == 0


async def test_a_lease_moves_to_the_stream_that_renews_it() -> None:
    async with balanced(stream_grace_s=0.2) as served:
        await served.agents(1)
        first, second = Caller(served.balancer.Route()), Caller(served.balancer.Route())
        (got,) = await first.ask(select())
        renew = pb.RenewSelectionsRequest(selection_ids=[got.select.selections[0].selection_id])
        await second.ask(pb.RouteCommand(renew=renew))
        first.call.cancel()
        await until(lambda: served.coordinator.selections.streams == 1)
        await asyncio.sleep(0.5)
        assert (await served.stats()).leases_open == 1


@pytest.mark.parametrize(
    "data", [b"\xff\xff", pb.RouteRequest(commands=[pb.RouteCommand()] * 1_001).SerializeToString()]
)
async def test_a_message_that_is_none_ends_the_stream(served: Balanced, data: bytes) -> None:
    call: Any = served.channel.stream_stream("/orion.registry.v1.BalancerService/Route")()
    await call.write(data)
    await refused(Reason.BAD_FIELD, call.read())
    await until(lambda: served.coordinator.selections.streams == 0)


async def test_a_stopping_registry_ends_streams_and_waits() -> None:
    async with balanced() as served:
        await served.agents(1, max_concurrency=1)
        caller = Caller(served.balancer.Route())
        _, waiting = await caller.ask(select(), select(wait_timeout=span(60)))
        await served.coordinator.stop()
        (over,) = (await read(caller.call)).results
        assert (over.id, decode_error(over.error).reason) == (waiting.id, Reason.NOT_SERVING)
        assert await caller.call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_caller_that_does_not_read_is_not_read_from(served: Balanced) -> None:
    """What it is owed is bounded by what the transport takes: commands behind that are not run."""
    await served.agents(1, metadata={"m": "y" * 16_000})
    call: Any = served.channel.stream_stream("/orion.registry.v1.BalancerService/Route")()
    data = pb.RouteRequest(commands=[select() for _ in range(100)]).SerializeToString()

    async def flood() -> None:
        for _ in range(200):
            await call.write(data)

    flooding = asyncio.ensure_future(flood())
    balancing = served.coordinator.registry.balancing
    before = -1
    while before != balancing.stats.leases_open:
        before = balancing.stats.leases_open
        await asyncio.sleep(0.5)
    assert before < 10_000
    flooding.cancel()
    call.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    await until(lambda: served.coordinator.selections.streams == 0)


async def test_load_of_beats_takes_slots(served: Balanced) -> None:
    ref = await served.register("agent", max_concurrency=2)
    stream = served.stub.Heartbeat()
    session = hb.Session(ref=ref, load=Load(in_flight=2))
    await stream.write(hb.HeartbeatRequest(hello=hb.Hello(agent_id="agent", sessions=[session])))
    assert (await read(stream)).HasField("welcome")
    await read(stream)
    await served.refused(Reason.NO_FREE_SLOT)


async def test_an_agent_that_comes_and_goes_fills_no_outbox(served: Balanced) -> None:
    """What a caller that does not read is owed is bounded, whatever the agents that it holds do."""
    (service_id,) = await served.agents(1)
    caller = Caller(served.balancer.Route())
    await caller.ask(*(select() for _ in range(20)))
    (route,) = served.coordinator.selections._routes.values()
    route._sending = True  # type: ignore[attr-defined]  # as if the transport took nothing any more
    balancing = served.coordinator.registry.balancing
    for _ in range(50):
        for lease in balancing.open_leases(service_id):
            served.coordinator.selections.lost(lease, None)
    owed = len(route._outbox) + len(getattr(route, "_notices", ()))  # type: ignore[attr-defined]
    route._sending = False  # type: ignore[attr-defined]
    assert owed <= 20


async def test_a_long_message_lets_others_in_between(served: Balanced) -> None:
    """1,000 commands that take long each keep nobody's heartbeat waiting."""
    await served.agents(100)
    ids = [f"none{number}" for number in range(100)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    caller = Caller(served.balancer.Route())
    await caller.ask(select())
    (route,) = served.coordinator.selections._routes.values()
    taken: list[int] = []
    take = route._take  # type: ignore[attr-defined]

    def noting(command: Any, now: Any) -> None:
        taken.append(turns)
        take(command, now)

    route._take = noting  # type: ignore[attr-defined]
    counting = asyncio.ensure_future(count())
    commands = [select(count=50, exclude_service_ids=ids) for _ in range(300)]
    await caller.call.write(pb.RouteRequest(commands=commands))
    await until(lambda: len(taken) == 300)
    counting.cancel()
    assert max(after - before for before, after in pairwise(taken)) > 0
