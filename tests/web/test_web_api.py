"""The JSON API answers as gRPC does."""

import json
import re
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.json_format import ParseDict

from orion_registry import LivenessMode, Load, Selector, ServiceSpec
from orion_registry.core.metadata import canonical_metadata
from orion_registry.errors import ERROR_CLASSES
from orion_registry.web.access import method_of
from orion_registry.web.api import ROUTES, answer_class
from orion_registry.web.errors import CODES
from orion_registry.web.queries import parameters_of
from orion_registry.web.site import PATHS
from orion_registry.wire.json_service import json_fields
from orion_registry_pb.v1 import registry_pb2
from tests.web.site import Site, running_site

DOC = Path(__file__).parents[2] / "docs/http.md"
MOVING = re.compile(r'"(uptime|lag|worst_lag|age|ttl)": "[^"]*"')


async def filled(site: Site) -> str:
    """Services of every kind; returns the id of one."""
    metadata_json, scalars = canonical_metadata({"gpu": True, "size": 3, "note": "<b>", "deep": {"a": [1]}})
    await site.add("other", namespace="other")
    await site.add("plain", capabilities=("draw",), tags=("blue",), zone="b")
    return await site.add(
        "calc-1",
        capabilities=("add", "sum"),
        tags=("red", "round"),
        zone="a",
        max_concurrency=4,
        metadata_json=metadata_json,
        metadata_scalars=scalars,
    )


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("/api/v1/services", "DiscoverServices", {}),
    (
        "/api/v1/services?capabilities=add&capabilities=sum&tags_any=red&zone=a&page_size=1",
        "DiscoverServices",
        {"selector": {"capabilities": ["add", "sum"], "tags_any": ["red"], "zone": "a"}, "page_size": 1},
    ),
    (
        "/api/v1/services?metadata.gpu=true&metadata.size=3&metadata.note=%3Cb%3E",
        "DiscoverServices",
        {"selector": {"metadata": {"gpu": True, "size": 3, "note": "<b>"}}},
    ),
    ('/api/v1/services?metadata.size="3"', "DiscoverServices", {"selector": {"metadata": {"size": "3"}}}),
    (
        "/api/v1/services?statuses=healthy&statuses=SERVICE_STATUS_UNHEALTHY&namespace=other&include_not_ready",
        "DiscoverServices",
        {"selector": {"statuses": [1, 2], "namespace": "other", "include_not_ready": True}},
    ),
    ("/api/v1/services/{id}", "GetService", {"service_id": "{id}"}),
    ("/api/v1/services/{id}/health", "GetServiceHealth", {"service_id": "{id}"}),
    ("/api/v1/services/{id}/performance", "GetServicePerformance", {"service_id": "{id}"}),
    ("/api/v1/services/{id}/selections", "ListSelections", {"service_id": "{id}"}),
    ("/api/v1/selections", "ListSelections", {}),
    ("/api/v1/events?types=service_registered", "ListEvents", {"types": [1]}),
    ("/api/v1/info", "GetServerInfo", {}),
    ("/api/v1/stats/balancer", "GetBalancerStats", {}),
    ("/api/v1/stats/health", "GetHealthStats", {}),
    ("/api/v1/overlays?mode=drain", "ListOverlays", {"mode": "OVERLAY_MODE_DRAIN"}),
    (
        "/api/v1/explain?service_name=calc&zone=b&selector.zone=a&strategy=round_robin&seed=7&wait_timeout=1.5s",
        "ExplainSelection",
        {
            "request": {
                "selector": {"service_name": "calc", "zone": "a"},
                "zone": "b",
                "strategy": "SELECTION_STRATEGY_ROUND_ROBIN",
                "wait_timeout": "1.5s",
            },
            "seed": 7,
        },
    ),
]
"""Of every route: what is asked for, the RPC, and the request that it means."""


def test_every_route_has_a_case() -> None:
    asked = {path.partition("?")[0].replace("{id}", "{service_id}") for path, _, _ in CASES}
    assert asked == {route.path for route in ROUTES}


async def test_answers_are_those_of_the_rpcs_as_json() -> None:
    async with running_site() as site:
        service_id = await filled(site)
        await site.balancer.acquire(Selector(capabilities=("add",)))
        async with grpc.aio.insecure_channel(site.daemon.address) as channel:
            for path, rpc, fields in CASES:
                method = method_of(rpc)
                named = {"service_id": service_id} if "{id}" in path else {}
                request = ParseDict({**fields, **named}, method.request())
                call: Any = channel.unary_unary(method.path)
                meant = answer_class(method).FromString(await call(request.SerializeToString()))
                status, told = await site.get(path.replace("{id}", service_id))
                assert status == 200, (path, told)
                assert still(told) == still(json_fields(meant)), path


def still(told: Any) -> str:
    """JSON without what moves with time."""
    return MOVING.sub("", json.dumps(told, sort_keys=True))


async def test_pages_follow_each_other() -> None:
    async with running_site() as site:
        ids = [await site.add(f"calc-{number}") for number in range(5)]
        found: list[str] = []
        token = ""
        while True:
            _, page = await site.get(f"/api/v1/services?page_size=2&page_token={token}")
            found += [service["service_id"] for service in page["services"]]
            token = page["next_page_token"]
            if not token:
                break
        assert found == ids


async def test_a_page_ends_at_its_size_in_bytes() -> None:
    metadata_json, scalars = canonical_metadata({"text": "x" * 16_000})
    async with running_site() as site:
        for number in range(70):
            await site.add(f"calc-{number}", metadata_json=metadata_json, metadata_scalars=scalars)
        _, page = await site.get("/api/v1/services?page_size=1000")
        assert 50 < len(page["services"]) < 70
        _, rest = await site.get(f"/api/v1/services?page_size=1000&page_token={page['next_page_token']}")
        assert len(page["services"]) + len(rest["services"]) == 70
        assert rest["next_page_token"] == ""


@pytest.mark.parametrize(
    ("path", "status", "code", "reason", "told"),
    [
        ("/api/v1/services?colour=red", 400, "INVALID_ARGUMENT", "BAD_FIELD", "'colour' is no parameter of this path"),
        ("/api/v1/services?page_size=many", 400, "INVALID_ARGUMENT", "BAD_FIELD", "page_size: must be a whole number"),
        ("/api/v1/services?page_size=-1", 400, "INVALID_ARGUMENT", "BAD_FIELD", "page_size"),
        ("/api/v1/services?page_size=9999999999", 400, "INVALID_ARGUMENT", "BAD_FIELD", "2,147,483,647"),
        ("/api/v1/services?page_token=zzz", 400, "INVALID_ARGUMENT", "BAD_PAGE_TOKEN", "page_token"),
        ("/api/v1/services?include_not_ready=maybe", 400, "INVALID_ARGUMENT", "BAD_FIELD", "true or false"),
        ("/api/v1/services?statuses=ill", 400, "INVALID_ARGUMENT", "BAD_FIELD", "HEALTHY"),
        ("/api/v1/services?metadata=1", 400, "INVALID_ARGUMENT", "BAD_FIELD", "metadata.KEY=VALUE"),
        ("/api/v1/services?selector.metadata.x=%5B1", 200, "", "", ""),
        ("/api/v1/explain?wait_timeout=soon", 400, "INVALID_ARGUMENT", "BAD_FIELD", "span in seconds"),
        ("/api/v1/services/no/such/path", 404, "NOT_FOUND", "", "nothing is at"),
        ("/api/v1/services/gone-1", 404, "NOT_FOUND", "NO_SUCH_SERVICE", "gone-1"),
        ("/api/v1/events?after_seq=99", 400, "OUT_OF_RANGE", "OUT_OF_RANGE", "the latest event is"),
        ("/api/v1/vitals", 400, "INVALID_ARGUMENT", "BAD_FIELD", "1 to 200"),
        ("/api/v1/vitals?id=a", 400, "INVALID_ARGUMENT", "BAD_FIELD", "service_id"),
        ("/api/v1/vitals?" + "&".join(["service_id=a"] * 201), 400, "INVALID_ARGUMENT", "BAD_FIELD", "201"),
    ],
)
async def test_errors_say_what_is_wrong(path: str, status: int, code: str, reason: str, told: str) -> None:
    async with running_site() as site:
        got, answer = await site.get(path)
        assert got == status
        if status != 200:
            assert (answer["code"], answer["reason"], answer["retry_after"]) == (code, reason, None)
            assert told in answer["message"]


async def test_nothing_can_be_written() -> None:
    async with running_site() as site:
        for verb in ("post", "put", "delete", "patch"):
            async with getattr(site.session, verb)(f"{site.base}/api/v1/services") as response:
                assert response.status == 405
                assert "GET" in response.headers["Allow"]


def test_every_error_has_a_status() -> None:
    assert {cls.code for cls in ERROR_CLASSES} == set(CODES)
    assert all(400 <= code.http < 600 for code in CODES.values())


async def test_vitals_tell_load_and_the_age_of_the_last_beat() -> None:
    async with running_site() as site:
        quiet = await site.add("quiet")
        beating = await site.client.register(
            ServiceSpec(agent_id="beating", service_name="calc", liveness=LivenessMode.TTL, max_concurrency=4)
        )
        await site.client.send_heartbeat(beating.ref, load=Load(in_flight=3, queue_depth=2))
        status, told = await site.get(
            f"/api/v1/vitals?service_id={quiet}&service_id={beating.ref.service_id}&service_id=x"
        )
        assert status == 200
        assert told["services"][quiet] == {
            "in_flight": 0, "max_concurrency": 0, "queue_depth": 0, "utilization": 0.0,
            "beat_age": None, "last_heartbeat": None,
        }  # fmt: skip
        busy = told["services"].pop(beating.ref.service_id)
        assert (busy["in_flight"], busy["max_concurrency"], busy["queue_depth"]) == (3, 4, 2)
        assert 0.0 <= busy["beat_age"] < 10.0
        assert busy["last_heartbeat"].endswith("Z")
        assert list(told["services"]) == [quiet]


async def test_capabilities_tell_what_is_free() -> None:
    async with running_site() as site:
        await site.add("a", capabilities=("add",), max_concurrency=4)
        await site.add("b", capabilities=("add", "draw"), max_concurrency=2)
        await site.add("c", capabilities=("draw",))
        await site.client.register(
            ServiceSpec(agent_id="d", service_name="calc", capabilities=("add",), max_concurrency=8)
        )  # awaits its first beat
        await site.balancer.acquire(Selector(capabilities=("add",)))
        _, told = await site.get("/api/v1/capabilities")
        assert told["capabilities"] == [
            {"capability": "add", "services": 3, "ready": 2, "slots": 6, "free": 5, "unlimited": 0},
            {"capability": "draw", "services": 2, "ready": 2, "slots": 2, "free": 2, "unlimited": 1},
        ]
        _, other = await site.get("/api/v1/capabilities?capabilities=nothing")
        assert other == {"capabilities": []}


def test_the_documentation_names_every_path_with_its_rpc() -> None:
    text = DOC.read_text()
    rows = dict(re.findall(r"\| `GET (/\S+)` \| (\w+)", text))
    named = {path: rows[path] for path in PATHS if path.startswith("/api/v1")}
    assert named == {path: rpc for path, rpc in PATHS.items() if path.startswith("/api/v1")}
    assert all(f"`GET {path}" in text for path in PATHS)


def test_parameters_are_the_fields_of_the_protos() -> None:
    names = set(parameters_of(registry_pb2.DiscoverServicesRequest.DESCRIPTOR))
    fields = {field.name for field in registry_pb2.DiscoverServicesRequest().selector.DESCRIPTOR.fields}
    assert names == {"page_size", "page_token"} | fields | {f"selector.{name}" for name in fields}
