"""What must have happened by when, after a fault began: rule b, and the announcement of mass holds."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orion_registry.core.keys import service_id_of
from orion_registry.core.model import StatusReasonCode as Code
from tests.simulator.agent import Agent, Fault
from tests.simulator.truth import Broken, name_of

if TYPE_CHECKING:
    from tests.simulator.world import World

AFTER_STALL_S = 8.0
"""How much later the dead may be found after the daemon was away."""


class Expectations:
    """Looks again when a deadline has come. Whatever disturbs the daemon meanwhile puts it off."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda

    def down(self, agent: Agent, fault: Fault, due: Callable[[], float]) -> None:
        """By `due` the agent must not be ready, unless the fault is over before.

        It is asked again in the end: a beat that was on its way may have been answered with a longer interval.
        """
        self.agenda.at(due(), self._see_down, (agent, fault, due, fault.begin - AFTER_STALL_S))

    def _see_down(self, item: tuple[Agent, Fault, Callable[[], float], float]) -> None:
        agent, fault, limit, calm_from = item
        if agent.fault is not fault:
            return
        daemon, now, due = self.world.daemon, self.agenda.now, limit()
        if now < due:
            self.agenda.at(due, self._see_down, item)
            return
        if daemon.trouble_end > calm_from:  # the daemon was away meanwhile: all of it again, and 8 s
            again = max(now, daemon.trouble_end) + due - fault.begin + AFTER_STALL_S
            self.agenda.at(again, self._see_down, (agent, fault, limit, daemon.trouble_end))
            return
        for spec in agent.specs:
            service = self.world.oracle.services[service_id_of(spec)]
            if not service.ready:
                continue
            if service.code is Code.HELD and daemon.registry.mass_hold:
                self.agenda.at(now + 1.0, self._see_down, item)
                return
            ago = now - fault.begin
            raise Broken(
                "b",
                agent.name,
                f"still {name_of(service.code)} {ago:.3f} s after {fault.kind}, due in {due - fault.begin:.3f} s",
            )

    def late(self, agent: Agent, fault: Fault, due: Callable[[], float]) -> None:
        """By `due` the agent must not be first choice any more, unless the fault is over before."""
        self.agenda.at(due(), self._see_late, (agent, fault, due))

    def _see_late(self, item: tuple[Agent, Fault, Callable[[], float]]) -> None:
        agent, fault, limit = item
        if self.agenda.now < limit():
            self.agenda.at(limit(), self._see_late, item)
            return
        if agent.fault is not fault or self.world.daemon.trouble_end > fault.begin - AFTER_STALL_S:
            return
        for spec in agent.specs:
            service = self.world.oracle.services[service_id_of(spec)]
            if service.snapshot is not None and service.snapshot.tier == 0:
                ago = self.agenda.now - fault.begin
                raise Broken("b", agent.name, f"still first choice {ago:.3f} s after {fault.kind}")

    def hold(self, agents: int, due: float) -> None:
        """So many were cut off at once: by `due` that must have been announced."""
        self.agenda.at(due, self._see_hold, (agents, self.agenda.now))

    def _see_hold(self, item: tuple[int, float]) -> None:
        agents, begin = item
        calm_from = max(self.world.daemon.trouble_end, self.world.faults.mishaps.crashed)
        if calm_from < begin - AFTER_STALL_S and not self.world.daemon.registry.mass_hold:
            raise Broken("c", "", f"{agents} agents were cut off at once, and no mass hold is announced")
