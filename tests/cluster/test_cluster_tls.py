"""Members over TLS: at etcd, which they show certificates and a password, and at each other's gRPC port."""

from __future__ import annotations  # grpc's classes are generic for type checkers alone

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.credentials import Credentials
from orion_registry.core.model import LivenessMode
from orion_registry.errors import Reason, RegistryError
from orion_registry.server.cluster_methods import CLUSTER_SERVICE
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.wire.status import DETAILS_KEY, error_from_status
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb
from tests.cluster.members import fresh_prefix, of, running_members, settings_of, shown, until
from tests.cluster.test_cluster_links import link_to
from tests.cluster.test_cluster_members import CALC, spec
from tests.etcd.node import free_port, needs_etcd, running_node
from tests.etcd.test_etcd_tls import add_user, running_tls_node, shown_by
from tests.server.serving import OWN_CONNECTION
from tests.server.tls import Certs

pytestmark = [needs_etcd, pytest.mark.timeout(120)]


def etcd_settings(certs: Certs, ca: Path | None = None) -> dict[str, Any]:
    return {f"etcd_{name}": value for name, value in shown_by(certs, ca).items()}


def member_settings(certs: Certs, members: Certs | None = None) -> dict[str, Any]:
    """Members that show each other certificates: of the clients' authority, or of one of their own."""
    if members is None:
        return certs.settings
    return certs.settings | {
        "tls_cert_file": str(members.server_cert),
        "tls_key_file": str(members.server_key),
        "member_ca_file": str(members.authority.file),
    }


def linked(members: list[Daemon]) -> bool:
    """Whether all of them hear each other."""
    return all(of(one).peers.reachable(other.life) for one in members for other in of(one).membership.others)


async def static(daemon: Daemon, credentials: Credentials | None = None, **fields: Any) -> str:
    """A service of a member's own; its id."""
    async with RegistryClient(daemon.address, credentials=credentials) as client:
        made = await client.register(spec(liveness=LivenessMode.STATIC, **fields))
        return made.service.service_id


@asynccontextmanager
async def calls(address: str, credentials: Credentials) -> AsyncIterator[grpc.aio.Channel]:
    async with credentials.open_channel(address, OWN_CONNECTION) as channel:
        yield channel


async def reserved_with(channel: grpc.aio.Channel, token: str, service_id: str) -> str:
    """The reason that a Reserve ends with, or the code if there is none; empty if it is granted."""
    request = pb.ReserveRequest(token=token, service_id=service_id, caller="/test", namespace="default")
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{CLUSTER_SERVICE}/Reserve")
    try:
        await call(request.SerializeToString(), timeout=10.0)
    except grpc.aio.AioRpcError as error:
        for key, value in error.trailing_metadata() or ():
            if key == DETAILS_KEY and isinstance(value, bytes):
                return error_from_status(error.code().value[0], error.details() or "", value).reason
        return error.code().name
    return ""


async def test_members_over_an_etcd_with_client_certificates(tmp_path: Path) -> None:
    certs = Certs(tmp_path / "certs")
    async with (
        running_tls_node(tmp_path, certs) as node,
        running_members(2, (node.address,), **etcd_settings(certs)) as members,
    ):
        service_id = await static(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STATIC)")


async def test_a_member_that_etcd_or_it_does_not_trust_starts_not_and_says_what_to_do(tmp_path: Path) -> None:
    certs, others = Certs(tmp_path / "certs"), Certs(tmp_path / "others")
    wrong: dict[str, dict[str, Any]] = {
        "its certificate is of no authority in etcd_ca_file": etcd_settings(certs, others.authority.file),
        "set etcd_cert_file and etcd_key_file": {"etcd_ca_file": str(certs.authority.file)},
        "if it speaks TLS, set etcd_ca_file": {},
    }
    async with running_tls_node(tmp_path, certs) as node:
        for advice, settings in wrong.items():
            daemon = Daemon(settings_of("m1", fresh_prefix(), (node.address,), **settings))
            with pytest.raises(StartError, match=advice):
                await daemon.start()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("etcd_ca_file", {"etcd_cert_file": "a.pem", "etcd_key_file": "b.pem"}),
        ("etcd_key_file", {"etcd_cert_file": "a.pem", "etcd_ca_file": "c.pem"}),
        ("etcd_password_file", {"etcd_user": "root"}),
        ("etcd_user", {"etcd_password_file": "p"}),
        ("member_ca_file", {"member_ca_file": "c.pem"}),
    ],
)
def test_half_a_setting_is_refused(field: str, given: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=f"^{field}: "):
        Settings(etcd_endpoints=("127.0.0.1:1",), **given)  # type: ignore[arg-type]  # of a test


@pytest.mark.processes
async def test_members_go_on_while_their_tokens_at_etcd_run_out(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\n")
    async with running_node(tmp_path, "--auth-token-ttl", "1") as node:
        await add_user(node)
        login = {"etcd_user": "root", "etcd_password_file": str(tmp_path / "password")}
        async with running_members(2, (node.address,), **login) as members:
            for number in range(3):
                service_id = await static(members[number % 2], agent_id=f"a{number}")
                await until(lambda at=service_id: all(shown(one, at) == "HEALTHY(STATIC)" for one in members))  # type: ignore[misc]
                await asyncio.sleep(2.5)  # simple tokens end a ttl after they were used last
            assert all(of(one).stale_s == 0 for one in members)
            assert all(len(of(one).membership.members) == 2 for one in members)


async def test_a_slot_at_another_member_is_reserved_by_mutual_tls(tmp_path: Path) -> None:
    certs = Certs(tmp_path / "certs")
    caller = certs.client("caller.example")
    async with running_members(2, **member_settings(certs)) as members:
        service_id = await static(members[0], caller, max_concurrency=1)
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STATIC)")
        async with BalancerClient(members[1].address, credentials=caller) as balancer:
            held = await balancer.acquire(CALC)
            assert of(members[0]).registry.balancing.granted_here(service_id)
            await balancer.release(held)


async def test_nobody_calls_what_members_alone_may_without_their_certificate_and_token(tmp_path: Path) -> None:
    clients, own, foreign = Certs(tmp_path / "clients"), Certs(tmp_path / "own"), Certs(tmp_path / "foreign")
    agent = clients.client("agent.example", ca=own.authority.file)
    async with running_members(2, **member_settings(clients, own)) as members:
        await until(lambda: linked(members))
        service_id = await static(members[0], agent, max_concurrency=1)
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STATIC)")
        async with BalancerClient(members[1].address, credentials=agent) as balancer:
            await balancer.release(await balancer.acquire(CALC))
        address, token = members[0].address, of(members[0]).membership.own.token
        member = Credentials(
            ca_file=str(own.authority.file), cert_file=str(own.server_cert), key_file=str(own.server_key)
        )
        async with calls(address, agent) as channel:  # with the token that who reads etcd has
            assert await reserved_with(channel, token, service_id) == Reason.NOT_ALLOWED
        async with calls(address, foreign.client("registry", ca=own.authority.file)) as channel:
            assert await reserved_with(channel, token, service_id) == "UNAVAILABLE"
        async with calls(address, member) as channel:
            assert await reserved_with(channel, "another", service_id) == Reason.NO_IDENTITY
            assert await reserved_with(channel, token, service_id) == ""


async def test_a_member_of_another_authority_is_not_heard_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    certs, others = Certs(tmp_path / "certs"), Certs(tmp_path / "others")
    prefix = fresh_prefix()
    async with (
        Daemon(settings_of("m1", prefix, **member_settings(certs))) as one,
        Daemon(settings_of("m2", prefix, **member_settings(others))) as two,
    ):
        with caplog.at_level(logging.WARNING):
            await until(lambda: "a member cannot be heard" in caplog.text)
        (told, *_) = [record for record in caplog.records if record.message == "a member cannot be heard"]
        assert "no authority in member_ca_file (or tls_client_ca_file)" in str(vars(told)["error"])
        service_id = await static(two, others.client("agent.example"), max_concurrency=1)
        await until(lambda: shown(one, service_id) == "HEALTHY(STATIC)")  # by etcd
        async with BalancerClient(one.address, credentials=certs.client("caller.example")) as balancer:
            with pytest.raises(RegistryError) as refused:
                await balancer.acquire(CALC)
            assert refused.value.reason is Reason.NO_READY_SERVICE
            assert refused.value.retry_after_s
            assert "members that do not answer: m2" in refused.value.message


async def test_links_come_back_with_the_certificates_that_took_the_place_of_the_old(tmp_path: Path) -> None:
    """The authority changes, too: both at first, then the new one alone, as docs/security.md has it."""
    certs, after = Certs(tmp_path / "certs"), Certs(tmp_path / "after")
    ca = certs.authority.file
    async with AsyncExitStack() as stack:
        members, links, prefix = [], [], fresh_prefix()
        for name in ("m1", "m2"):
            address = f"127.0.0.1:{free_port()}"
            link, advertised = await stack.enter_async_context(link_to(address))
            places: dict[str, Any] = {"listen": (address,), "advertise": (advertised, address)}
            links.append(link)
            daemon = Daemon(settings_of(name, prefix, **places, **member_settings(certs)))
            members.append(await stack.enter_async_context(daemon))
        await until(lambda: len(of(members[0]).membership.others) == 1 and linked(members))
        old_ca, new_ca = ca.read_bytes(), after.authority.file.read_bytes()
        ca.write_bytes(old_ca + new_ca)
        await until(lambda: all(new_ca in (material(one).authorities or b"") for one in members))
        certs.server_cert.write_bytes(after.server_cert.read_bytes())
        certs.server_key.write_bytes(after.server_key.read_bytes())
        await until(lambda: all(material(one).chain == after.server_cert.read_bytes() for one in members))
        ca.write_bytes(new_ca)
        await until(lambda: all(material(one).authorities == new_ca for one in members))
        assert linked(members), "links that are open go on"
        for link in links:
            link.reset()
        await until(lambda: not linked(members))
        await until(lambda: linked(members))
        caller = after.client("caller.example")
        service_id = await static(members[0], caller, max_concurrency=1)
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STATIC)")
        async with BalancerClient(members[1].address, credentials=caller) as balancer:
            await balancer.release(await balancer.acquire(CALC))


async def test_links_end_with_the_authority_that_let_them_in(tmp_path: Path) -> None:
    certs, other = Certs(tmp_path / "certs"), Certs(tmp_path / "other")
    authorities, prefix = tmp_path / "members.crt", fresh_prefix()
    authorities.write_bytes(certs.authority.file.read_bytes())
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(
                Daemon(settings_of(name, prefix, **member_settings(certs), member_ca_file=member_ca_file))
            )
            for name, member_ca_file in (("m1", str(authorities)), ("m2", str(certs.authority.file)))
        ]
        await until(lambda: len(of(one).membership.others) == 1 and linked([one, two]))
        authorities.write_bytes(other.authority.file.read_bytes())
        await until(lambda: not linked([two]))
        await asyncio.sleep(1.0)
        assert not linked([two]), "it is let in no more"


def material(daemon: Daemon) -> Any:
    certificates = daemon._access.certificates
    assert certificates is not None
    return certificates.material
