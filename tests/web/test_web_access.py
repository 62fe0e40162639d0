"""Every path asks for the roles of the RPC that it stands for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orion_registry import BalancerClient, RegistryClient
from orion_registry.core.access.rights import Grant, Rights, Role
from orion_registry.core.model import Actor
from orion_registry.errors import Reason, Unauthenticated
from orion_registry.server.daemon import Daemon
from orion_registry.server.settings import Settings
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import http_address, running_daemon
from orion_registry.web.access import method_of
from orion_registry.web.port import HttpPort
from orion_registry.web.site import PATHS
from tests.server.tls import Certs
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
        assert daemon.settings.clients_identified
        for path in ("/", *PATHS):
            async with session.get(filled(path, "x")) as response:
                assert response.status == (200 if path == "/" or path in OPEN else 401), path
                if response.status == 401:
                    assert "certificates alone" in (await response.json())["message"]
