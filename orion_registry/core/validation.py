"""Checks of what comes in: each returns the value, or raises `InvalidArgument` naming field, limit and what came."""

import math
from collections.abc import Iterable
from dataclasses import replace

from orion_registry.core import limits
from orion_registry.core.model import LivenessMode, Load, Record, ServiceSpec
from orion_registry.errors import InvalidArgument, Reason, Said, Unimplemented, bad_field


def check_id(field: str, value: str) -> str:
    """A name: see `limits.ID`."""
    if not limits.ID.fullmatch(value):
        raise bad_field(field, limits.ID_RULE, value)
    return value


def check_text(field: str, value: str, most: int = limits.TEXT) -> str:
    """A short printable text, possibly empty."""
    if len(value) > most:
        raise bad_field(field, f"at most {most:,} characters", value)
    if not value.isprintable():
        raise bad_field(field, "printable, without control characters", value)
    return value


def check_labels(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Capabilities or tags: returned without repeats, in their order."""
    labels = tuple(dict.fromkeys(values))
    if len(labels) > limits.LABELS:
        raise bad_field(field, f"at most {limits.LABELS} entries", len(labels))
    for index, label in enumerate(labels):
        if not label or label != label.strip():
            raise bad_field(f"{field}[{index}]", "non-empty, without spaces around it", label)
        check_text(f"{field}[{index}]", label, limits.LABEL)
    return labels


def check_number(field: str, value: float, least: float, most: float) -> float:
    """A number within bounds, both included. NaN is within none."""
    if not least <= value <= most:
        raise bad_field(field, f"{_bound(least)} to {_bound(most)}", value)
    return value


def _bound(bound: float) -> str:
    """A limit, for a message: whole numbers in full, for a rounded one would be refused itself."""
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:,.10g}"


def check_secret(field: str, secret: str) -> str:
    """A secret of the agent's own making. Its value never enters a message."""
    size = len(secret.encode("utf-8", "surrogatepass"))
    if not limits.SECRET_MIN <= size <= limits.SECRET_MAX:
        raise bad_field(field, f"{limits.SECRET_MIN} to {limits.SECRET_MAX} bytes", Said(f"{size:,} bytes"))
    return secret


def check_load(field: str, load: Load) -> Load:
    """Load figures within their limits."""
    counts_fit = 0 <= load.in_flight <= limits.COUNT and 0 <= load.queue_depth <= limits.COUNT
    if counts_fit and 0 <= load.utilization <= limits.UTILIZATION and not load.named:
        return load  # nearly every beat: no field names are made for messages that nobody needs
    check_number(f"{field}.in_flight", load.in_flight, 0, limits.COUNT)
    check_number(f"{field}.queue_depth", load.queue_depth, 0, limits.COUNT)
    check_number(f"{field}.utilization", load.utilization, 0, limits.UTILIZATION)
    if len(load.named) > limits.NAMED_LOADS:
        raise bad_field(f"{field}.named", f"at most {limits.NAMED_LOADS} entries", len(load.named))
    for name, value in load.named.items():
        check_text(f"{field}.named key", name)
        if not math.isfinite(value):
            raise bad_field(f"{field}.named[{name!r}]", "finite", value)
    return load


def check_spec(spec: ServiceSpec) -> ServiceSpec:
    """Returns the spec with repeats in its labels dropped, if all of it is within limits and served by now.

    An empty host stays empty: the registry fills it in. An empty service_id stays empty: see `keys`.

    Raises:
        InvalidArgument: BAD_FIELD, for the first field that breaks its limit.
        Unimplemented: NOT_SUPPORTED_YET, for active checks and CHECK mode.
    """
    for field in ("namespace", "agent_id", "service_name", "service_type", "protocol"):
        check_id(f"service.{field}", getattr(spec, field))
    if spec.service_id:
        check_id("service.service_id", spec.service_id)
    _check_place(spec)
    check_number("service.max_concurrency", spec.max_concurrency, 0, limits.COUNT)
    if not 0 < spec.weight <= limits.WEIGHT:
        raise bad_field("service.weight", f"above 0 and at most {limits.WEIGHT:,g}", spec.weight)
    check_number("service.liveness_ttl", spec.liveness_ttl_s, limits.TTL_MIN_S, limits.TTL_MAX_S)
    if spec.retention_s is not None:
        check_number("service.retention", spec.retention_s, 0, limits.RETENTION_MAX_S)
    if spec.silence_timeout_s is not None:
        check_number("service.silence_timeout", spec.silence_timeout_s, limits.SILENCE_MIN_S, limits.SILENCE_MAX_S)
    if spec.stuck_after_s is not None:
        check_number("service.stuck_after", spec.stuck_after_s, 0, limits.STUCK_MAX_S)
    _check_supported(spec)
    capabilities = check_labels("service.capabilities", spec.capabilities)
    tags = check_labels("service.tags", spec.tags)
    if (capabilities, tags) == (spec.capabilities, spec.tags):  # nearly always
        return spec
    return replace(spec, capabilities=capabilities, tags=tags)


def check_record(record: Record) -> Record:
    """Returns a stored record, its labels without repeats, if this registry could have written it.

    Raises:
        InvalidArgument: BAD_FIELD, for the first field that breaks its limit, or that this version does not serve.
    """
    check_id("service.service_id", record.service_id)
    try:
        spec = check_spec(record.spec)
    except Unimplemented as error:
        raise InvalidArgument(Reason.BAD_FIELD, error.message) from None
    for field in ("secret_hash", "payload_hash"):
        if not limits.HASH.fullmatch(getattr(record, field)):
            raise bad_field(field, "SHA-256 as 64 hex digits", getattr(record, field))
    check_text("identity", record.identity, limits.URL)
    check_text("request_id", record.request_id)
    check_number("generation", record.generation, 1, limits.COUNTER)
    check_number("used_epoch", record.used_epoch, 0, limits.COUNTER)
    check_number("registered_wall", record.registered_wall, 0, limits.WALL_MAX_S)
    return record if spec == record.spec else replace(record, spec=spec)


def _check_place(spec: ServiceSpec) -> None:
    check_text("service.host", spec.host, limits.HOST)
    if any(character in spec.host for character in " /@?#") or spec.host.count(":") == 1:  # IPv6 has two or more
        raise bad_field("service.host", "a host name or address, without scheme, port or path", spec.host)
    check_number("service.port", spec.port, 0, limits.PORT)
    check_text("service.version", spec.version)
    check_text("service.zone", spec.zone)
    check_text("service.health_check_url", spec.health_check_url, limits.URL)


def _check_supported(spec: ServiceSpec) -> None:
    unserved = {
        "service.checks": bool(spec.checks),
        "service.health_check_url": spec.health_check_url != "",
        "service.liveness LIVENESS_MODE_CHECK": spec.liveness is LivenessMode.CHECK,
    }
    for field, used in unserved.items():
        if used:
            raise Unimplemented(Reason.NOT_SUPPORTED_YET, f"{field}: active checks are not served by this version")
