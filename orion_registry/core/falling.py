"""What it means that a stream ended or a deadline passed: death, a stall of our own, or a cut that took many."""

from orion_registry.core import liveness
from orion_registry.core.admission import last_turn_s
from orion_registry.core.census import agent_of
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.homecoming import LOOK_S
from orion_registry.core.liveness import CUT_OFF, DEAD, LIVE, ON_BEATS, Event
from orion_registry.core.model import Now
from orion_registry.core.model import StatusReasonCode as State


def ended(fleet: Fleet, entry: Entry, silent_s: float, now: Now) -> None:
    """The last stream that carried a service ended without a goodbye, so long after its last beat."""
    state, suspect = entry.liveness.code, silent_s >= fleet.config.cut_silence_s
    if state is State.HELD and suspect:
        return  # what ends now was cut off before
    if fleet.patience.shaken and state not in DEAD and state is not State.HELD:
        # All may come back at once, and are let in one by one: the last must not be dead before its turn.
        fleet.homecoming.begin(now.mono)
        fleet.happened(entry, Event.SHAKEN, now, extra_s=last_turn_s(len(fleet.catalog), fleet.config))
    elif state in LIVE:
        _fell(fleet, entry, Event.ENDED, now, suspect=suspect)
    else:
        fleet.happened(entry, Event.ENDED, now)


def overdue(fleet: Fleet, entry: Entry, now: Now) -> None:
    """The deadline of one that is not dead yet passed. Where beats came since, a later one is set instead."""
    state = entry.liveness.code
    if state in ON_BEATS:
        deadline = fleet.beat_deadline(entry)
        if deadline is None or deadline > now.mono:
            fleet.deadlines.set(entry, deadline)
            return
    if entry.held_off:  # its agent may be here, and is not let in
        fleet.deadlines.set(entry, now.mono + LOOK_S)
        return
    if state in CUT_OFF:
        missing = sum(map(fleet.headcount.having, CUT_OFF))
        if state is State.OWNER_LOST and (fleet.cut_off or fleet.still_heard(entry)):
            # Its agent may be there, and nobody could say so.
            fleet.deadlines.set(entry, now.mono + LOOK_S)
            return
        if fleet.homecoming.lasts(now.mono, missing):
            fleet.deadlines.set(entry, now.mono + LOOK_S)
            return
    if state in LIVE and liveness.next_state(state, Event.DEADLINE, entry.spec.liveness) is State.SILENT:
        _fell(fleet, entry, Event.DEADLINE, now, suspect=True)
    else:
        fleet.happened(entry, Event.DEADLINE, now)
    for stream in entry.streams:
        stream.pulse.missed[entry] = None


def judge(fleet: Fleet, now: Now) -> None:
    """Looks whether the falls of late are a mass; and whether one that was is over."""
    hold = fleet.hold
    for entry in hold.judge(now, fleet.headcount.agents_live):
        if fleet.catalog.get(entry.service_id) is entry and entry.liveness.code in liveness.FALLEN:
            if entry.flaps is not None:
                entry.flaps.forgive()
            fleet.happened(entry, Event.HELD, now)
    if hold.story and not hold.lasts(now.mono):
        hold.end()
    elif hold.story and not len(hold) and not fleet.headcount.having(State.HELD):
        hold.end()  # all are back, and for longer than the window nobody fell


def _fell(fleet: Fleet, entry: Entry, event: Event, now: Now, *, suspect: bool) -> None:
    """A live service fell. While suspects are held it is held at once; else it is unready at once, and judged then."""
    held = suspect and fleet.hold.lasts(now.mono)
    fleet.happened(entry, Event.HELD if held else event, now)
    if not held:
        fleet.flaps_of(entry).fell(now.mono)
    agent = agent_of(entry.spec)
    gone = not fleet.headcount.lives(agent)
    fleet.hold.fell(agent, entry, now.mono, suspect=suspect, gone=gone)
    judge(fleet, now)
