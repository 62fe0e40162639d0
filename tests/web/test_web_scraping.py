"""GET /sd/prometheus: agents that expose metrics, as targets."""

from typing import Any

import pytest

from orion_registry.core.metadata import canonical_metadata
from tests.web.site import Site, running_site


async def add(site: Site, agent_id: str, metadata: dict[str, Any], **fields: Any) -> str:
    text, scalars = canonical_metadata(metadata)
    given = {"host": "10.1.2.3", **fields}
    return await site.add(agent_id, metadata_json=text, metadata_scalars=scalars, **given)


async def test_an_agent_that_says_where_its_metrics_are_is_a_target() -> None:
    async with running_site() as site:
        service_id = await add(
            site,
            "calc-1",
            {"prometheus.port": 9100, "prometheus.path": "/stats", "prometheus.scheme": "https"},
            capabilities=("add", "sum"),
            zone="a",
        )
        await add(site, "quiet-1", {})
        _, told = await site.get("/sd/prometheus")
        assert told == [
            {
                "targets": ["10.1.2.3:9100"],
                "labels": {
                    "namespace": "default",
                    "agent_id": "calc-1",
                    "service_name": "calc",
                    "__metrics_path__": "/stats",
                    "__scheme__": "https",
                    "__meta_orion_service_id": service_id,
                    "__meta_orion_service_type": "agent",
                    "__meta_orion_version": "1.0.0",
                    "__meta_orion_zone": "a",
                    "__meta_orion_status": "HEALTHY",
                    "__meta_orion_capabilities": ",add,sum,",
                    "__meta_orion_tags": ",,",
                },
            }
        ]


@pytest.mark.parametrize(
    "metadata",
    [
        {"prometheus.port": 0},
        {"prometheus.port": 65536},
        {"prometheus.port": True},
        {"prometheus.port": "many"},
        {"prometheus.port": None},
        {"prometheus.port": 1e30},
        {"prometheus": {"port": 9100}},
        {"prometheus.port": 9100, "prometheus.path": "stats"},
        {"prometheus.port": 9100, "prometheus.path": 7},
        {"prometheus.port": 9100, "prometheus.path": "/" + "x" * 512},
    ],
)
async def test_what_cannot_be_a_place_is_no_target(metadata: dict[str, Any]) -> None:
    async with running_site() as site:
        await add(site, "calc-1", metadata)
        assert await site.get("/sd/prometheus") == (200, [])


async def test_services_of_one_place_are_one_target_and_namespaces_can_be_asked_for() -> None:
    async with running_site() as site:
        for name in ("first", "second"):
            await add(site, "calc-1", {"prometheus.port": "9100"}, service_name=name)
        await add(site, "calc-2", {"prometheus.port": 9100}, namespace="other", host="fd00::1")
        _, told = await site.get("/sd/prometheus")
        assert [(one["targets"], one["labels"]["service_name"]) for one in told] == [
            (["10.1.2.3:9100"], "first"),
            (["[fd00::1]:9100"], "calc"),
        ]
        _, other = await site.get("/sd/prometheus?namespace=other")
        assert [one["labels"]["agent_id"] for one in other] == ["calc-2"]
