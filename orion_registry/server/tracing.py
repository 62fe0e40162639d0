"""Spans for OpenTelemetry: unary RPCs with the caller's W3C context, selections, probes. Imported if `traces` is set.

Streams have none: a span of hours says nothing. gRPC's own plugin is not used: it blocks the event loop.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from operator import attrgetter

import grpc
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode

from orion_registry import __version__
from orion_registry.core.balancing import Balancing
from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.checks.verdict import Outcome
from orion_registry.core.model import Now
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.queue import Waiter
from orion_registry.errors import RegistryError
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.monitor import Probe
from orion_registry.runtime.selections import Selections, Wanted
from orion_registry.server.identity import Context
from orion_registry.server.methods import Method
from orion_registry.server.setting_kinds import read_place
from orion_registry.server.start_error import StartError

UnaryCall = Callable[[bytes, Context], Awaitable[bytes]]


class Tracing:
    """Makes spans with the provider that a callable of the operator's returns."""

    def __init__(self, place: str) -> None:
        """Args: place: MODULE:CALLABLE. Raises StartError if there is none, or it gives no provider."""
        module, name = read_place(place)
        try:
            provider = attrgetter(name)(importlib.import_module(module))()
        except Exception as error:
            raise StartError(f"traces: {place} cannot be had: {type(error).__name__}: {error}") from error
        if not isinstance(provider, TracerProvider):
            raise StartError(f"traces: {place} must return an opentelemetry.sdk.trace.TracerProvider, got {provider!r}")
        self._provider = provider
        self._tracer = provider.get_tracer("orion_registry", __version__)

    async def close(self) -> None:
        """Lets the provider send what it still has."""
        await asyncio.to_thread(self._provider.shutdown)

    def unary(self, method: Method, call: UnaryCall) -> UnaryCall:
        """A call within a span, the child of its caller's."""
        name = f"{method.service}/{method.name}"
        attributes = {"rpc.system": "grpc", "rpc.service": method.service, "rpc.method": method.name}

        async def in_span(data: bytes, context: Context) -> bytes:
            headers = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
            parent = propagate.extract(headers)
            with self._tracer.start_as_current_span(
                name,
                parent,
                SpanKind.SERVER,
                attributes,
                record_exception=False,  # an error that a caller is answered with is no fault of ours
                set_status_on_exception=False,
            ) as span:
                try:
                    answer = await call(data, context)
                except grpc.aio.AbortError:
                    span.set_attribute("rpc.grpc.status_code", _number(context.code()))
                    span.set_status(Status(StatusCode.ERROR, context.details()))
                    raise
                span.set_attribute("rpc.grpc.status_code", 0)
                return answer

        return in_span

    def probe(self, probe: Probe) -> Probe:
        """Runs of checks, each within a span."""

        async def in_span(check: CheckSpec, address: str) -> Outcome:
            attributes = {"orion.check": check.name, "orion.probe": check.probes[0].kind.name}
            with self._tracer.start_as_current_span("probe", kind=SpanKind.CLIENT, attributes=attributes) as span:
                outcome = await probe(check, address)
                span.set_attribute("orion.verdict", outcome.verdict.name)
                return outcome

        return in_span

    def selections(self, balancing: Balancing, clock: Clock) -> Selections:
        """Selections, each within a span: of RPCs and of Route streams."""
        return _TracedSelections(self, balancing, clock)

    def selecting(self, wanted: Wanted, select: Callable[[], tuple[Lease, ...] | Waiter]) -> tuple[Lease, ...] | Waiter:
        """One selection within a span."""
        attributes = {"orion.capabilities": wanted.selector.capabilities, "orion.namespace": wanted.selector.namespace}
        with self._tracer.start_as_current_span(
            "select", attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                got = select()
            except RegistryError as error:
                span.set_attribute("orion.reason", error.reason.value)
                span.set_status(Status(StatusCode.ERROR, error.message))
                raise
            if isinstance(got, Waiter):
                span.set_attribute("orion.waits", True)
            else:
                span.set_attribute("orion.service_ids", [lease.service_id for lease in got])
            return got


class _TracedSelections(Selections):
    """Selections whose every pick is a span."""

    def __init__(self, tracing: Tracing, balancing: Balancing, clock: Clock) -> None:
        super().__init__(balancing, clock)
        self._tracing = tracing

    def select(self, wanted: Wanted, now: Now) -> tuple[Lease, ...] | Waiter:
        """See `Selections.select`."""
        return self._tracing.selecting(wanted, lambda: super(_TracedSelections, self).select(wanted, now))


def _number(code: object) -> int:
    """A status code's number."""
    return int(code.value[0]) if isinstance(code, grpc.StatusCode) else int(str(code))
