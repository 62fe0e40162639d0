"""Making overlays true for the services that they are for, and seeing which of those that drain have nothing left."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from orion_registry.core.entry import Entry
from orion_registry.core.events import OverlayCleared, OverlaySet
from orion_registry.core.fleet import Fleet
from orion_registry.core.keys import key_of_spec
from orion_registry.core.liveness import DEAD, LIVE, WORDLESS
from orion_registry.core.model import Now, StatusReason
from orion_registry.core.model import StatusReasonCode as State
from orion_registry.core.overlay import OVERLAID, Overlay, OverlayMode
from orion_registry.core.overlay_book import Held, conditions_of

if TYPE_CHECKING:
    from orion_registry.core.sessions import HeartbeatSession

GONE_S = 30.0
"""A dead agent that told last of work, or nothing, is taken to work on for so long after it was last heard of: a
connection that broke and an event loop that is blocked end no call. As long as a mass is held."""

JUDGED_AT_ONCE = 500
"""Services that drain judged with one tick, in turn, so that many cost the others no time: about 1 ms."""


def restore(fleet: Fleet, overlays: Iterable[Overlay], now: Now) -> None:
    """Takes in what the store held, before the services that it is for. What drains has its whole deadline again."""
    for overlay in overlays:
        fleet.overlays.put(overlay, now.mono, anew=True)


def put(fleet: Fleet, overlays: Collection[Overlay], now: Now, *, anew: bool) -> None:
    """Overlays are stored: they hold from now on. anew: their mode was set, not only their weight.

    Agents of services that are to drain are asked on their streams to take nothing new.
    """
    asked: dict[HeartbeatSession, dict[str, float | None]] = {}
    for overlay in overlays:
        fleet.overlays.put(overlay, now.mono, anew=anew)
        fleet.tell(_set(overlay))
        entry = entry_of(fleet, overlay)
        if entry is None:
            continue
        _show(fleet, entry, overlay)
        if anew and overlay.mode is OverlayMode.DRAIN:
            for stream in entry.streams:
                asked.setdefault(stream, {})[entry.service_id] = overlay.deadline_s
    for stream, services in asked.items():
        stream.drain(tuple(services), next(iter(services.values())))  # one command sets one deadline


def clear(fleet: Fleet, overlays: Iterable[Overlay], cleared_by: str) -> None:
    """Overlays are stored no more: their services are what their agents make of them."""
    for overlay in overlays:
        fleet.overlays.drop(overlay.key)
        told = OverlayCleared(
            service_id=overlay.service_id,
            agent_id=overlay.agent_id,
            namespace=overlay.namespace,
            cleared_by=cleared_by,
        )
        fleet.tell(told)
        entry = entry_of(fleet, overlay)
        if entry is not None:
            _show(fleet, entry, None)


def ask(fleet: Fleet, session: HeartbeatSession, service_ids: Iterable[str], now: Now) -> None:
    """Tells an agent that comes, or comes back, which of its services are to take nothing new."""
    for service_id in dict.fromkeys(service_ids):
        entry = session.services.get(service_id)
        if entry is not None and (key := key_of_spec(entry.spec)) in fleet.overlays.draining:
            session.drain((service_id,), fleet.overlays.left_s(key, now.mono))


def judge(fleet: Fleet, now: Now) -> None:
    """Looks which of those that drain have nothing left, or no time; and which of them have something again."""
    turn = fleet.overlays.draining
    for key, entry in list(islice(turn.items(), JUDGED_AT_ONCE)):
        if len(turn) > JUDGED_AT_ONCE:
            turn[key] = turn.pop(key)
        if entry.owner is not None:  # its owner says so
            continue
        held = fleet.overlays.get(key)
        assert held is not None  # or it would not drain
        drained = _is_drained(fleet, entry, held, now.mono)
        is_so, was_so = (State.DRAINED, State.DRAINING) if drained else (State.DRAINING, State.DRAINED)
        if entry.conditions.pop(was_so, None) is not None:
            entry.conditions[is_so] = StatusReason(code=is_so, since_wall=now.wall)
            fleet.refresh(entry)


def _is_drained(fleet: Fleet, entry: Entry, held: Held, mono: float) -> bool:
    """Whether it is safe to stop.

    What its agent says counts from a beat after draining began: before, it may not have known of a call on its way. An
    agent that never told its load is not taken at its silence.
    """
    if held.until is not None and held.until <= mono:
        return True
    if fleet.leases_left(entry.service_id):
        return False
    state, load, pulse = entry.liveness.code, entry.load, entry.pulse
    if state in WORDLESS or (state in DEAD and (pulse is None or mono - pulse.mono >= GONE_S)):
        return True  # nobody is there who could work, or tell
    if state not in LIVE | DEAD or load is None or pulse is None or pulse.mono <= held.began:
        return False
    return not load.in_flight and not load.queue_depth


def entry_of(fleet: Fleet, overlay: Overlay) -> Entry | None:
    """The service that an overlay is for; None if it is not registered, or its service_id is another's now."""
    entry = fleet.catalog.get(overlay.service_id)
    if entry is None:
        return None
    spec = entry.spec
    same = (spec.namespace, spec.agent_id, spec.service_name) == (
        overlay.namespace,
        overlay.agent_id,
        overlay.service_name,
    )
    return entry if same else None


def _show(fleet: Fleet, entry: Entry, overlay: Overlay | None) -> None:
    """One edge, from what was set to what is."""
    conditions = conditions_of(overlay, entry.conditions.values())
    for code in OVERLAID - conditions.keys():
        entry.conditions.pop(code, None)
    entry.conditions.update(conditions)
    entry.overlay = overlay
    fleet.overlays.left(entry)
    fleet.overlays.arrived(entry)
    fleet.refresh(entry)


def _set(overlay: Overlay) -> OverlaySet:
    return OverlaySet(
        service_id=overlay.service_id,
        agent_id=overlay.agent_id,
        namespace=overlay.namespace,
        mode=overlay.mode,
        weight=overlay.weight,
        deadline_s=overlay.deadline_s,
        note=overlay.note,
        set_by=overlay.set_by,
    )
