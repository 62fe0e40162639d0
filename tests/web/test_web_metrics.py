"""Metrics: their table is the documentation, their values are what happened, their labels are bounded."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from orion_registry import LivenessMode, Outcome, RegistryError, Selector, ServiceSpec
from orion_registry.core.frames import Beat, Hello, SessionRequest
from orion_registry.runtime.audit import AUDIT
from orion_registry.runtime.coordinator import MASS_HOLD, STORE_DOWN
from orion_registry.server.access import ACCESS, CERTIFICATE
from orion_registry.web import metrics_doc
from orion_registry.web.metrics_table import TABLE
from orion_registry.web.readings import ALARMS
from orion_registry.wire.requests import encode_agent_frame
from tests.web.site import Site, eventually, running_site

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "examples/monitoring"
NAME = re.compile(r"\borion_[a-z_]+")


async def samples(site: Site) -> dict[tuple[str, str], float]:
    """All values, by name and labels (as text, sorted)."""
    _, text = await site.text("/metrics")
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in plain_text(text)
        for sample in family.samples
    }


def test_the_documentation_is_the_table() -> None:
    page = (ROOT / "docs/metrics.md").read_text()
    assert metrics_doc.BEGIN in page
    assert metrics_doc.END in page
    assert metrics_doc.insert(page) == page, "run: python -m orion_registry.web.metrics_doc docs/metrics.md"


async def test_every_metric_is_told_with_the_type_help_and_labels_of_the_table() -> None:
    async with running_site() as site:
        await everything(site)
        _, text = await site.text("/metrics")
        told = {family.name: family for family in plain_text(text) if family.name.startswith("orion_")}
        assert set(told) == {row.name for row in TABLE}
        for row in TABLE:
            family = told[row.name]
            assert (family.type, family.documentation) == (row.kind, row.help)
            for sample in family.samples:
                assert set(sample.labels) - {"le"} == set(row.labels), row.name
        _, text = await site.text("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")
        families = open_metrics(text)  # type: ignore[no-untyped-call] # the other parser is typed
        assert {family.name for family in families} >= set(told)


def test_names_follow_the_conventions() -> None:
    for row in TABLE:
        assert re.fullmatch(r"orion_[a-z]+(_[a-z]+)*", row.name)
        assert row.help.endswith(".")
        assert not row.name.endswith(("_total", "_count", "_sum", "_bucket"))
        assert ("seconds" in row.name) == (row.kind == "histogram" or "credit" in row.name or "lag" in row.name)
        assert not {"service_id", "agent_id", "selection_id", "caller", "service_name"} & set(row.labels)
    assert set(ALARMS) == {ACCESS, AUDIT, CERTIFICATE, MASS_HOLD, STORE_DOWN}


async def everything(site: Site) -> None:
    """A little of all that is counted."""
    await site.add("calc-1", capabilities=("add",), max_concurrency=1)
    selection = await site.balancer.acquire(Selector(capabilities=("add",)))
    with pytest.raises(RegistryError, match="NO_FREE_SLOT"):
        await site.balancer.acquire(Selector(capabilities=("add",)))
    waiting = asyncio.ensure_future(site.balancer.acquire(Selector(capabilities=("add",)), wait_s=10.0))
    await eventually(lambda: site.daemon.coordinator.registry.balancing.stats.waiting == 1)
    await site.balancer.release(selection, Outcome.FAILED)
    await waiting
    beating = await site.client.register(
        ServiceSpec(agent_id="beating", service_name="calc", liveness=LivenessMode.TTL, liveness_ttl_s=30.0)
    )
    await site.client.send_heartbeat(beating.ref)
    await site.client.unregister(beating.ref)
    async with grpc.aio.insecure_channel(site.daemon.address) as channel:
        call: Any = channel.unary_unary("/orion.registry.v1.RegistryService/GetService")
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"\xff\xff")


async def test_values_are_what_happened() -> None:
    async with running_site() as site:
        await everything(site)
        await site.get("/api/v1/services/nobody")
        await site.get("/nothing/here")
        await eventually(lambda: not site.daemon.coordinator.events._fresh)
        told = await samples(site)
    service = "service=orion.registry.v1"
    expected = {
        ("orion_services", "status=HEALTHY"): 1,
        ("orion_service_reasons", "reason=STATIC"): 1,
        ("orion_beats_total", "kind=unary"): 1,
        ("orion_events_total", "type=SERVICE_REGISTERED"): 2,
        ("orion_status_changes_total", "reason=BEATING,status=HEALTHY"): 1,
        ("orion_removals_total", "removal=UNREGISTERED"): 1,
        ("orion_selections_total", "result=GRANTED,strategy=WEIGHTED_LEAST_LOAD"): 2,
        ("orion_selections_total", "result=NO_FREE_SLOT,strategy=WEIGHTED_LEAST_LOAD"): 1,
        ("orion_selection_wait_seconds_count", ""): 1,
        ("orion_lease_ends_total", "cause=released"): 1,
        ("orion_leases_open", ""): 1,
        ("orion_outcomes_total", "outcome=FAILED"): 1,
        ("orion_rpcs_total", f"code=OK,method=RegisterService,{service}.RegistryService"): 2,
        ("orion_rpcs_total", f"code=INVALID_ARGUMENT,method=GetService,{service}.RegistryService"): 1,
        ("orion_rpc_seconds_count", f"method=RegisterService,{service}.RegistryService"): 2,
        ("orion_refusals_total", f"method=GetService,reason=BAD_FIELD,{service}.RegistryService"): 1,
        ("orion_http_requests_total", "path=/api/v1/services/{service_id},status=404"): 1,
        ("orion_http_requests_total", "path=other,status=404"): 1,
        ("orion_serving", ""): 1,
        ("orion_alarm", "alarm=STORE_DOWN"): 0,
        ("orion_store_failures_total", ""): 0,
    }
    assert {key: told[key] for key in expected} == expected
    assert told["orion_store_commit_seconds_count", ""] >= 3
    assert told["orion_selection_wait_seconds_sum", ""] > 0
    assert told["process_resident_memory_bytes", ""] > 1e6


async def test_a_stream_that_breaks_is_measured() -> None:
    heartbeat = "method=Heartbeat,service=orion.registry.v1.RegistryService"
    async with running_site() as site:
        agent = await site.client.register(ServiceSpec(agent_id="calc-1", service_name="calc"))
        async with grpc.aio.insecure_channel(site.daemon.address) as channel:
            opened: Any = channel.stream_stream("/orion.registry.v1.RegistryService/Heartbeat")
            call = opened()
            hello = Hello(agent_id="calc-1", sessions=(SessionRequest(ref=agent.ref),))
            for frame in (hello, Beat(seq=1), Beat(seq=2)):
                await call.write(encode_agent_frame(frame).SerializeToString())
            await eventually(lambda: site.daemon.coordinator.registry.beats(site.daemon.coordinator.streams) == (2, 0))
            told = await samples(site)
            assert told["orion_heartbeat_streams", ""] == 1
            assert told["orion_rpc_streams", heartbeat] == 1
            assert told["orion_detection_seconds_count", "reason=DISCONNECTED"] == 0
        await eventually(lambda: not site.daemon.coordinator.streams)
        told = await samples(site)
        assert told["orion_detection_seconds_count", "reason=DISCONNECTED"] == 1
        assert told["orion_detection_seconds_sum", "reason=DISCONNECTED"] < 1.0
        assert told["orion_silence_seconds_count", "reason=DISCONNECTED"] == 1
        assert told["orion_beats_total", "kind=stream"] == 2, "those of streams that are over are not forgotten"
        assert told["orion_heartbeat_streams", ""] == 0
        assert told["orion_rpc_streams", heartbeat] == 0


def test_the_dashboard_and_the_alerts_name_metrics_that_there_are() -> None:
    known = {row.shown_name for row in TABLE}
    known |= {f"{row.name}{part}" for row in TABLE if row.kind == "histogram" for part in ("_bucket", "_sum", "_count")}
    for path in (MONITORING / "orion-alerts.yml", MONITORING / "orion-dashboard.json"):
        named = set(NAME.findall(path.read_text())) - {"orion_registry"}
        assert named, path
        assert named <= known, path
    dashboard: dict[str, Any] = json.loads((MONITORING / "orion-dashboard.json").read_text())
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ()))
