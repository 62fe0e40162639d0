"""Checks of whole services, as agents write them and as stores keep them."""

import ipaddress
from dataclasses import replace
from operator import attrgetter

from orion_registry.core import limits
from orion_registry.core.checks.validation import check_checks
from orion_registry.core.model import Record, ServiceSpec
from orion_registry.core.validation import check_host, check_id, check_labels, check_number, check_text
from orion_registry.errors import bad_field

_IDS = ("namespace", "agent_id", "service_name", "service_type", "protocol")
_IDS_OF = attrgetter(*_IDS)


def check_spec(spec: ServiceSpec) -> ServiceSpec:
    """Returns the spec with repeats in its labels dropped, if all of it is within limits.

    An empty host stays empty: the registry fills it in. An empty service_id stays empty: see `keys`.

    Raises:
        InvalidArgument: BAD_FIELD, for the first field that breaks its limit.
    """
    if not all(map(limits.ID.fullmatch, _IDS_OF(spec))):
        for field in _IDS:
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
    check_checks(spec)
    capabilities = check_labels("service.capabilities", spec.capabilities)
    tags = check_labels("service.tags", spec.tags)
    if (capabilities, tags) == (spec.capabilities, spec.tags):  # nearly always
        return spec
    return replace(spec, capabilities=capabilities, tags=tags)


def check_record(record: Record) -> Record:
    """Returns a stored record, its labels without repeats, if this registry could have written it.

    Raises:
        InvalidArgument: BAD_FIELD, for the first field that breaks its limit.
    """
    check_id("service.service_id", record.service_id)
    spec = check_spec(record.spec)
    for field in ("secret_hash", "payload_hash"):
        if not limits.HASH.fullmatch(getattr(record, field)):
            raise bad_field(field, "SHA-256 as 64 hex digits", getattr(record, field))
    check_text("identity", record.identity, limits.URL)
    if record.address and not is_address(record.address):
        raise bad_field("address", "an IP address, or empty", record.address)
    check_text("request_id", record.request_id)
    check_number("generation", record.generation, 1, limits.COUNTER)
    check_number("used_epoch", record.used_epoch, 0, limits.COUNTER)
    check_number("registered_wall", record.registered_wall, 0, limits.WALL_MAX_S)
    return record if spec == record.spec else replace(record, spec=spec)


def _check_place(spec: ServiceSpec) -> None:
    check_host("service.host", spec.host)
    check_number("service.port", spec.port, 0, limits.PORT)
    check_text("service.version", spec.version)
    check_text("service.zone", spec.zone)


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
