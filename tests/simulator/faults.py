"""What goes wrong: drawn by seed, done to agents, network and daemon, with the truth written down as it happens."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from orion_registry.core.mass_hold import AGENTS, SHARE
from tests.simulator.agent import Agent
from tests.simulator.mishaps import HUNG_S, Mishaps, is_settled, span

if TYPE_CHECKING:
    from tests.simulator.world import World

RATES = {
    # an hour, for each agent
    "kill": 0.15,
    "stop": 0.15,
    "block": 0.30,
    "cut": 0.30,
    "half-open": 0.10,
    "power loss": 0.05,
    "reset": 0.05,
    "goodbye": 0.10,
    "moving": 0.20,
    # an hour, for the fleet
    "mass cut": 3.0,
    "mass block": 1.0,
    "mass kill": 1.0,
    "daemon stall": 20.0,
    "daemon kill": 1.0,
    "daemon stop": 1.0,
    "clock jump": 10.0,
}

MASS = 0.4
"""Share of the fleet that a mass fault takes."""


class Faults:
    """Strikes at random.

    Attributes:
        done: faults so far, by kind.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self.rng = world.rng
        self.mishaps = mishaps = Mishaps(world)
        self.done = mishaps.done
        one: dict[str, Callable[[Agent], None]] = {
            "kill": mishaps.kill,
            "stop": partial(mishaps.stop, seconds=None),
            "block": partial(mishaps.block, seconds=None),
            "cut": partial(mishaps.cut, seconds=None),
            "half-open": mishaps.half_open,
            "power loss": mishaps.power_loss,
            "reset": mishaps.reset,
            "goodbye": mishaps.goodbye,
            "moving": mishaps.moving,
        }
        self._one = one
        self._all: dict[str, Callable[[], None]] = {
            "mass cut": self.mass_cut,
            "mass block": self.mass_block,
            "mass kill": self.mass_kill,
            "daemon stall": self.daemon_stall,
            "daemon kill": self.daemon_kill,
            "daemon stop": self.daemon_stop,
            "clock jump": self.clock_jump,
        }

    def start(self, factor: float, kinds: tuple[str, ...] = ()) -> None:
        """From now on things go wrong: those named, or all."""
        for kind, rate in RATES.items():
            if kinds and kind not in kinds:
                continue
            per_s = rate * factor / 3600.0 * (len(self.world.agents) if kind in self._one else 1)
            if per_s > 0:
                self.agenda.at(self.agenda.now + self.rng.expovariate(per_s), self._strike, (kind, per_s))

    def _strike(self, item: tuple[str, float]) -> None:
        kind, per_s = item
        self.agenda.at(self.agenda.now + self.rng.expovariate(per_s), self._strike, item)
        if kind in self._all:
            self._all[kind]()
            return
        agent = self.rng.choice(self.world.agents)
        if is_settled(agent):
            self._one[kind](agent)

    def _some(self) -> list[Agent]:
        return [agent for agent in self.world.agents if is_settled(agent) and self.rng.random() < MASS]

    # Many at once.

    def mass_cut(self) -> None:
        """A switch takes 40 % of the fleet off the network."""
        seconds = span(self.rng, 0.5, 90.0)
        self.done["mass cut"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + seconds)
        taken = self._some()
        for agent in taken:
            self.mishaps.cut(agent, seconds=seconds, kind="cut in a mass")
        running = sum(agent.runs for agent in self.world.agents)
        if seconds > HUNG_S and len(taken) > max(AGENTS, running * (SHARE + 0.04)):
            self.world.expectations.hold(len(taken), self.agenda.now + HUNG_S)

    def mass_block(self) -> None:
        """A shared machine starves 40 % of the fleet of CPU."""
        seconds = span(self.rng, 0.5, 90.0)
        self.done["mass block"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + seconds)
        for agent in self._some():
            self.mishaps.block(agent, seconds=seconds)

    def mass_kill(self) -> None:
        """40 % of the fleet crash within a second."""
        self.done["mass kill"] += 1
        self.world.mass_end = max(self.world.mass_end, self.agenda.now + 30.0)
        for agent in self._some():
            self.agenda.at(self.agenda.now + self.rng.random(), self._kill_if_settled, agent)

    def _kill_if_settled(self, agent: Agent) -> None:
        if is_settled(agent):
            self.mishaps.kill(agent)

    # The daemon.

    def daemon_stall(self) -> None:
        """It is paused, or its event loop is blocked."""
        daemon = self.world.daemon
        if self._busy():
            return
        seconds = span(self.rng, 0.3, 30.0) if self.rng.random() < 0.95 else span(self.rng, 30.0, 300.0)
        frozen = self.rng.random() < 0.5
        self.done["daemon stall"] += 1
        self.world.oracle.note("", f"{'stopped' if frozen else 'blocked'} for {seconds:.3f} s")
        daemon.stall(seconds, frozen=frozen)

    def daemon_kill(self) -> None:
        """kill -9."""
        if self._busy():
            return
        self.done["daemon kill"] += 1
        self.world.oracle.note("", "killed")
        self.world.daemon.crash(span(self.rng, 0.3, 60.0))

    def daemon_stop(self) -> None:
        """SIGTERM, and another daemon."""
        if self._busy():
            return
        self.done["daemon stop"] += 1
        self.world.oracle.note("", "shut down")
        self.world.daemon.shut_down(span(self.rng, 0.3, 10.0))

    def _busy(self) -> bool:
        daemon = self.world.daemon
        return daemon.stalled or not daemon.up or daemon.busy_until > self.agenda.now

    def clock_jump(self) -> None:
        """The wall clock is set, by a second or by ten years."""
        self.done["clock jump"] += 1
        jump_s = span(self.rng, 1.0, 3e8) * self.rng.choice((-1.0, 1.0))
        self.world.daemon.wall_offset += jump_s
        self.world.oracle.note("", f"wall clock jumps by {jump_s:.1f} s")
