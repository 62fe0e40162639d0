"""Promise 3 as a property: however the daemon stalls, no live agent is declared dead, and no dead one lives on."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.core.entry import Entry
from orion_registry.core.model import ServiceStatus
from orion_registry.core.patience import LATE_TICK_S, TICK_S
from orion_registry.core.sessions import HeartbeatSession
from tests.building import World, state_of

INTERVAL_S, SILENT_S = 1.0, 3.0


@dataclass
class Agent:
    entry: Entry
    session: HeartbeatSession
    next_beat: float
    dies_at: float


@dataclass(frozen=True)
class Away:
    """The daemon runs for a while, then does nothing; on its return it reads first, or ticks first."""

    after_s: float
    for_s: float
    reads_first: bool


spans = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.4, 1.0, 1.6, 5.0, 30.0, 300.0])
stalls = st.lists(
    st.builds(Away, after_s=st.sampled_from([0.1, 0.2, 0.5, 1.3, 4.0]), for_s=spans, reads_first=st.booleans()),
    max_size=8,
)
deaths = st.lists(st.sampled_from([0.0, 0.7, 2.0, 5.0, 9.0]), min_size=1, max_size=3)


def read_all(world: World, agents: list[Agent]) -> None:
    """Beats that arrived by now, in their order."""
    for agent in sorted(agents, key=lambda each: each.next_beat):
        while agent.next_beat <= min(world.now.mono, agent.dies_at):
            agent.next_beat += INTERVAL_S
            world.beat(agent.session)


@settings(max_examples=150)
@given(stalls, deaths, st.lists(st.floats(0.0, 0.99), min_size=3, max_size=3))
def test_no_live_agent_is_dead_and_the_dead_are_found(
    stalls: list[Away], deaths: list[float], phases: list[float]
) -> None:
    world = World(probation_s=0.0)
    start = world.now.mono
    world.registry.advance(world.now)

    def agent(name: str, phase: float, dies_at: float) -> Agent:
        entry = world.add(name, retention_s=0.0)
        return Agent(entry, world.live(entry), start + phase, dies_at)

    alive = [agent(f"alive-{number}", phase, float("inf")) for number, phase in enumerate(phases)]
    dying = [agent(f"dying-{number}", phases[0], start + after) for number, after in enumerate(deaths)]
    for away in (*stalls, Away(after_s=12.0, for_s=0.0, reads_first=True)):
        for _ in range(round(away.after_s / TICK_S)):
            world.clock.advance(TICK_S)
            read_all(world, [*alive, *dying])
            world.registry.advance(world.now)
            assert {state_of(each.entry) for each in alive} == {("HEALTHY", "STREAM_OPEN")}
        world.clock.advance(away.for_s)
        for reads in (away.reads_first, not away.reads_first):
            if reads:
                read_all(world, [*alive, *dying])
            else:
                world.registry.advance(world.now)
            assert {state_of(each.entry) for each in alive} == {("HEALTHY", "STREAM_OPEN")}, "not even late"
    assert {state_of(each.entry) for each in dying} == {("UNHEALTHY", "SILENT")}
    for each in dying:
        assert not each.entry.snapshot.ready
        assert each.entry.snapshot.status is ServiceStatus.UNHEALTHY


@given(st.sampled_from([0.4, 1.0, 5.0, 300.0]), st.sampled_from([0.2, 0.9, 2.2]), st.booleans())
def test_a_stall_is_paid_once_so_the_dead_are_found_as_soon_as_ever(
    stall_s: float, before_s: float, read: bool
) -> None:
    """One that is silent already when the daemon stalls is found after the silence that the daemon itself saw."""
    world = World()
    silent, other = world.add("silent"), world.add("other")
    world.live(silent)
    session = world.live(other)
    world.beats(session, before_s, every_s=before_s)
    world.clock.advance(stall_s)
    if read:
        world.beat(session)
    world.registry.advance(world.now)
    for _ in range(round((SILENT_S - before_s) / TICK_S) - 2):
        world.pass_time(TICK_S)
        world.beat(session)
        assert state_of(silent)[0] == "HEALTHY"
    for _ in range(4):
        world.pass_time(TICK_S)
        world.beat(session)
    assert state_of(silent) == ("UNHEALTHY", "SILENT")
    assert state_of(other) == ("HEALTHY", "STREAM_OPEN")


@given(st.lists(st.floats(0.0, TICK_S + LATE_TICK_S - 0.01), min_size=30, max_size=60))
def test_noise_is_no_stall(gaps: list[float]) -> None:
    """Ticks that are late by less than 250 ms give nobody credit."""
    world = World()
    world.registry.advance(world.now)
    instants = [world.now.mono]
    for gap in gaps:
        world.clock.advance(gap)
        world.registry.advance(world.now)
        instants.append(world.now.mono)
    assert all(after - before <= TICK_S + LATE_TICK_S for before, after in pairwise(instants))
    assert world.registry.self_health().stalls == 0


def test_others_may_ask_for_judged_time() -> None:
    """The store is not blamed for a stall of the daemon either."""
    world = World()
    world.pass_time(1.0)
    before = world.registry.judged(world.now)
    world.clock.advance(60.0)
    assert world.registry.judged(world.now) == pytest.approx(before + TICK_S)
