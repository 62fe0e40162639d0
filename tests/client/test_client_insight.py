"""What a registry tells of its selections arrives as it is there."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.insight import InsightClient
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.selection.explain import Verdict
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound
from orion_registry.server.daemon import Daemon
from orion_registry.wire.balancer_answers import encode_stats
from orion_registry.wire.balancer_reports import decode_explanation, decode_stats
from orion_registry_pb.v1 import balancer_pb2 as pb

pytestmark = pytest.mark.timeout(30)
CALC = Selector(service_name="calc")


def static(agent_id: str, **fields: object) -> ServiceSpec:
    spec = ServiceSpec(agent_id=agent_id, service_name="calc", liveness=LivenessMode.STATIC)
    return replace(spec, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def insight(daemon: Daemon) -> AsyncIterator[InsightClient]:
    async with InsightClient(daemon.address) as connected:
        yield connected


async def test_an_explanation(daemon: Daemon, client: RegistryClient, insight: InsightClient) -> None:
    full = (await client.register(static("a", max_concurrency=1, zone="z1"))).ref.service_id
    free = (await client.register(static("b", max_concurrency=2))).ref.service_id
    async with BalancerClient(daemon.address) as balancer, balancer.select(CALC, exclude=[free]):
        told = await insight.explain(CALC, zone="z1")
    assert (told.chosen, told.strategy, told.candidate_count) == (free, StrategyName.WEIGHTED_LEAST_LOAD, 2)
    first, second = told.candidates
    assert (first.service_id, first.verdict, first.in_flight, first.zone) == (full, Verdict.FULL, 1, "z1")
    assert first.cost is None
    assert (second.verdict, second.max_concurrency, second.cost) == (Verdict.CHOSEN, 2, 0.5)
    assert "zone 'z1'" in told.reason
    nobody = await insight.explain(Selector(service_name="room"), strategy=StrategyName.RANDOM)
    assert (nobody.chosen, nobody.candidates, nobody.reason) == (None, (), "none of 0")
    with pytest.raises(InvalidArgument, match=r"selector\.tags"):
        await insight.explain(Selector(tags="gpu"))  # type: ignore[arg-type] # the mistake that it is about


async def test_leases(daemon: Daemon, client: RegistryClient, insight: InsightClient) -> None:
    service_id = (await client.register(static("a"))).ref.service_id
    async with BalancerClient(daemon.address, caller="ann") as ann, BalancerClient(daemon.address, caller="bob") as bob:
        first = await ann.acquire(CALC, ttl_s=30.0)
        second = await bob.acquire(CALC)
        leases = [lease async for lease in insight.leases()]
        assert [(one.selection_id, one.caller) for one in leases] == [
            (first.selection_id, "ann"),
            (second.selection_id, "bob"),
        ]
        assert {one.service_id for one in leases} == {service_id}
        assert leases[0].on_stream
        assert 0.0 <= leases[0].age_s < 29.0 < leases[0].left_s + 1.0
        assert [one.caller async for one in insight.leases(service_id, caller="bob")] == ["bob"]
    with pytest.raises(NotFound, match="nobody"):
        _ = [one async for one in insight.leases("nobody")]


async def test_performance_and_stats(daemon: Daemon, client: RegistryClient, insight: InsightClient) -> None:
    service_id = (await client.register(static("a", max_concurrency=3, weight=2.0))).ref.service_id
    before = await insight.performance(service_id)
    assert (before.average_s, before.p95_s, before.success_rate) == (None, None, 1.0)
    async with BalancerClient(daemon.address) as balancer:
        await balancer.release(await balancer.acquire(CALC), Outcome.SUCCEEDED, 0.25)
        await balancer.release(await balancer.acquire(CALC), Outcome.FAILED, 0.5)
        held = await balancer.acquire(CALC, strategy=StrategyName.RANDOM)
        after = await insight.performance(service_id)
        stats, streams = await insight.stats()
        await balancer.release(held)
    assert (after.succeeded, after.failed, after.success_rate) == (1, 1, 0.5)
    assert (after.in_flight, after.leases, after.max_concurrency, after.weight) == (1, 1, 3, 2.0)
    assert (after.average_s, after.min_s, after.max_s) == (0.25, 0.25, 0.25)
    assert after.p50_s == pytest.approx(0.25, rel=0.05)
    assert (stats.leases_open, stats.waiting, streams) == (1, 0, 1)
    assert stats.scopes == {Scope(): StrategyName.WEIGHTED_LEAST_LOAD}
    assert stats.strategies[StrategyName.RANDOM].selections == 1
    with pytest.raises(NotFound, match="nobody"):
        await insight.performance("nobody")


async def test_what_comes_is_what_the_core_says(daemon: Daemon, client: RegistryClient) -> None:
    """The decoders undo the encoders of the daemon."""
    await client.register(static("a"))
    balancing = daemon.coordinator.registry.balancing
    stats, streams = decode_stats(pb.GetBalancerStatsResponse.FromString(encode_stats(balancing.stats, 7)))
    assert (stats, streams) == (balancing.stats, 7)
    unknown = pb.ExplainSelectionResponse(strategy=pb.SelectionStrategy.ValueType(99))
    unknown.candidates.add(verdict=pb.CandidateVerdict.ValueType(99), tier=99)
    told = decode_explanation(unknown)
    assert (told.strategy, told.candidates[0].verdict) == (None, Verdict.OUTRANKED), "of a newer registry"


async def test_a_timeout_is_above_zero() -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        InsightClient(timeout_s=0.0)
