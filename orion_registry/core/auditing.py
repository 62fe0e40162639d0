"""What the audit chain is told of a change: one record for each service and each overlay that it changes."""

from collections.abc import Iterator

from orion_registry.core.audit import AuditEntry
from orion_registry.core.commands import Command, Remove
from orion_registry.core.facts import Audit
from orion_registry.core.fleet import Fleet
from orion_registry.core.importing import Adoption
from orion_registry.core.model import Actor, Record, RemovalReason
from orion_registry.core.overlay import Overlay
from orion_registry.core.overlay_plan import Overlaying
from orion_registry.core.planning import Change, Plan, Registration, Removal

REMOVED_BY = {
    RemovalReason.REMOVED: "RemoveService",
    RemovalReason.UNREGISTERED: "Heartbeat",  # a goodbye on the stream
    RemovalReason.EXPIRED: "EXPIRED",  # the registry by itself
}
"""Methods that a Remove comes from."""


def audits_of(
    fleet: Fleet, plan: Plan, command: Command, actor: Actor, wall: float, history_id: str
) -> tuple[Audit, ...]:
    """What is to be stored together with a plan's facts. Called before the plan is applied: it tells what was there.

    wall: now, in seconds since 1970; history_id: the present life of the registry.
    """

    def told(method: str, before: Record | Overlay | None, after: Record | Overlay | None) -> Audit:
        changed = before if after is None else after
        assert changed is not None  # else nothing would have changed
        namespace, target = whom(changed)
        entry = AuditEntry(
            wall=wall,
            history_id=history_id,
            identity=actor.identity,
            address=actor.address,
            method=method,
            namespace=namespace,
            target=target,
        )
        return Audit(entry=entry, before=before, after=after)

    match plan:
        case Registration():
            return (told("RegisterService", _held(fleet, plan.record.service_id), plan.record),)
        case Change():
            return (told("UpdateService", _held(fleet, plan.record.service_id), plan.record),)
        case Removal():
            method = REMOVED_BY[plan.reason] if isinstance(command, Remove) else "UnregisterService"
            return (told(method, _held(fleet, plan.service_id), None),)
        case Adoption():
            added: tuple[Record | Overlay, ...] = (*plan.records, *plan.overlays)
            return tuple(told("ImportSnapshot", None, one) for one in added)
        case Overlaying():
            return tuple(told("SetOverlay", before, after) for before, after in _overlaid(fleet, plan))
        case _:
            return ()


def _held(fleet: Fleet, service_id: str) -> Record | None:
    entry = fleet.catalog.get(service_id)
    return None if entry is None else entry.snapshot.record


def _overlaid(fleet: Fleet, plan: Overlaying) -> Iterator[tuple[Overlay | None, Overlay | None]]:
    for overlay in plan.overlays:
        held = fleet.overlays.get(overlay.key)
        yield None if held is None else held.overlay, overlay
    for overlay in plan.cleared:
        held = fleet.overlays.get(overlay.key)
        yield overlay if held is None else held.overlay, None


def whom(stored: Record | Overlay) -> tuple[str, str]:
    """Namespace and target of something stored."""
    match stored:
        case Record():
            return stored.spec.namespace, stored.spec.service_id
        case Overlay():
            return stored.namespace, stored.key
