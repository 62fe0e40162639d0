"""How services are shown: as lines for people, as JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from orion_registry.cli.showing import Paint, colour_of, show_span, show_time
from orion_registry.cli.table import Cell
from orion_registry.core.model import StatusReason
from orion_registry.wire.service import Service

HEADER = ("SERVICE", "STATUS", "ADDRESS", "IN FLIGHT", "CAPABILITIES", "SERVICE_ID")


def name_of(service: Service) -> str:
    """AGENT/NAME, with its namespace if that is not default: what commands take as WHOM."""
    name = f"{service.agent_id}/{service.service_name}"
    return name if service.namespace == "default" else f"{service.namespace}/{name}"


def status_of(service: Service) -> str:
    """Status and reasons: UNHEALTHY(DISCONNECTED)."""
    return f"{service.status.name}({show_reasons(service.reasons)})"


def show_reasons(reasons: Iterable[StatusReason]) -> str:
    """Reasons by name, the worst first."""
    return ", ".join(reason.code.name for reason in reasons)


def row_of(service: Service) -> tuple[Cell, ...]:
    """A row under `HEADER`."""
    most = f"/{service.max_concurrency:,}" if service.max_concurrency else ""
    load = f"{service.load.in_flight:,}{most}" if service.load is not None else f"-{most}"
    return (
        name_of(service),
        (status_of(service), colour_of(service.status) if service.ready else "red"),
        service.address,
        load,
        ", ".join(service.capabilities),
        service.service_id,
    )


def as_plain(service: Service) -> dict[str, Any]:
    """For JSON: enums by name, times as text, spans in seconds. `register --file` takes it back."""
    plain = asdict(service)
    heard = service.last_heartbeat
    plain |= {
        "status": service.status.name,
        "liveness": service.liveness.name,
        "reasons": [{"code": one.code.name, "since": show_time(one.since_wall)} for one in service.reasons],
        "last_heartbeat": None if heard is None else show_time(heard),
        "registration_time": show_time(service.registration_time),
        "address": service.address,
    }
    return plain


def details_of(service: Service, paint: Paint) -> Iterator[tuple[str, str]]:
    """Everything about one service that is set, as names and texts."""
    yield "service", name_of(service)
    yield "service_id", service.service_id
    ready = paint("ready", "green") if service.ready else paint("not ready", "red")
    yield "status", f"{paint.status(service.status)}, {ready}"
    for reason in service.reasons:
        yield "reason", f"{reason.code.name} since {show_time(reason.since_wall, 'seconds')}"
    yield "address", f"{service.address} ({service.protocol})"
    for name in ("capabilities", "tags"):
        if labels := getattr(service, name):
            yield name, ", ".join(labels)
    if service.metadata:
        yield "metadata", json.dumps(service.metadata, sort_keys=True)
    yield from _of_selection(service)
    yield "liveness", _liveness(service)
    yield "registered", f"{show_time(service.registration_time, 'seconds')}, generation {service.generation:,}"
    for name in ("service_type", "version", "zone", "health_check_url"):
        if text := getattr(service, name):
            yield name, text


def _of_selection(service: Service) -> Iterator[tuple[str, str]]:
    most = f"{service.max_concurrency:,}" if service.max_concurrency else "no limit"
    yield "slots", most
    if service.load is not None:
        load = service.load
        yield "load", f"{load.in_flight:,} in flight, {load.queue_depth:,} waiting, utilization {load.utilization:g}"
    weight = f"{service.weight:g}"
    if service.overlay_weight is not None:
        weight = f"{service.overlay_weight:g}, set by an operator (its own: {weight})"
    yield "weight", weight


def _liveness(service: Service) -> str:
    text = service.liveness.name
    if text == "TTL":
        text += f" of {show_span(service.liveness_ttl_s)}"
    if service.last_heartbeat is not None:
        text += f", last heard of at {show_time(service.last_heartbeat, 'seconds')}"
    return text
