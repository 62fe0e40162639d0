"""Rules of the core that are broken on purpose, in memory: each must be caught, or the simulator proves nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from orion_registry.core import falling, fleet, liveness, mass_hold, status
from orion_registry.core.admission import TokenBucket
from orion_registry.core.entry import Entry
from orion_registry.core.flaps import Flaps
from orion_registry.core.frames import SessionRequest
from orion_registry.core.homecoming import Homecoming
from orion_registry.core.liveness import Event
from orion_registry.core.model import Now, ServiceSpec
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.patience import Patience
from orion_registry.core.registry import Registry
from orion_registry.core.sessions import HeartbeatSession
from tests.simulator.daemon import WALL
from tests.simulator.settings import Settings
from tests.simulator.world import Outcome, World

SEEDS = 10
"""Runs in which a broken rule has to show."""

HUNT = Settings(agents=40, hours=0.5, faults=30.0, check_every=500)
"""A small fleet that has a bad time."""

PACED = replace(HUNT, beat_budget=12.0)
"""The same with intervals of 2 to 5 s, that change as agents come and go."""

CUT = replace(HUNT, kinds=("mass cut",))
"""The same with nothing but cuts that take many at once."""

CROWDED = replace(HUNT, admission_rate=4.0)
"""The same at a narrow door."""

FLAPPING = replace(HUNT, kinds=("reset",))


@dataclass(frozen=True, slots=True)
class Break:
    """A rule, how to break it, and in what runs it should show."""

    name: str
    breaks: Callable[[], AbstractContextManager[Any]]
    settings: Settings = HUNT


def _no_credit() -> AbstractContextManager[Any]:
    real = Patience._repay

    def repay(self: Patience, mono: float, stall_s: float) -> None:
        credit_s = self._credit_s
        real(self, mono, stall_s)
        self._credit_s = credit_s

    return patch.object(Patience, "_repay", repay)


def _believed() -> AbstractContextManager[Any]:
    return patch.object(Patience, "shaken", property(lambda self: False))


def _old_ends_count() -> AbstractContextManager[Any]:
    real = HeartbeatSession._release

    def release(self: HeartbeatSession, entry: Entry, event: Event, now: Now) -> None:
        others = {stream: epoch for stream, epoch in entry.streams.items() if stream is not self}
        entry.streams = {self: entry.streams[self]}
        real(self, entry, event, now)
        entry.streams.update(others)

    return patch.object(HeartbeatSession, "_release", release)


def _by_wall_clock() -> AbstractContextManager[Any]:
    real = Registry.advance

    def advance(self: Registry, now: Now) -> Any:
        return real(self, Now(mono=now.wall - WALL, wall=now.wall))

    return patch.object(Registry, "advance", advance)


def _never_late() -> AbstractContextManager[Any]:
    return patch.dict(liveness.OVERDUE, {Code.STREAM_OPEN: Code.SILENT})


def _late_is_late() -> AbstractContextManager[Any]:
    return patch.object(liveness, "LATE_SHARE", 1.0)


@contextmanager
def _hello_is_no_beat() -> Iterator[None]:
    real = HeartbeatSession._attach

    def attach(self: HeartbeatSession, requests: tuple[SessionRequest, ...], now: Now) -> None:
        real(self, requests, now)
        self.pulse.mono = 0.0

    with patch.object(HeartbeatSession, "_attach", attach):
        yield


def _new_pace_at_once() -> AbstractContextManager[Any]:
    real = HeartbeatSession._tell_pace

    def tell(self: HeartbeatSession) -> float:
        interval_s = real(self)
        self.pulse.interval_s = interval_s
        return interval_s

    return patch.object(HeartbeatSession, "_tell_pace", tell)


def _time_allowed(state: Code, seconds: float) -> Callable[[], AbstractContextManager[Any]]:
    def breaks() -> AbstractContextManager[Any]:
        real = liveness.time_allowed

        def allowed(code: Code, spec: ServiceSpec, config: Any) -> float | None:
            return seconds if code is state else real(code, spec, config)

        return patch.object(liveness, "time_allowed", allowed)

    return breaks


@contextmanager
def _no_patience_after_a_restart() -> Iterator[None]:
    with _time_allowed(Code.RESTORED, 1.0)(), patch.object(Homecoming, "lasts", lambda *_: False):
        yield


def _ends_unseen() -> AbstractContextManager[Any]:
    return patch.object(HeartbeatSession, "close", lambda self, now: None)


def _silent_is_ready() -> AbstractContextManager[Any]:
    return patch.dict(status.TABLE, {Code.SILENT: status.TABLE[Code.HELD]})


def _epochs_again() -> AbstractContextManager[Any]:
    return patch.object(Registry, "restore_epochs", lambda self, stored: None)


def _edge_without_revision() -> AbstractContextManager[Any]:
    real = fleet.Fleet.reported

    def reported(self: fleet.Fleet, *args: Any) -> None:
        real(self, *args)
        self.revision += 1

    return patch.object(fleet.Fleet, "reported", reported)


def _nobody_held() -> AbstractContextManager[Any]:
    return patch.object(mass_hold, "_is_mass", lambda fallen, suspects, lived: False)


def _proven_held() -> AbstractContextManager[Any]:
    real = falling._fell

    def fell(fleet: fleet.Fleet, entry: Entry, event: Event, now: Now, *, suspect: bool) -> None:
        real(fleet, entry, event, now, suspect=True)

    return patch.object(falling, "_fell", fell)


def _endless_hold() -> AbstractContextManager[Any]:
    return patch.object(mass_hold, "HOLD_S", 40.0)


def _quiet_hold() -> AbstractContextManager[Any]:
    return patch.object(Registry, "mass_hold", "")


def _open_door() -> AbstractContextManager[Any]:
    return patch.object(TokenBucket, "take", lambda self, mono: 0.0)


def _no_patience_for_the_waiting() -> AbstractContextManager[Any]:
    return patch.object(fleet.Fleet, "wait_for", lambda self, entry, wait_s, now: None)


def _flaps_forgiven() -> AbstractContextManager[Any]:
    return patch.object(Flaps, "are_many", lambda self, mono, config: False)


BREAKS = (
    Break("stalls are not credited", _no_credit),
    Break("ends after a stall are believed", _believed),
    Break("the end of an old session counts", _old_ends_count),
    Break("deadlines follow the wall clock", _by_wall_clock),
    Break("LATE is skipped", _never_late),
    Break("LATE comes with SILENT", _late_is_late),
    Break("hello does not count as a beat", _hello_is_no_beat),
    Break("a shorter interval is judged at once", _new_pace_at_once, PACED),
    Break("restored services have a second", _no_patience_after_a_restart),
    Break("the dead are removed after 5 s", _time_allowed(Code.DISCONNECTED, 5.0)),
    Break("ended streams are not noticed", _ends_unseen),
    Break("SILENT is ready", _silent_is_ready),
    Break("a restart gives epochs again", _epochs_again),
    Break("revisions are skipped", _edge_without_revision),
    Break("a mass cut holds nobody", _nobody_held, CUT),
    Break("the proven dead are held too", _proven_held),
    Break("a hold lasts too long", _endless_hold),
    Break("a hold is not announced", _quiet_hold),
    Break("flapping is forgiven", _flaps_forgiven, FLAPPING),
    Break("all are let in at once", _open_door, CROWDED),
    Break("who was told to wait gets no time", _no_patience_for_the_waiting, CROWDED),
)


def named(name: str) -> tuple[Break, ...]:
    """The rules whose name contains `name`; `all` is every one."""
    return tuple(one for one in BREAKS if name == "all" or name in one.name)


def hunt(one: Break, seeds: range = range(1, SEEDS + 1)) -> Outcome | None:
    """The first run in which the broken rule is caught, and that is clean without the break; None: it is not."""
    for seed in seeds:
        with one.breaks():
            outcome = World(one.settings, seed).run()
        if outcome.broken is not None and World(one.settings, seed).run().broken is None:
            return outcome
    return None


def hunt_all(breaks: tuple[Break, ...], seeds: range = range(1, SEEDS + 1)) -> bool:
    """Breaks one rule after the other, and prints what caught each; returns whether all were caught."""
    begin = time.perf_counter()
    width = max(len(one.name) for one in breaks)
    caught = 0
    for one in breaks:
        outcome = hunt(one, seeds)
        if outcome is None:
            print(f"{one.name:{width}}  NOT CAUGHT in {len(seeds)} runs")
            continue
        caught += 1
        assert outcome.broken is not None
        where = f"seed {outcome.seed}, {outcome.simulated_s:,.0f} s"
        print(f"{one.name:{width}}  {where:18}  {outcome.broken}", flush=True)
    print(f"{caught} of {len(breaks)} broken rules caught in {time.perf_counter() - begin:.1f} s")
    return caught == len(breaks)
