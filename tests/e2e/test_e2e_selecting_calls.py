"""What a person does with grpcurl: select, release, report, switch, explain, and every refusal with its reason."""

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from google.protobuf.duration_pb2 import Duration

from orion_registry.errors import Reason
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import registry_pb2
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from orion_registry_pb.v1.service_pb2 import LivenessMode, Selector, ServiceInfo, ServiceStatus, SessionRef
from tests.server.test_server_wrapper import typed

ADDERS = Selector(capabilities=["math.add"], tags=["gpu"])
SECRET = "a-secret-of-at-least-32-characters"
Stubs = tuple[Any, Any]


@pytest.fixture
async def stubs() -> AsyncIterator[Stubs]:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address) as channel:
        yield RegistryServiceStub(channel), BalancerServiceStub(channel)


async def register(stubs: Stubs, agent_id: str, **fields: Any) -> SessionRef:
    info = ServiceInfo(
        agent_id=agent_id,
        service_name="calc",
        host="10.0.0.7",
        port=9000,
        capabilities=["math.add"],
        tags=["gpu"],
        max_concurrency=1,
        liveness=LivenessMode.LIVENESS_MODE_STATIC,
        **fields,
    )
    got = (await stubs[0].RegisterService(registry_pb2.RegisterServiceRequest(service=info, secret=SECRET))).service
    return SessionRef(service_id=got.service_id, epoch=got.epoch, secret=SECRET)


async def refused(call: Any, reason: Reason, code: grpc.StatusCode, retry: bool = False) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = typed(caught.value)
    assert (error.reason, caught.value.code(), error.retry_after_s is not None) == (reason, code, retry)
    return str(error.message)


async def test_a_persons_round(stubs: Stubs) -> None:
    _, balancer = stubs
    ref = await register(stubs, "calc-1")
    got = (await balancer.SelectService(pb.SelectServiceRequest(selector=ADDERS))).selections[0]
    assert (got.service.service_id, got.ttl.seconds) == (ref.service_id, 60)
    full = balancer.SelectService(pb.SelectServiceRequest(selector=ADDERS))
    await refused(full, Reason.NO_FREE_SLOT, grpc.StatusCode.RESOURCE_EXHAUSTED, retry=True)
    release = pb.ReleaseServiceRequest(
        selection_id=got.selection_id, outcome=pb.CALL_OUTCOME_SUCCEEDED, response_time=Duration(seconds=2)
    )
    await balancer.ReleaseService(release)
    await refused(balancer.ReleaseService(release), Reason.NO_SUCH_LEASE, grpc.StatusCode.NOT_FOUND)
    unknown = balancer.ReleaseService(pb.ReleaseServiceRequest(selection_id="nothing"))
    assert "'nothing'" in await refused(unknown, Reason.NO_SUCH_LEASE, grpc.StatusCode.NOT_FOUND)
    report = pb.ReportOutcomeRequest(
        service_id=ref.service_id, outcome=pb.CALL_OUTCOME_FAILED, response_time=Duration(seconds=1)
    )
    await balancer.ReportOutcome(report)
    seen = await balancer.GetServicePerformance(pb.GetServicePerformanceRequest(service_id=ref.service_id))
    assert (seen.succeeded, seen.failed, seen.success_rate, seen.average.seconds) == (1, 1, 0.5, 2)
    by_turns = pb.SetStrategyRequest(capability="math.add", strategy=pb.SELECTION_STRATEGY_ROUND_ROBIN)
    assert (await balancer.SetStrategy(by_turns)).previous == pb.SELECTION_STRATEGY_UNSPECIFIED
    told = await balancer.ExplainSelection(
        pb.ExplainSelectionRequest(request=pb.SelectServiceRequest(selector=ADDERS), seed=1)
    )
    assert (told.strategy, told.chosen_service_id) == (pb.SELECTION_STRATEGY_ROUND_ROBIN, ref.service_id)


async def test_the_kinds_of_none_are_told_apart(stubs: Stubs) -> None:
    registry, balancer = stubs
    nobody = balancer.SelectService(pb.SelectServiceRequest(selector=ADDERS))
    await refused(nobody, Reason.NO_MATCH, grpc.StatusCode.NOT_FOUND)
    ref = await register(stubs, "calc-1")
    request = pb.SelectServiceRequest(selector=ADDERS, exclude_service_ids=[ref.service_id])
    message = await refused(balancer.SelectService(request), Reason.NO_MATCH, grpc.StatusCode.NOT_FOUND)
    assert message.endswith("but 1 that the request excludes")
    stopping = registry_pb2.UpdateServiceStatusRequest(ref=ref, status=ServiceStatus.SERVICE_STATUS_STOPPING)
    await registry.UpdateServiceStatus(stopping)
    none_ready = balancer.SelectService(pb.SelectServiceRequest(selector=ADDERS))
    message = await refused(none_ready, Reason.NO_READY_SERVICE, grpc.StatusCode.UNAVAILABLE, retry=True)
    assert "1 SELF_REPORTED" in message


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf"), 1_001.0])
async def test_a_weight_that_is_none_is_refused(stubs: Stubs, weight: float) -> None:
    call = register(stubs, "calc-1", weight=weight)
    message = await refused(call, Reason.BAD_FIELD, grpc.StatusCode.INVALID_ARGUMENT)
    assert message.startswith("service.weight: must be above 0 and at most 1,000, got")
