"""The last good view on the disk: written whole or not at all, and believed only if every byte is as it was written.

One line says what it is and in which version, with the SHA-256 of the rest; the rest is one JSON document.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orion_registry.core.model import LivenessMode, ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.wire.enums import known
from orion_registry.wire.service import Service

NAME: Final = "orion-registry-view"
VERSION: Final = 1
BYTES: Final = 256 * 1024 * 1024
"""Read at most: 100,000 services of 2 kB."""

_PLAIN: Final = (
    *("service_id", "agent_id", "service_name", "service_type", "namespace", "host", "port", "protocol", "version"),
    *("zone", "weight", "max_concurrency", "health_check_url", "liveness_ttl_s", "retention_s", "silence_timeout_s"),
    *("stuck_after_s", "ready", "registration_time", "epoch", "generation", "overlay_weight"),
)
"""Fields that JSON knows as they are; the others are written and read one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """What a file holds. saved_at: seconds since 1970, a label."""

    services: tuple[Service, ...]
    saved_at: float


def save_view(path: Path, selector: str, services: Iterable[Service], saved_at: float) -> None:
    """Puts a view in the place of the one saved before; nobody ever reads half of one. Only its owner may read it.

    Args:
        path: the file; its directory must be there.
        selector: of the view, in whatever words: `load_view` wants the same.
        services: what it shows.
        saved_at: seconds since 1970.

    Raises:
        OSError: it cannot be written; the one before is as it was.
    """
    document = {"selector": selector, "saved_at": saved_at, "services": [_plain(service) for service in services]}
    body = json.dumps(document, separators=(",", ":")).encode()
    head = f"{NAME} {VERSION} {hashlib.sha256(body).hexdigest()}\n".encode()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(head + body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def load_view(path: Path, selector: str) -> SavedView:
    """The view that a file holds.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
        Unavailable: it is damaged, of another version, or of another selector; the message says which.
    """
    with path.open("rb") as file:
        head = file.readline(256).decode("ascii", "replace").split()
        body = file.read(BYTES + 1)
    if len(head) != 3 or head[0] != NAME:
        raise _unusable(path, "it is no saved view")
    if head[1] != str(VERSION):
        raise _unusable(path, f"it has version {head[1]}, this SDK reads version {VERSION}")
    if hashlib.sha256(body).hexdigest() != head[2]:
        raise _unusable(path, "it is damaged: its checksum is not that of its content")
    try:
        document = json.loads(body)
        services = tuple(_service(told) for told in document["services"])
        saved_at = float(document["saved_at"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(path, f"it cannot be understood: {type(error).__name__} {error}") from error
    if document.get("selector") != selector:
        raise _unusable(path, "it was saved for another selector")
    return SavedView(services=services, saved_at=saved_at)


def _unusable(path: Path, why: str) -> RegistryError:
    return Unavailable(Reason.NOT_SERVING, f"{path} is not used: {why}")


def _plain(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(service, name) for name in _PLAIN}
    told |= {"capabilities": service.capabilities, "tags": service.tags, "metadata": dict(service.metadata)}
    told |= {"liveness": int(service.liveness), "status": int(service.status)}
    told["reasons"] = [[int(reason.code), reason.since_wall] for reason in service.reasons]
    return told


def _service(told: dict[str, Any]) -> Service:
    """A service of this or a later SDK: what this one does not know is left out."""
    values: dict[str, Any] = {name: told[name] for name in _PLAIN if name in told}
    return Service(
        **values,
        capabilities=tuple(told["capabilities"]),
        tags=tuple(told["tags"]),
        metadata=dict(told["metadata"]),
        liveness=known(LivenessMode, told["liveness"], LivenessMode.STREAM),
        status=known(ServiceStatus, told["status"], ServiceStatus.UNKNOWN),
        reasons=tuple(
            StatusReason(code=StatusReasonCode(code), since_wall=since)
            for code, since in told["reasons"]
            if code in _CODES
        ),
    )


_CODES = frozenset(int(code) for code in StatusReasonCode)
