"""Every path asks for the roles of the RPC that it stands for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orion_registry import BalancerClient, RegistryClient, ServiceSpec
from orion_registry.client.credentials import Credentials
from orion_registry.core.access.rights import Grant, Rights, Role
from orion_registry.core.audit import AuditFilter
from orion_registry.core.model import Actor
from orion_registry.errors import PermissionDenied, Reason, Unauthenticated
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import http_address, running_daemon
from orion_registry.web.access import method_of
from orion_registry.web.port import HttpPort
from orion_registry.web.site import PATHS
from tests.server.tls import Certs
from tests.server.tokens import Tokens
from tests.web.site import Site

OPEN = {path for path, rpc in PATHS.items() if not rpc}


def known(authorization: str, address: str) -> Actor:
    """Bearer ROLE or Bearer ROLE@NAMESPACE."""
    if not authorization.startswith("Bearer "):
        raise Unauthenticated(Reason.NO_IDENTITY, "a token is needed")
    role, _, namespace = authorization.removeprefix("Bearer ").partition("@")
    grant = Grant(roles=frozenset({Role(role)}), namespaces=(namespace or "*",))
    return Actor(identity=role, rights=Rights(grants=(grant,)), address=address)


@asynccontextmanager
async def guarded_site(**settings: Any) -> AsyncIterator[Site]:
    """A site where callers show who they are over HTTP; gRPC is open."""
    port = HttpPort(known)
    given = Settings(listen=("127.0.0.1:0",), http="127.0.0.1:0", **settings)
    async with (
        Daemon(given, store=MemoryStore(), side_door=port) as daemon,
        aiohttp.ClientSession() as session,
        RegistryClient(daemon.address) as client,
        BalancerClient(daemon.address) as balancer,
    ):
        yield Site(daemon, session, client, balancer)


def filled(path: str, service_id: str) -> str:
    asked = path.replace("{service_id}", service_id)
    return f"{asked}?service_id={service_id}" if path == "/api/v1/vitals" else asked


async def test_without_a_token_only_the_page_and_the_signs_of_life_are_shown() -> None:
    async with guarded_site() as site:
        assert (await site.text("/"))[0] == 200
        for path in PATHS:
            async with site.session.get(site.base + filled(path, "x")) as response:
                assert response.status == (200 if path in OPEN else 401), path
                if path not in OPEN:
                    assert response.headers["WWW-Authenticate"] == "Bearer"
                    told = await response.json()
                    assert (told["code"], told["reason"]) == ("UNAUTHENTICATED", "NO_IDENTITY")


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_reads_what_it_may_over_grpc(role: Role) -> None:
    async with guarded_site() as site:
        service_id = await site.add("calc-1")
        for path, rpc in PATHS.items():
            if rpc:
                async with site.session.get(
                    site.base + filled(path, service_id), headers={"Authorization": f"Bearer {role}"}
                ) as response:
                    assert response.status == (200 if role in method_of(rpc).roles else 403), (path, rpc)


async def test_http_refuses_in_the_words_of_grpc() -> None:
    method, nothing = method_of("GetServerInfo"), Actor(identity="calc", rights=Rights())
    with pytest.raises(PermissionDenied, match="nothing is granted to 'calc'"):
        method.require_role(nothing)
    async with guarded_site() as site:
        status, told = await site.get("/api/v1/info", Authorization="Bearer agent")
        with pytest.raises(PermissionDenied) as refused:
            method.require_role(known("Bearer agent", ""))
        assert (status, told["message"]) == (403, refused.value.message)


async def test_a_service_of_another_namespace_is_not_there() -> None:
    async with guarded_site() as site:
        service_id = await site.add("calc-1", namespace="theirs")
        mine, theirs = {"Authorization": "Bearer viewer@mine"}, {"Authorization": "Bearer viewer@theirs"}
        for path in ("/api/v1/services/{service_id}", "/api/v1/services/{service_id}/health"):
            assert (await site.get(filled(path, service_id), **mine))[0] == 404
            assert (await site.get(filled(path, service_id), **theirs))[0] == 200
        vitals = filled("/api/v1/vitals", service_id)
        assert (await site.get(vitals, **mine))[1] == {"services": {}}
        assert set((await site.get(vitals, **theirs))[1]["services"]) == {service_id}
        for path in ("/api/v1/services", "/api/v1/capabilities", "/api/v1/watch", "/sd/prometheus"):
            assert (await site.text(f"{path}?namespace=theirs", **mine))[0] == 403, path
        assert (await site.get("/sd/prometheus", **theirs))[0] == 403, "all namespaces"
        assert (await site.get("/sd/prometheus?namespace=theirs", **theirs))[0] == 200
        assert (await site.get("/api/v1/events", **theirs))[0] == 403, "all events"


async def test_where_certificates_alone_tell_clients_apart_http_tells_nothing(tmp_path: Path) -> None:
    certs = Certs(tmp_path)
    async with (
        running_daemon(http="127.0.0.1:0", **certs.settings) as daemon,
        aiohttp.ClientSession(f"http://{http_address(daemon)}") as session,
    ):
        assert daemon.settings.clients_certified
        for path in ("/", *PATHS):
            async with session.get(filled(path, "x")) as response:
                assert response.status == (200 if path == "/" or path in OPEN else 401), path
                if response.status == 401:
                    message = (await response.json())["message"]
                    assert "certificates alone" in message
                    assert "tokens_file" in message


@asynccontextmanager
async def site_with_tokens(tokens: Tokens, **settings: Any) -> AsyncIterator[tuple[Daemon, aiohttp.ClientSession]]:
    """A daemon whose callers show tokens."""
    async with (
        running_daemon(http="127.0.0.1:0", tokens_file=str(tokens.path), **settings) as daemon,
        aiohttp.ClientSession(f"http://{http_address(daemon)}") as session,
    ):
        yield daemon, session


def showing(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def test_tokens_let_in_over_http_as_over_grpc(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    viewer, agent = tokens.add("ann", [Role.VIEWER]), tokens.add("calc", [Role.AGENT])
    async with site_with_tokens(tokens) as (_, session):
        for path in ("/", "/livez", "/readyz"):
            async with session.get(path) as response:
                assert response.status == 200
        for shown, status in (({}, 401), (showing("x"), 401), ({"Authorization": viewer}, 401), (showing(agent), 403)):
            async with session.get("/api/v1/info", headers=shown) as response:
                assert response.status == status, shown
        for path in ("/api/v1/info", "/metrics", "/sd/prometheus", "/api/v1/services"):
            async with session.get(path, headers=showing(viewer)) as response:
                assert response.status == 200, path


async def test_a_token_that_is_given_twice_is_none(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    viewer = ("Authorization", f"Bearer {tokens.add('ann', [Role.VIEWER])}")
    async with site_with_tokens(tokens) as (_, session):
        for shown, status in (([viewer], 200), ([viewer, viewer], 401), ([viewer, ("Authorization", "x")], 401)):
            async with session.get("/api/v1/info", headers=shown) as response:
                assert response.status == status


async def test_a_denial_is_in_the_audit_chain(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    agent, viewer = tokens.add("calc", [Role.AGENT]), tokens.add("ann", [Role.VIEWER])
    async with site_with_tokens(tokens) as (daemon, session):
        async with session.get("/api/v1/info", headers=showing(agent)) as response:
            assert response.status == 403
        async with session.get("/metrics") as response:
            assert response.status == 401
        async with session.get("/api/v1/info", headers=showing(viewer)) as response:
            assert response.status == 200
        found: list[tuple[str, str, str]] = []
        async with asyncio.timeout(20.0):
            while len(found) < 2:
                records, *_ = await daemon.coordinator.audit_page(AuditFilter(), 0, 100)
                found = [(one.identity, one.method, one.outcome) for one in records if one.method == "GetServerInfo"]
                await asyncio.sleep(0.05)
        assert found == [("calc", "GetServerInfo", "NOT_ALLOWED"), ("", "GetServerInfo", "NO_IDENTITY")]


async def test_a_stream_ends_when_its_token_is_revoked(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    viewer, other = tokens.add("ann", [Role.VIEWER]), tokens.add("bob", [Role.VIEWER])
    async with site_with_tokens(tokens) as (_, session):
        timeout = aiohttp.ClientTimeout(total=None)
        async with (
            session.get("/api/v1/watch", headers=showing(viewer), timeout=timeout) as watch,
            session.get("/api/v1/watch/events", headers=showing(viewer), timeout=timeout) as events,
            session.get("/api/v1/watch", headers=showing(other), timeout=timeout) as kept,
        ):
            for stream in (watch, events, kept):
                await stream.content.readuntil(b"\n\n")
            tokens.revoke(viewer)
            async with asyncio.timeout(20.0):
                await watch.content.read()
                await events.content.read()
            assert not kept.content.at_eof()


async def test_identities_are_held_to_their_rates(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    viewer, other = tokens.add("ann", [Role.VIEWER]), tokens.add("bob", [Role.VIEWER])
    async with site_with_tokens(tokens, identity_read_rate=2) as (_, session):
        statuses = []
        for _ in range(8):
            async with session.get("/api/v1/services", headers=showing(viewer)) as response:
                statuses.append(response.status)
                if response.status == 429:
                    assert (await response.json())["reason"] == "RATE_LIMITED"
                    assert int(response.headers["Retry-After"]) >= 1
        assert statuses.count(200) >= 4
        assert statuses[-1] == 429
        async with session.get("/api/v1/services", headers=showing(other)) as response:
            assert response.status == 200
        async with session.get("/metrics", headers=showing(other)) as response:
            assert 'orion_limits_hit_total{limit="READ_RATE"}' in await response.text()


async def test_what_is_denied_is_counted_too(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "tokens.toml")
    agent = tokens.add("calc", [Role.AGENT])
    async with site_with_tokens(tokens, identity_read_rate=2) as (_, session):
        statuses = []
        for _ in range(12):
            async with session.get("/api/v1/info", headers=showing(agent)) as response:
                statuses.append(response.status)
        assert set(statuses) == {403, 429}


async def test_who_may_see_less_follows_no_id_into_what_it_may_not(tmp_path: Path) -> None:
    """Events of one service: the stream goes by what its reader might see when it began."""
    tokens = Tokens(tmp_path / "tokens.toml")
    agent, viewer = tokens.add("calc", [Role.AGENT]), tokens.add("ann", [Role.VIEWER])
    async with (
        site_with_tokens(tokens) as (daemon, session),
        RegistryClient(daemon.address, credentials=Credentials(token=agent)) as client,
    ):
        spec = ServiceSpec(agent_id="calc", service_name="calc", host="127.0.0.1", port=80)
        service_id = (await client.register(spec)).ref.service_id
        path, timeout = f"/api/v1/watch/events?service_id={service_id}", aiohttp.ClientTimeout(total=None)
        async with session.get(path, headers=showing(viewer), timeout=timeout) as events:
            await events.content.readuntil(b"\n\n")
            grant = replace(tokens.rows[1].grant, namespaces=("default",))
            tokens.rows[1] = replace(tokens.rows[1], grant=grant)
            tokens.write()
            async with asyncio.timeout(20.0):
                await events.content.read()
        async with session.get(path, headers=showing(viewer), timeout=timeout) as events:
            assert events.status == 200
