"""core/mass_hold: a cut is told from a crash, at a cost that does not grow with the fleet, and as a slow twin does."""

import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.core.entry import Entry
from orion_registry.core.mass_hold import HOLD_S, WINDOW_S, MassHold
from orion_registry.core.model import LivenessMode, Now, ServiceStatus
from tests.building import World, make_entry, ref_of, state_of


def at(mono: float) -> Now:
    return Now(mono=mono, wall=mono + 43_200.0)


def agent(number: int) -> tuple[str, str]:
    return "default", f"agent-{number}"


def fallen(count: int, proven: int = 0) -> tuple[MassHold, list[Entry]]:
    """That many agents fell within a second; the first of them are proven dead."""
    hold = MassHold()
    entries = [make_entry(number) for number in range(count)]
    for number, entry in enumerate(entries):
        hold.fell(agent(number), entry, 10.0 + number / count, suspect=number >= proven, gone=True)
    return hold, entries


@pytest.mark.parametrize(
    ("count", "proven", "living", "held"),
    [
        (5, 0, 11, True),
        (5, 0, 12, False),  # 5 of 17 are 29 %
        (4, 0, 0, False),
        (3, 0, 7, False),
        (12, 0, 18, True),
        (12, 12, 18, False),
        (12, 1, 18, False),  # 92 % suspect
        (40, 2, 60, True),
        (40, 3, 60, False),
    ],
)
def test_what_is_a_mass(count: int, proven: int, living: int, held: bool) -> None:
    hold, entries = fallen(count, proven)
    assert hold.judge(at(11.0), living) == (entries[proven:] if held else [])
    assert hold.lasts(11.0) is held
    assert bool(hold.story) is held


def test_the_story_names_how_many_and_since_when() -> None:
    hold, _ = fallen(12)
    hold.judge(at(11.0), 18)
    assert hold.story == (
        "12 of 30 agents fell silent together at 12:00:11 UTC; "
        "those not proven dead, and such as follow them, are held for up to 30 s"
    )
    assert hold.until == 11.0 + HOLD_S
    assert hold.lasts(40.9)
    assert not hold.lasts(41.0)


def test_falls_further_apart_are_no_mass() -> None:
    hold, _ = fallen(4)
    hold.fell(agent(9), make_entry(9), 10.0 + WINDOW_S, suspect=True, gone=True)
    assert len(hold) == 4
    assert hold.judge(at(10.0 + WINDOW_S), 0) == []


def test_one_agent_counts_once_however_often_and_with_however_many_services_it_falls() -> None:
    hold = MassHold()
    for number in range(50):
        hold.fell(agent(0), make_entry(number), 10.0, suspect=True, gone=True)
    assert len(hold) == 1
    assert hold.judge(at(10.0), 1) == []


def test_proven_stays_proven() -> None:
    hold, entries = fallen(30)
    hold.fell(agent(0), entries[0], 10.9, suspect=False, gone=True)
    hold.fell(agent(0), entries[0], 10.9, suspect=True, gone=True)
    assert hold.judge(at(11.0), 5) == entries[1:]


def test_who_is_back_counts_among_those_that_live_only_once() -> None:
    hold, entries = fallen(6)
    for number in range(6):
        hold.seen(agent(number), lives=True)
    hold.seen(agent(99), lives=True)
    assert hold.judge(at(11.0), 20) == [], "6 of 20"
    assert hold.judge(at(11.0), 19) == entries


def test_a_hold_is_judged_once_and_may_end_early() -> None:
    hold, _ = fallen(10)
    assert hold.judge(at(11.0), 0)
    assert hold.judge(at(11.1), 0) == []
    hold.end()
    assert (hold.story, hold.lasts(11.2)) == ("", False)
    assert hold.judge(at(20.0), 0) == []


# The twin.

AGENTS = 40


@dataclass
class Record:
    at: float
    agent: int
    suspect: bool
    entries: list[Entry]


class Twin:
    """Remembers everything, and counts anew each time."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.alive = set(range(AGENTS))
        self.until = float("-inf")

    def window(self, now: float) -> list[Record]:
        self.records = [record for record in self.records if record.at > now - WINDOW_S]
        return self.records

    def fell(self, number: int, entry: Entry, now: float, suspect: bool) -> None:
        self.alive.discard(number)
        for record in self.window(now):
            if record.agent == number:
                record.suspect = record.suspect and suspect
                record.entries.append(entry)
                return
        self.records.append(Record(now, number, suspect, [entry]))

    def judge(self, now: float) -> list[Entry]:
        window = self.window(now)
        lived = self.alive | {record.agent for record in window}
        suspects = [record for record in window if record.suspect]
        enough = len(window) >= 5 and len(window) / len(lived) > 0.3 and len(suspects) / len(window) >= 0.95
        if now < self.until or not enough:
            return []
        self.until = now + 30.0
        return [entry for record in suspects for entry in record.entries]


moves = st.lists(
    st.tuples(
        st.sampled_from(["fall", "fall", "cut", "back", "judge"]),  # a cut takes 24 at once
        st.integers(0, AGENTS - 1),
        st.booleans(),
        st.sampled_from([0.0, 0.0, 0.125, 0.5, 2.0, 8.0]),  # sums of these are exact
    ),
    max_size=80,
)


@settings(max_examples=300)
@given(moves)
def test_as_the_twin_does(moves: list[tuple[str, int, bool, float]]) -> None:
    hold, twin, now = MassHold(), Twin(), 10.0
    for what, number, suspect, wait_s in moves:
        now += wait_s
        if what == "back":
            twin.alive.add(number)
            hold.seen(agent(number), lives=True)
        taken = {"fall": [number], "cut": range(number, number + 24)}.get(what, [])
        for each in (other % AGENTS for other in taken):
            if each in twin.alive:
                entry = make_entry(each)
                twin.fell(each, entry, now, suspect or what == "cut")
                hold.fell(agent(each), entry, now, suspect=suspect or what == "cut", gone=True)
                assert hold.judge(at(now), len(twin.alive)) == twin.judge(now)
        assert hold.judge(at(now), len(twin.alive)) == twin.judge(now)
        assert hold.lasts(now) == (now < twin.until)


def test_a_registry_in_the_process_of_its_agents_credits_no_stall_and_holds_nobody() -> None:
    world = World(late_tick_s=math.inf, hold_share=1.0)
    entries = [world.add(f"agent-{number}", liveness=LivenessMode.TTL) for number in range(20)]
    for entry in entries:
        world.registry.beat(ref_of(entry), None, ServiceStatus.UNSPECIFIED, world.now)
    world.clock.advance(30.2)
    world.registry.advance(world.now)
    assert {state_of(entry) for entry in entries} == {("UNHEALTHY", "SILENT")}
    assert world.registry.mass_hold == ""
