"""Spans: RPCs go on with their caller's trace; selections and probes have theirs; and nothing is imported when off."""

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from orion_registry import BalancerClient, CheckSpec, LivenessMode, RegistryClient, Selector, ServiceSpec, TcpProbe
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.errors import NotFound
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.testing.daemon import running_daemon
from tests.server.traces import PLACE, spans


async def test_a_call_goes_on_with_its_callers_trace_and_holds_the_selection() -> None:
    async with running_daemon(traces=PLACE) as daemon, BalancerClient(daemon.address) as balancer:
        async with RegistryClient(daemon.address) as client:
            spec = ServiceSpec(agent_id="a", service_name="calc", liveness=LivenessMode.STATIC, capabilities=("add",))
            registered = await client.register(spec)
            with TracerProvider().get_tracer("caller").start_as_current_span("mine") as mine:
                selection = await client.get(registered.ref.service_id)
            assert selection.service_id == registered.ref.service_id
        (got,) = spans("orion.registry.v1.RegistryService/GetService")
        assert got.parent is not None
        assert got.context is not None
        assert (got.context.trace_id, got.parent.span_id) == (
            mine.get_span_context().trace_id,
            mine.get_span_context().span_id,
        )
        assert got.kind is trace.SpanKind.SERVER
        await balancer.acquire(Selector(capabilities=("add",)))
        (picked,) = spans("select")
        assert picked.attributes is not None
        assert picked.attributes["orion.service_ids"] == (registered.ref.service_id,)


def test_whoever_makes_spans_sends_them_along() -> None:
    """Making spans does not load what writes them into metadata."""
    code = (
        "import sys\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "from orion_registry.client.trace_context import trace_metadata\n"
        "assert 'opentelemetry.propagate' not in sys.modules\n"
        "with TracerProvider().get_tracer('caller').start_as_current_span('mine') as mine:\n"
        "    ((name, value),) = trace_metadata()\n"
        "assert name == 'traceparent' and f'{mine.get_span_context().trace_id:032x}' in value\n"
        "assert trace_metadata() is None\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_an_error_is_its_spans_status_and_no_exception() -> None:
    async with running_daemon(traces=PLACE) as daemon, RegistryClient(daemon.address) as client:
        with pytest.raises(NotFound):
            await client.get("nobody")
    (got,) = spans("orion.registry.v1.RegistryService/GetService")
    assert got.attributes is not None
    assert got.attributes["rpc.grpc.status_code"] == 5
    assert got.status.status_code is trace.StatusCode.ERROR
    assert got.events == ()


async def test_a_run_of_a_check_is_a_span() -> None:
    async def passes(check: CheckSpec, _address: str) -> Outcome:
        return Outcome(verdict=Verdict.PASSED, kind=check.probes[0].kind)

    check = CheckSpec(name="port", probes=(TcpProbe(),))
    async with running_daemon(traces=PLACE, probe=passes) as daemon, RegistryClient(daemon.address) as client:
        spec = ServiceSpec(agent_id="a", service_name="calc", liveness=LivenessMode.STATIC, port=1, checks=(check,))
        registered = await client.register(spec)
        await daemon.coordinator.monitor.check_now(registered.ref.service_id)
    (run, *_) = spans("probe")
    assert run.attributes is not None
    assert (run.attributes["orion.check"], run.attributes["orion.verdict"]) == ("port", "PASSED")


@pytest.mark.parametrize(
    "place", ["no.such.module:provider", "tests.server.traces:nothing", "tests.server.traces:no_provider"]
)
async def test_a_provider_that_cannot_be_had_stops_the_start(place: str) -> None:
    with pytest.raises(StartError, match=f"traces: {place}"):
        async with running_daemon(traces=place):
            pass


async def test_a_place_has_its_form() -> None:
    with pytest.raises(SettingError, match="traces: must be MODULE:CALLABLE"):
        async with running_daemon(traces="provider"):
            pass


def test_nothing_is_imported_when_it_is_off() -> None:
    code = (
        "import asyncio, sys\n"
        "from orion_registry import RegistryClient\n"
        "from orion_registry.testing.daemon import running_daemon\n"
        "async def main():\n"
        "    async with running_daemon() as daemon, RegistryClient(daemon.address) as client:\n"
        "        await client.discover()\n"
        "asyncio.run(main())\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
