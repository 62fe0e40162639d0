"""Stored facts: all that survives the daemon. Never beats, load, leases or revisions."""

from dataclasses import dataclass

from orion_registry.core.audit import AuditEntry
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.core.timeline import StatusEdge


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A service's record, new or changed."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A service is gone."""

    service_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReserveEpochs:
    """Epochs below this bound may have been given."""

    below: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOverlay:
    """What an operator set for a service, new or changed."""

    overlay: Overlay


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOverlay:
    """Nothing is set any more for the service of a natural key; see `keys.key_text`."""

    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Something for the audit chain. The store gives it its place, and the hashes of what was stored and is now.

    before, after: what was stored of the target, and what is stored with this; None = nothing.
    """

    entry: AuditEntry
    before: Record | Overlay | None = None
    after: Record | Overlay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrimAudit:
    """Audit records up to this number are not needed any more; the place of the last stays known."""

    through: int


Fact = Put | Delete | ReserveEpochs | PutOverlay | DeleteOverlay | Audit | TrimAudit


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a store holds: the sum of its facts. epochs_below is 1 where nothing was ever reserved.

    edges are the changes of status that could be kept, those of one service in their order; some may be missing.
    """

    records: tuple[Record, ...] = ()
    epochs_below: int = 1
    edges: tuple[StatusEdge, ...] = ()
    overlays: tuple[Overlay, ...] = ()
