"""Every RPC as everybody: who gets which answer, and that what is refused changes nothing."""

from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.core.access.rights import Role
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import admin_pb2, balancer_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.fuzz.schema import learn
from tests.security import matrix
from tests.security.driving import Metadata
from tests.security.matrix import ALL_COLUMNS, OWNER, ask_all, short, shown_by
from tests.security.requests import NAMESPACE, Ground
from tests.security.table import rows
from tests.server.serving import OWN_CONNECTION
from tests.server.tokens import Tokens, bearer


async def test_everybody_gets_the_answer_that_the_table_says() -> None:
    found = await ask_all()
    assert not found.wrong
    assert len(found.cells) == len(rows()) * len(ALL_COLUMNS) >= 600


async def test_an_rpc_without_a_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(row for row in rows() if row.rpc == "Health.Check")
    monkeypatch.setattr(matrix, "rows", lambda: kept)
    found = await ask_all()
    assert "Admin.ImportSnapshot" in found.unlisted
    assert any("has no row" in line for line in found.wrong)


async def test_who_may_not_see_a_service_cannot_tell_that_it_is_there(tmp_path: Path) -> None:
    """The same code, reason and words for a service of another namespace, for one that nothing has, and for one that
    was removed there, with all that is kept of it.
    """
    tokens = Tokens(tmp_path / "t")
    shown = shown_by(tokens)
    async with (
        running_daemon(tokens_file=str(tokens.path)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        served = {short(rpc): rpc for rpc in await learn(channel, shown["right"])}
        ground = Ground(channel, shown["right"])
        hidden = [row for row in rows() if row.expected["foreign"] == "NO_SUCH_SERVICE" and row.rpc in served]
        asked = 0
        for row in hidden:
            if row.rpc in {"Registry.Heartbeat", "Balancer.Route"}:
                continue  # core/test_rights holds it for hello; a command of Route is judged as the unary call
            (message,) = await row.make(ground)
            called: Any = channel.unary_stream(served[row.rpc].path)
            there = await _answer(called, message, shown["foreign"])
            nowhere = _renamed(message, ground.service_id)
            assert there.replace(ground.service_id, _nowhere(ground.service_id).decode()) == await _answer(
                called, nowhere, shown["foreign"]
            ), row
            admin: Any = AdminServiceStub(channel)
            drain = admin_pb2.SetOverlayRequest(key={"service_id": ground.service_id}, mode=2)  # type: ignore[arg-type] # a mapping and a number do as well
            await admin.SetOverlay(drain, metadata=shown["right"])
            await admin.RemoveService(
                admin_pb2.RemoveServiceRequest(service_id=ground.service_id), metadata=shown["right"]
            )
            assert await _answer(called, message, shown["foreign"]) == there, row
            asked += 1
        assert asked >= 14


async def _answer(called: Any, message: Any, metadata: Metadata) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await called(message.SerializeToString(), metadata=metadata).read()
    return f"{refused.value.code().name} {refused.value.details()}"


def _renamed(message: Any, service_id: str) -> Any:
    """The same message about a service that nothing has; both names are of one length, so the bytes stay a message."""
    return type(message).FromString(message.SerializeToString().replace(service_id.encode(), _nowhere(service_id)))


def _nowhere(service_id: str) -> bytes:
    return b"nowhere".ljust(len(service_id), b"x")


async def test_a_viewer_of_one_namespace_sees_its_events_and_no_others(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    everything, viewer = bearer(tokens.add(OWNER)), bearer(tokens.add("eve", [Role.VIEWER], [NAMESPACE]))
    async with (
        running_daemon(tokens_file=str(tokens.path)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        registry, admin = _stubs(channel)
        for namespace in (NAMESPACE, "secret"):
            await registry.RegisterService(_register(namespace), metadata=everything)
        listed = await admin.ListEvents(admin_pb2.ListEventsRequest(namespace=NAMESPACE), metadata=viewer)
        watched = await admin.WatchEvents(admin_pb2.WatchEventsRequest(namespace=NAMESPACE), metadata=viewer).read()
        for answer in (listed, watched):
            assert [event.namespace for event in answer.events] == [NAMESPACE]
            assert b"secret" not in answer.SerializeToString()
        every = await admin.ListEvents(admin_pb2.ListEventsRequest(), metadata=everything)
        assert [event.namespace for event in every.events] == ["", NAMESPACE, "secret"]
        both = admin_pb2.ListEventsRequest(
            namespace=NAMESPACE, service_id=every.events[2].service_registered.service_id
        )
        assert not (await admin.ListEvents(both, metadata=viewer)).events


async def test_events_of_an_id_are_those_of_the_namespace_that_has_it_now(tmp_path: Path) -> None:
    """An id goes from one namespace to another and back: neither history nor what comes crosses over."""
    tokens = Tokens(tmp_path / "t")
    everything, viewer = bearer(tokens.add(OWNER)), bearer(tokens.add("bob", [Role.VIEWER], [NAMESPACE]))
    async with (
        running_daemon(tokens_file=str(tokens.path)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        registry, admin = _stubs(channel)

        async def register(namespace: str) -> None:
            request = _register(namespace)
            request.service.service_id = "shared"
            await registry.RegisterService(request, metadata=everything)

        async def remove() -> None:
            await admin.RemoveService(admin_pb2.RemoveServiceRequest(service_id="shared"), metadata=everything)

        await register("secret")
        await remove()
        await register(NAMESPACE)
        listed = await admin.ListEvents(admin_pb2.ListEventsRequest(service_id="shared"), metadata=viewer)
        watch = admin.WatchEvents(admin_pb2.WatchEventsRequest(service_id="shared"), metadata=viewer)
        seen = list((await watch.read()).events)
        assert {event.namespace for event in (*listed.events, *seen)} == {NAMESPACE}
        await remove()
        await register("secret")
        await remove()
        await register(NAMESPACE)
        while sum(event.HasField("service_registered") for event in seen) < 2:
            seen += (await watch.read()).events
        assert {event.namespace for event in seen} == {NAMESPACE}
        all_of_it = await admin.ListEvents(admin_pb2.ListEventsRequest(service_id="shared"), metadata=everything)
        assert {event.namespace for event in all_of_it.events} == {NAMESPACE, "secret"}


async def test_no_answer_of_one_namespace_names_another(tmp_path: Path) -> None:
    """Page tokens, overlays, statistics, a taken service_id."""
    tokens = Tokens(tmp_path / "t")
    everything = bearer(tokens.add(OWNER))
    here = bearer(tokens.add("here", namespaces=[NAMESPACE]))
    async with (
        running_daemon(tokens_file=str(tokens.path)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        registry, admin = _stubs(channel)
        balancer: Any = BalancerServiceStub(channel)
        for number in range(3):
            await registry.RegisterService(_register("secret", f"secret-{number}"), metadata=everything)
        hidden = await registry.RegisterService(_register("secret", service_id="taken"), metadata=everything)
        page = registry_pb2.DiscoverServicesRequest(selector={"namespace": "secret"}, page_size=1)  # type: ignore[arg-type] # a mapping does as well
        token = (await registry.DiscoverServices(page, metadata=everything)).next_page_token
        assert token
        answers = [
            await _refusal(
                registry.DiscoverServices(
                    registry_pb2.DiscoverServicesRequest(selector={"namespace": NAMESPACE}, page_token=token),  # type: ignore[arg-type] # as above
                    metadata=here,
                )
            ),
            await _refusal(registry.RegisterService(_register(NAMESPACE, service_id="taken"), metadata=here)),
        ]
        await admin.SetOverlay(
            admin_pb2.SetOverlayRequest(selector={"namespace": "secret"}, mode=2, note="secret"),  # type: ignore[arg-type] # as above
            metadata=everything,
        )
        strategy = balancer_pb2.SetStrategyRequest(capability="secret", strategy=1)  # type: ignore[arg-type] # a number does as well
        await balancer.SetStrategy(strategy, metadata=everything)
        overlays = admin_pb2.ListOverlaysRequest(namespace=NAMESPACE, page_token="secret/secret-0/calc/x", page_size=1)
        stats = await balancer.GetBalancerStats(balancer_pb2.GetBalancerStatsRequest(), metadata=here)
        assert [scope.capability for scope in stats.scopes] == [""]
        every = await balancer.GetBalancerStats(balancer_pb2.GetBalancerStatsRequest(), metadata=everything)
        assert [scope.capability for scope in every.scopes] == ["", "secret"]
        answers += [
            str(await admin.ListOverlays(overlays, metadata=here)),
            str(stats),
            str(await admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), metadata=here)),
        ]
        assert hidden.service.service_id == "taken"
        for answer in answers:
            assert "secret" not in answer


async def _refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return f"{refused.value.code().name} {refused.value.details()}"


def _stubs(channel: grpc.aio.Channel) -> tuple[Any, Any]:
    return RegistryServiceStub(channel), AdminServiceStub(channel)


def _register(namespace: str, agent_id: str = "secret", service_id: str = "") -> registry_pb2.RegisterServiceRequest:
    service = service_pb2.ServiceInfo(
        namespace=namespace,
        agent_id=agent_id if namespace != NAMESPACE else "calc",
        service_name="calc",
        service_id=service_id,
        host="127.0.0.1",
        port=80,
        liveness=4,  # type: ignore[arg-type] # a number does as well
    )
    return registry_pb2.RegisterServiceRequest(service=service)
