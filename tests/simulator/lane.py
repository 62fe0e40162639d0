"""The durable lane: plan, store, apply, one command after the other for each service."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orion_registry.core.commands import Command, Result
from orion_registry.core.model import Actor
from orion_registry.core.planning import Plan, Settled, key_of
from orion_registry.errors import RegistryError

if TYPE_CHECKING:
    from tests.simulator.world import World

Answer = Callable[[Result | RegistryError], None]


@dataclass(slots=True, eq=False)
class Commit:
    """A durable command on its way to the store."""

    life: int
    key: str
    plan: Plan
    answer: Answer


class Lane:
    """What is on its way to the store."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.agenda = world.agenda
        self._commits: dict[str, list[Callable[[], None]]] = {}

    def clear(self) -> None:
        """The daemon is gone: what was not stored never will be."""
        self._commits.clear()

    def waits(self, service_id: str, again: Callable[[], None]) -> bool:
        """Whether a command for the service is on its way; if so, `again` is called once it is applied."""
        waiting = self._commits.get(service_id)
        if waiting is not None:
            waiting.append(again)
        return waiting is not None

    def execute(self, command: Command, actor: Actor, answer: Answer) -> None:
        """Runs a durable command, one after the other for each service."""
        key = key_of(command)
        assert key is not None
        if self.waits(key, partial(self.execute, command, actor, answer)):
            return
        try:
            plan = self.world.daemon.registry.plan(command, actor, self.world.daemon.now())
        except RegistryError as error:
            answer(error)
            return
        if isinstance(plan, Settled):
            answer(plan.result)
            return
        self.world.daemon.registry.begin(plan)
        self._commits[key] = []
        draw = self.world.net.draw
        slow = 1.0 if draw() < 0.01 else 0.02
        self.agenda.at(
            self.agenda.now + 0.002 + slow * draw(), self._stored, Commit(self.world.daemon.life, key, plan, answer)
        )

    def _stored(self, commit: Commit) -> None:
        if commit.life == self.world.daemon.life:
            self.world.daemon.arrive(self._apply, commit, commit)

    def _apply(self, commit: Commit) -> None:
        result = self.world.daemon.registry.apply(commit.plan, self.world.daemon.now())
        waiting = self._commits.pop(commit.key)
        commit.answer(result)
        for again in waiting:
            again()


def nobody_waits(_: Result | RegistryError) -> None:
    """Takes an answer that nobody waits for."""
