"""Making a stored plan true. It cannot fail. Revisions, epochs and what becomes of sessions are decided here."""

from collections.abc import Collection

from orion_registry.core import draining
from orion_registry.core.authority import void_streams
from orion_registry.core.commands import Imported, Registered, Removed, Result, Updated
from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.frames import LostReason
from orion_registry.core.importing import Adoption
from orion_registry.core.liveness import DEAD, RESTORED, START, Event
from orion_registry.core.model import LivenessMode, Now, Record, RemovalReason, ServiceStatus
from orion_registry.core.overlay_plan import Overlaying
from orion_registry.core.planning import Change, Plan, Registration, Removal, Settled

_LOST = {RemovalReason.UNREGISTERED: LostReason.UNREGISTERED}


def apply(fleet: Fleet, plan: Plan, now: Now) -> Result:
    """Makes a stored plan true, and returns what its caller is told."""
    match plan:
        case Settled():
            return plan.result
        case Registration():
            return _register(fleet, plan, now)
        case Change():
            entry = fleet.require(plan.record.service_id)
            fleet.rewritten(entry, plan.record, now)
            return Updated(entry=entry, revision=fleet.revision)
        case Removal():
            entry = fleet.require(plan.service_id)
            void_streams(entry, _LOST.get(plan.reason, LostReason.REMOVED))
            fleet.remove(entry, plan.reason)
            return Removed(revision=fleet.revision)
        case Adoption():
            return _adopt(fleet, plan, now)
        case Overlaying():
            draining.put(fleet, plan.overlays, now, anew=plan.anew)
            draining.clear(fleet, plan.cleared, plan.actor.identity)
            return plan.answer(fleet.revision)


def bring_back(fleet: Fleet, records: Collection[Record], now: Now) -> None:
    """Takes in services that were stored, in the order of their registration."""
    extra_s = restore_extra_s(len(records), fleet.config)
    fleet.homecoming.begin(now.mono)
    for record in sorted(records, key=lambda record: record.registered_wall):
        fleet.add(record, RESTORED[record.spec.liveness], now, restored=True, extra_s=extra_s)


def restore_extra_s(services: int, config: RegistryConfig) -> float:
    """Seconds above not_seen_s that restored services may take: all come back at once, and are let in one by one."""
    return max(0.0, services / config.admission_rate + 5.0 - config.not_seen_s)


def _adopt(fleet: Fleet, plan: Adoption, now: Now) -> Imported:
    if plan.epochs_below is not None:
        fleet.epochs.reserved(plan.epochs_below)
        fleet.epochs.skip(plan.first_epoch)
    draining.put(fleet, plan.overlays, now, anew=True)
    bring_back(fleet, plan.records, now)
    return Imported(added=len(plan.records), kept=plan.kept, revision=fleet.revision)


def _register(fleet: Fleet, plan: Registration, now: Now) -> Registered:
    record = plan.record
    entry = fleet.catalog.get(record.service_id)
    created = entry is None
    if entry is None:
        entry = fleet.add(record, START[record.spec.liveness], now)
    elif plan.anew:
        _claim_anew(fleet, entry, plan, now)
    else:
        fleet.rewritten(entry, record, now)
        if record.spec.liveness is LivenessMode.CHECK:
            fleet.allow_anew(entry, now)
        elif entry.liveness.code in DEAD:  # whoever brings the secret is alive, and is about to say hello
            fleet.happened(entry, Event.CLAIMED, now)
    return Registered(entry=entry, secret=plan.secret, revision=fleet.revision, created=created)


def _claim_anew(fleet: Fleet, entry: Entry, plan: Registration, now: Now) -> None:
    """Another life of the agent, or another way to know of it: earlier sessions are void."""
    void_streams(entry, LostReason.SUPERSEDED)
    if entry.owner is not None:
        fleet.own(entry)  # whoever registers it owns it
    entry.used_epoch, entry.epoch = plan.record.used_epoch, fleet.epochs.take()
    fleet.loaded(entry, None)
    entry.pulse = entry.peer = None
    entry.self_report = ServiceStatus.UNSPECIFIED
    fleet.forget_task(entry)
    fleet.happened(entry, Event.CLAIMED, now, record=plan.record)
