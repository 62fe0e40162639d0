"""Who calls: by token, by certificate, by both, by the way it came; and open streams of who is let in no more."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.core.access.rights import Role
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import admin_pb2, balancer_pb2, service_pb2
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1.admin_pb2_grpc import AdminServiceStub
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.cluster.members import fresh_prefix
from tests.etcd.node import needs_etcd, shared_etcd
from tests.server.serving import OWN_CONNECTION, until
from tests.server.tls import EVERYBODY, Certs, running_tls, write_access
from tests.server.tokens import Tokens, bearer

Metadata = tuple[tuple[str, str], ...]
DISCOVER = pb.DiscoverServicesRequest()
ENDED_S = 10.0
"""Streams end within 2 s of a change; a busy machine is given more."""


def register(namespace: str = "", *capabilities: str, agent_id: str = "calc") -> pb.RegisterServiceRequest:
    service = service_pb2.ServiceInfo(
        namespace=namespace,
        agent_id=agent_id,
        service_name="calc",
        host="127.0.0.1",
        port=80,
        capabilities=capabilities,
    )
    return pb.RegisterServiceRequest(service=service)


@asynccontextmanager
async def known(tokens: Tokens, **settings: Any) -> "AsyncIterator[tuple[Daemon, grpc.aio.Channel]]":
    """A daemon with tokens over plaintext, and a channel to it."""
    async with (
        running_daemon(tokens_file=str(tokens.path), **settings) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        yield daemon, channel


async def refused(call: Awaitable[Any]) -> tuple[str, str]:
    """Code and message of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code().name, failed.value.details() or ""


async def test_a_token_says_who_calls(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("spiffe://fleet/calc", [Role.AGENT], ["default"])
    async with known(tokens) as (daemon, channel):
        stub: Any = RegistryServiceStub(channel)
        done = await stub.RegisterService(register(), metadata=bearer(text))
        record = daemon.coordinator.registry.get(done.service.service_id).snapshot.record
        assert (record.identity, record.address) == ("spiffe://fleet/calc", "127.0.0.1")
        code, message = await refused(stub.RegisterService(register("payments"), metadata=bearer(text)))
        assert code == "PERMISSION_DENIED"
        assert "needs the role agent in namespace 'payments'; 'spiffe://fleet/calc' does not have it there" in message
        admin: Any = AdminServiceStub(channel)
        code, message = await refused(admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), metadata=bearer(text)))
        assert (code, message) == ("PERMISSION_DENIED", "GetServerInfo may be called by: operator, viewer")


async def test_what_may_be_claimed_is_in_the_token(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc", [Role.AGENT], ["default"], ["math.*"])
    async with known(tokens) as (_, channel):
        stub: Any = RegistryServiceStub(channel)
        await stub.RegisterService(register("", "math.add"), metadata=bearer(text))
        code, message = await refused(stub.RegisterService(register("", "pay"), metadata=bearer(text)))
        assert (code, "'calc' may not claim 'pay'" in message) == ("PERMISSION_DENIED", True)


def headers(text: str) -> dict[str, Metadata]:
    """Wrong ones, by what is wrong with them."""
    return {
        "none": (),
        "no scheme": (("authorization", text),),
        "another scheme": (("authorization", f"Basic {text}"),),
        "two spaces": (("authorization", f"Bearer  {text}"),),
        "tail": (("authorization", f"Bearer {text},"),),
        "given twice": (*bearer(text), *bearer(text)),
        "another secret": bearer(text[:-4] + "AAAA"),
        "another id": bearer(text.replace(text[6:18], "zzzzzzzzzzzz")),
        "long": bearer(text + "x" * 4_000),
        "empty": (("authorization", ""),),
    }


async def test_only_one_form_of_header_is_a_token(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc")
    async with known(tokens) as (_, channel):
        stub: Any = RegistryServiceStub(channel)
        await stub.DiscoverServices(DISCOVER, metadata=bearer(text))
        for wrong, metadata in headers(text).items():
            code, message = await refused(stub.DiscoverServices(DISCOVER, metadata=metadata))
            assert code == "UNAUTHENTICATED", wrong
            assert text[20:40] not in message, wrong
            assert message.startswith("authorization: "), wrong


async def test_where_nothing_is_required_the_header_is_nothing() -> None:
    async with (
        running_daemon() as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        await stub.RegisterService(register(), metadata=bearer("rubbish"))


async def test_a_unix_socket_is_the_owners_and_a_token_makes_less_of_him(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    viewer = tokens.add("eve", [Role.VIEWER])
    async with (
        known(tokens, listen=(f"unix:{tmp_path}/s",)) as (_, channel),
    ):
        stub: Any = RegistryServiceStub(channel)
        await stub.RegisterService(register())
        code, _ = await refused(stub.RegisterService(register(), metadata=bearer(viewer)))
        assert code == "PERMISSION_DENIED"
        code, _ = await refused(stub.DiscoverServices(DISCOVER, metadata=bearer("rubbish")))
        assert code == "UNAUTHENTICATED"


async def test_a_stolen_token_is_worth_nothing_behind_another_certificate(tmp_path: Path) -> None:
    certs, tokens = Certs(tmp_path), Tokens(tmp_path / "t")
    text = tokens.add("spiffe://fleet/calc", [Role.CALLER], ["default"])
    owner, thief = certs.client("spiffe://fleet/calc"), certs.client("spiffe://fleet/thief")
    async with running_tls(certs, tokens_file=str(tokens.path)) as daemon:
        mine = owner.open_channel(daemon.address, OWN_CONNECTION)
        other = thief.open_channel(daemon.address, OWN_CONNECTION)
        async with mine, other:
            stub: Any = RegistryServiceStub(mine)
            await stub.DiscoverServices(DISCOVER, metadata=bearer(text))
            await stub.RegisterService(register())  # what access_file grants to the certificate
            code, _ = await refused(stub.RegisterService(register(), metadata=bearer(text)))
            assert code == "PERMISSION_DENIED"  # a token's rights are its own
            stub = RegistryServiceStub(other)
            await stub.RegisterService(register(agent_id="thief"))
            code, message = await refused(stub.DiscoverServices(DISCOVER, metadata=bearer(text)))
            assert (code, "is of another identity than the client certificate" in message) == ("UNAUTHENTICATED", True)


async def test_an_identity_without_a_grant_may_do_nothing(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    settings = {**certs.settings, "access_file": ""}
    async with (
        running_daemon(**settings) as daemon,
        certs.client("calc").open_channel(daemon.address, OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        code, message = await refused(stub.DiscoverServices(DISCOVER))
        assert code == "PERMISSION_DENIED"
        assert "nothing is granted to 'calc': add a [[grant]] to access_file" in message


# Open streams.

Opener = Callable[[Any, Any, Any, Metadata], Any]

STREAMS: dict[str, Opener] = {
    "WatchServices": lambda registry, _b, _a, with_: registry.WatchServices(pb.WatchServicesRequest(), metadata=with_),
    "Heartbeat": lambda registry, _b, _a, with_: registry.Heartbeat(metadata=with_),
    "Route": lambda _r, balancer, _a, with_: balancer.Route(metadata=with_),
    "WatchEvents": lambda _r, _b, admin, with_: admin.WatchEvents(admin_pb2.WatchEventsRequest(), metadata=with_),
}


def open_all(channel: grpc.aio.Channel, metadata: Metadata) -> dict[str, Any]:
    """One stream of each kind that lasts."""
    registry, balancer, admin = RegistryServiceStub(channel), BalancerServiceStub(channel), AdminServiceStub(channel)
    calls: dict[str, Any] = {name: opener(registry, balancer, admin, metadata) for name, opener in STREAMS.items()}
    calls["ImportSnapshot"] = admin.ImportSnapshot(metadata=metadata)
    reflect: Any = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    calls["reflection"] = reflect(metadata=metadata)
    return calls


async def begin(daemon: Daemon, calls: dict[str, Any], others: int = 0) -> None:
    """Waits until all are served, besides others."""
    await calls["Heartbeat"].write(hb.HeartbeatRequest(hello=hb.Hello(agent_id="calc")))
    assert (await calls["Heartbeat"].read()).HasField("welcome")
    await calls["Route"].write(balancer_pb2.RouteRequest())
    await calls["WatchServices"].read()
    calls_open = daemon_door(daemon)._calls
    await until(lambda: len(calls_open) == len(calls) + others)


def daemon_door(daemon: Daemon) -> Any:
    return daemon._door


async def code_of(call: Any) -> str:
    """What a stream ends with. gRPC tells once all that came before was read."""
    async with asyncio.timeout(ENDED_S):
        with suppress(grpc.aio.AioRpcError):
            if hasattr(call, "read"):
                while await call.read() is not grpc.aio.EOF:
                    pass
        code: grpc.StatusCode = await call.code()
    return code.name


async def test_streams_of_a_revoked_token_end(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    lost, kept = tokens.add("calc"), tokens.add("calc")
    async with known(tokens) as (daemon, channel):
        ending = open_all(channel, bearer(lost))
        await begin(daemon, ending)
        staying = open_all(channel, bearer(kept))
        await refused(staying.pop("ImportSnapshot"))  # there is one already
        await begin(daemon, staying, len(ending))
        tokens.revoke(lost)
        began = time.monotonic()
        for name, call in ending.items():
            assert await code_of(call) == "UNAUTHENTICATED", name
        print(f"all ended within {time.monotonic() - began:.2f} s")
        await until(lambda: len(daemon_door(daemon)._calls) == len(staying))
        assert not any(call.done() for call in staying.values())
        await until(lambda: len(daemon.coordinator.streams) == 1)
        stub: Any = RegistryServiceStub(channel)
        code, message = await refused(stub.DiscoverServices(DISCOVER, metadata=bearer(lost)))
        assert (code, "or it was revoked" in message) == ("UNAUTHENTICATED", True)


async def test_a_denial_that_ends_a_stream_names_who_was_let_in(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc")
    async with known(tokens) as (daemon, channel):
        told: dict[str, str] = {}
        daemon_door(daemon).tell_refusals(lambda actor, name, _error: told.update({name: actor.identity}))
        calls = open_all(channel, bearer(text))
        await begin(daemon, calls)
        tokens.revoke(text)
        for call in calls.values():
            await code_of(call)
        methods = {"ServerReflectionInfo" if name == "reflection" else name for name in calls}
        assert told == dict.fromkeys(methods, "calc")
        stub: Any = RegistryServiceStub(channel)
        await refused(stub.DiscoverServices(DISCOVER, metadata=bearer(text)))
        assert told["DiscoverServices"] == ""


async def test_streams_end_with_their_token(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc", ttl_s=3.0)
    async with known(tokens) as (daemon, channel):
        calls = open_all(channel, bearer(text))
        await begin(daemon, calls)
        for name, call in calls.items():
            assert await code_of(call) == "UNAUTHENTICATED", name
        assert "has ended" in await calls["WatchServices"].details()


async def test_streams_end_when_what_they_need_is_taken_away(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    rules = tmp_path / "rules.toml"
    write_access(rules, EVERYBODY)
    async with (
        running_tls(certs, access_file=str(rules)) as daemon,
        certs.client("calc").open_channel(daemon.address, OWN_CONNECTION) as channel,
    ):
        calls = open_all(channel, ())
        await begin(daemon, calls)
        write_access(rules, '[[grant]]\nidentity = "calc"\nroles = ["caller"]\n')
        for name in ("Heartbeat", "WatchEvents", "ImportSnapshot"):
            assert await code_of(calls[name]) == "PERMISSION_DENIED", name
        assert not any(calls[name].done() for name in ("WatchServices", "Route", "reflection"))  # callers may


async def test_who_may_see_less_follows_no_id_into_what_it_may_not(tmp_path: Path) -> None:
    """A watch of one service by an id goes by what its caller might see when it began."""
    certs = Certs(tmp_path)
    rules = tmp_path / "rules.toml"
    write_access(rules, EVERYBODY)
    async with (
        running_tls(certs, access_file=str(rules)) as daemon,
        certs.client("calc").open_channel(daemon.address, OWN_CONNECTION) as channel,
    ):
        registry, admin = RegistryServiceStub(channel), AdminServiceStub(channel)
        done: Any = await registry.RegisterService(register("pay"))
        call: Any = admin.WatchEvents(admin_pb2.WatchEventsRequest(service_id=done.service.service_id))
        await call.read()
        write_access(rules, '[[grant]]\nidentity = "calc"\nroles = ["viewer"]\nnamespaces = ["pay"]\n')
        assert await code_of(call) == "PERMISSION_DENIED"
        assert "ask again" in await call.details()


async def test_a_stream_ends_when_its_service_may_be_offered_no_more(tmp_path: Path) -> None:
    """Others of the same identity go on; what is granted later counts for streams that are open."""
    certs = Certs(tmp_path)
    rules = tmp_path / "rules.toml"
    grant = '[[grant]]\nidentity = "calc"\nroles = ["agent"]\nnamespaces = [{}]\ncapabilities = ["{}"]\n'
    write_access(rules, grant.format('"pay", "other"', "*"))
    async with (
        running_tls(certs, access_file=str(rules)) as daemon,
        certs.client("calc").open_channel(daemon.address, OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        calls = []
        for number, namespace in enumerate(("pay", "other")):
            done = await stub.RegisterService(register(namespace, f"cap.{number}", agent_id=namespace))
            ref = service_pb2.SessionRef(
                service_id=done.service.service_id, epoch=done.service.epoch, secret=done.secret
            )
            call = stub.Heartbeat()
            hello = hb.Hello(agent_id=namespace, sessions=[hb.Session(ref=ref)])
            await call.write(hb.HeartbeatRequest(hello=hello))
            assert (await call.read()).HasField("welcome")
            assert not (await call.read()).sessions.results[0].HasField("error")
            calls.append(call)
        write_access(rules, grant.format('"other"', "cap.*"))
        assert await code_of(calls[0]) == "PERMISSION_DENIED"
        assert "role agent in namespace 'pay'" in await calls[0].details()
        assert not calls[1].done()
        write_access(rules, grant.format('"other"', "cap.2"))
        assert await code_of(calls[1]) == "PERMISSION_DENIED"
        assert "may not claim 'cap.1'" in await calls[1].details()


@pytest.mark.parametrize("clustered", [False, pytest.param(True, marks=needs_etcd)], ids=["alone", "in a cluster"])
async def test_who_waits_for_a_slot_waits_no_longer_than_it_may_have_one(tmp_path: Path, clustered: bool) -> None:
    """By a call of its own and on a stream; what then gets free goes to neither. The stream goes on."""
    certs = Certs(tmp_path)
    member = {"etcd_endpoints": (shared_etcd(),), "etcd_prefix": fresh_prefix()} if clustered else {}
    rules = tmp_path / "rules.toml"
    write_access(rules, EVERYBODY)
    async with (
        running_tls(certs, access_file=str(rules), **member) as daemon,
        certs.client("calc").open_channel(daemon.address, OWN_CONNECTION) as channel,
    ):
        registry, balancer = RegistryServiceStub(channel), BalancerServiceStub(channel)
        request = register("pay")
        request.service.liveness = service_pb2.LIVENESS_MODE_STATIC
        request.service.max_concurrency = 1
        await registry.RegisterService(request)
        wanted = balancer_pb2.SelectServiceRequest(selector=service_pb2.Selector(namespace="pay"))
        held = await balancer.SelectService(wanted)
        route: Any = balancer.Route()
        plain = balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand(id=3, select=wanted)])
        for _ in range(2):  # the second one goes the short way
            await route.write(plain)
            assert "NO_FREE_SLOT" in str((await route.read()).results[0].error)
        wanted.wait_timeout.FromSeconds(60)
        await route.write(balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand(id=1, select=wanted)]))
        assert (await route.read()).results[0].HasField("waiting")
        waiting = asyncio.ensure_future(refused(balancer.SelectService(wanted)))
        stats = daemon.coordinator.registry.balancing
        await until(lambda: stats.stats.waiting == 2)
        write_access(rules, '[[grant]]\nidentity = "calc"\nroles = ["caller"]\nnamespaces = ["other"]\n')
        async with asyncio.timeout(ENDED_S):
            code, message = await waiting
            (result,) = (await route.read()).results
        assert (code, "role caller in namespace 'pay'" in message) == ("PERMISSION_DENIED", True)
        assert (result.id, "role caller in namespace 'pay'" in result.error.message) == (1, True)
        await until(lambda: stats.stats.waiting == 0)
        await route.write(plain)
        assert "role caller in namespace 'pay'" in (await route.read()).results[0].error.message
        release = balancer_pb2.ReleaseServiceRequest(selection_id=held.selections[0].selection_id)
        await route.write(balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand(id=2, release=release)]))
        assert (await route.read()).results[0].HasField("release")
        assert stats.stats.leases_open == 0
        assert [call.method.name for call in daemon_door(daemon)._calls] == ["Route"]


async def test_health_answers_whoever_can_connect(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    async with known(tokens) as (_, channel):
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")
        assert await check(b"")
        assert await watch(b"").read()


async def test_a_broken_tokens_file_lets_the_old_one_go_on(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    text = tokens.add("calc")
    async with known(tokens) as (daemon, channel):
        tokens.path.write_text("{")
        await until(lambda: [alarm.name for alarm in daemon.coordinator.alarms.held] == ["ACCESS"], ENDED_S)
        stub: Any = RegistryServiceStub(channel)
        await stub.DiscoverServices(DISCOVER, metadata=bearer(text))
        tokens.write()
        await until(lambda: not daemon.coordinator.alarms.held, ENDED_S)


async def test_quotas_hold_from_the_start_and_change_with_their_file(tmp_path: Path) -> None:
    rules = write_access(tmp_path / "rules.toml", '[[quota]]\nnamespace = "*"\nservices = 1\n')
    async with (
        running_daemon(access_file=str(rules)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        stub: Any = RegistryServiceStub(channel)
        await stub.RegisterService(register(agent_id="a"))
        code, _ = await refused(stub.RegisterService(register(agent_id="b")))
        assert code == "RESOURCE_EXHAUSTED"
        write_access(rules, '[[quota]]\nnamespace = "*"\nservices = 2\n')
        await until(lambda: daemon.coordinator.registry._fleet.usage.quotas.of("x").services == 2, ENDED_S)
        await stub.RegisterService(register(agent_id="b"))
