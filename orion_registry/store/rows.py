"""Records, overlays and edges as JSON: what stands in a row, or in a line of a snapshot. Reading is strict."""

import json
import zlib
from dataclasses import fields
from operator import attrgetter
from typing import Any

from orion_registry.core.audit import hash_of_stored
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import LivenessMode, Record, ServiceSpec, ServiceStatus, StatusReasonCode
from orion_registry.core.overlay import Overlay, OverlayMode
from orion_registry.core.timeline import StatusEdge
from orion_registry.errors import RegistryError
from orion_registry.store.check_rows import check_from_plain, check_to_plain

_SPEC = tuple(sorted(field.name for field in fields(ServiceSpec) if field.name != "metadata_scalars"))
_RECORD = tuple(sorted(field.name for field in fields(Record)))
_OVERLAY = tuple(sorted(field.name for field in fields(Overlay)))
_OF_SPEC, _OF_RECORD, _OF_OVERLAY = attrgetter(*_SPEC), attrgetter(*_RECORD), attrgetter(*_OVERLAY)
_LISTS = ("capabilities", "tags")
_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
"""What it is given has its keys in order already, and comes from flat values."""


def record_to_json(record: Record) -> str:
    """A record as one line of JSON, keys sorted."""
    plain: dict[str, Any] = dict(zip(_RECORD, _OF_RECORD(record), strict=True))
    plain["spec"] = spec = dict(zip(_SPEC, _OF_SPEC(record.spec), strict=True))
    if record.spec.checks:
        spec["checks"] = [check_to_plain(check) for check in record.spec.checks]
    return _line(plain)


def record_from_json(text: str) -> Record:
    """The record of such a line.

    Fields that this version does not know are an error; those that an older version did not write get their default.

    Raises:
        ValueError: it is none.
    """
    try:
        plain = json.loads(text)
        spec = plain.pop("spec")
        spec["liveness"] = LivenessMode(spec["liveness"])
        spec.update({name: tuple(spec[name]) for name in _LISTS})
        spec.pop("check_count", None)  # what versions before 0.1 wrote where checks stand now
        spec["checks"] = tuple(map(check_from_plain, spec.get("checks", ())))
        metadata_json, scalars = canonical_metadata(json.loads(spec["metadata_json"]))
        spec.update(metadata_json=metadata_json, metadata_scalars=scalars)
        return Record(spec=ServiceSpec(**spec), **plain)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, RegistryError) as error:
        raise ValueError(f"not a record of a service ({error})") from error


def overlay_to_json(overlay: Overlay) -> str:
    """An overlay as one line of JSON, keys sorted."""
    return _line(dict(zip(_OVERLAY, _OF_OVERLAY(overlay), strict=True)))


def overlay_from_json(text: str) -> Overlay:
    """The overlay of such a line; see `record_from_json`.

    Raises:
        ValueError: it is none.
    """
    try:
        plain = json.loads(text)
        return Overlay(**{**plain, "mode": OverlayMode(plain["mode"])})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not an overlay ({error})") from error


def stored_hash(stored: Record | Overlay | None) -> str:
    """The hash, for the audit chain, of what stands in a row; of nothing, none."""
    match stored:
        case Record():
            return hash_of_stored(record_to_json(stored))
        case Overlay():
            return hash_of_stored(overlay_to_json(stored))
        case None:
            return ""


def edge_to_json(edge: StatusEdge) -> str:
    """A change of status as one line of JSON, without the service's id."""
    return _line([edge.wall, edge.status, edge.codes])


def edge_from_json(service_id: str, text: str) -> StatusEdge:
    """The change of such a line.

    Raises:
        ValueError: it is none.
    """
    try:
        wall, status, codes = json.loads(text)
        reasons = tuple(StatusReasonCode(code) for code in codes)
        return StatusEdge(service_id=service_id, wall=float(wall), status=ServiceStatus(status), codes=reasons)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"not a change of status ({error})") from error


def checksum(key: str, text: str) -> int:
    """CRC-32 of a row: finds flipped bits, which SQLite does not look for inside values."""
    return zlib.crc32(f"{key}\n{text}".encode())


def _line(plain: object) -> str:
    """JSON that people can read; text that UTF-8 cannot say (a lone surrogate) is escaped."""
    text = _JSON.encode(plain)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(plain, separators=(",", ":"))
    return text
