"""A service as a JSON object, with the names of `orion-registry get --json`."""

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from orion_registry.cli.outcome import CannotBegin, made, opened
from orion_registry.core.model import LivenessMode, ServiceSpec

FILE_BYTES = 1024 * 1024
OUTPUT_ONLY = frozenset({
    "status", "reasons", "ready", "load", "last_heartbeat", "registration_time", "epoch", "generation", "address",
    "overlay_weight",
})  # fmt: skip
"""What `get --json` shows besides: left out, so that what it shows can be registered again."""

_SPEC_ONLY = frozenset({"metadata_json", "metadata_scalars", "checks"})
"""Fields of a spec that are written as `metadata`, or not at all."""
FIELDS = frozenset({one.name for one in fields(ServiceSpec)} - _SPEC_ONLY | {"metadata"})

_LABELS = frozenset({"capabilities", "tags"})
_SPANS = frozenset({"retention_s", "silence_timeout_s", "stuck_after_s"})
"""Fields that may be null."""
_DEFAULTS = {one.name: one.default for one in fields(ServiceSpec)}


def read_service(path: str) -> dict[str, Any]:
    """The fields of the service in a file; - is stdin.

    Raises:
        CannotBegin: it is no JSON object, or has a field that no service has.
    """
    where = "stdin" if path == "-" else path
    if path == "-":
        data = sys.stdin.buffer.read(FILE_BYTES + 1)
    else:
        with opened(lambda: Path(path).open("rb")) as source:
            data = source.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise CannotBegin(f"{where}: must be at most {FILE_BYTES:,} bytes")
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CannotBegin(f"{where} is not valid JSON: {error}") from None
    if not isinstance(plain, dict):
        raise CannotBegin(f"{where}: must be one JSON object")
    if plain.pop("checks", []):  # what `get --json` shows of one that has none is an empty list
        raise CannotBegin(f"{where}: checks cannot be registered from a file: use health_check_url, or the Python SDK")
    for field in plain:
        if field not in OUTPUT_ONLY | FIELDS:
            raise CannotBegin(f"{where}: {field!r} is no field of a service; known are {', '.join(sorted(FIELDS))}")
    return {field: value for field, value in plain.items() if field not in OUTPUT_ONLY}


def spec_of(plain: Mapping[str, Any]) -> ServiceSpec:
    """The service with these fields, judged as the registry will judge it; STATIC unless it says otherwise.

    Raises:
        CannotBegin: a field has the wrong type, or breaks its rule.
    """
    from orion_registry.client.specs import with_metadata
    from orion_registry.core.admissible import check_spec

    for field in ("agent_id", "service_name"):
        if not plain.get(field):
            raise CannotBegin(f"{field} is missing: name the service, AGENT/NAME (see orion-registry register --help)")
    values = {field: _value(field, value) for field, value in plain.items() if field != "metadata"}
    values.setdefault("liveness", LivenessMode.STATIC)
    metadata = _metadata(plain.get("metadata"))
    return made(lambda: check_spec(with_metadata(ServiceSpec(**values), metadata)))


def _value(field: str, value: Any) -> Any:
    """A field as the spec has it."""
    default = _DEFAULTS[field]
    if field == "liveness":
        return _mode(value)
    if field in _LABELS:
        if isinstance(value, list | tuple) and all(isinstance(label, str) for label in value):
            return tuple(value)
        raise CannotBegin(f"{field}: must be a list of texts, got {value!r}")
    if field in _SPANS and value is None:
        return None
    if default is MISSING or isinstance(default, str):
        fits, rule = isinstance(value, str), "a text"
    elif isinstance(default, int):
        fits, rule = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        fits, rule = isinstance(value, int | float) and not isinstance(value, bool), "a number"
    if not fits:
        raise CannotBegin(f"{field}: must be {rule}, got {value!r}")
    return value


def _mode(value: Any) -> LivenessMode:
    try:
        return LivenessMode[str(value).upper()]
    except KeyError:
        modes = ", ".join(mode.name for mode in LivenessMode)
        raise CannotBegin(f"liveness: must be one of {modes}, got {value!r}") from None


def _metadata(value: Any) -> dict[str, Any]:
    """JSON text from the command line, or what was JSON in a file."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise CannotBegin(f"metadata: must be a JSON object: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CannotBegin(f"metadata: must be a JSON object, got {value!r}")
    return value
