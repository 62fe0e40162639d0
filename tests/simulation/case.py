"""What is simulated: a fleet, its calls, and what goes wrong; the same arrivals and sizes for every strategy."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MEAN_S = 5.0
"""Mean size of a call: how long it takes an agent of speed 1."""


class Trouble(StrEnum):
    """What goes wrong in the middle third of a run."""

    NONE = "none"
    BROWN_OUT = "brown-out"
    """A tenth of the agents is ten times slower."""
    BLACK_HOLE = "black hole"
    """A tenth of the agents fails every call after 10 ms."""
    CRASH = "crash"
    """A tenth of the agents dies with its calls, which start anew elsewhere, and comes back."""
    BURST = "burst"
    """Calls come at twice the rate for a tenth of the time."""


def exponential(draw: random.Random) -> float:
    return draw.expovariate(1.0)


def lognormal(draw: random.Random) -> float:
    return draw.lognormvariate(-1.125, 1.5)  # mean 1: mu = -sigma^2 / 2


def bimodal(draw: random.Random) -> float:
    return (41.0 if draw.random() < 0.1 else 1.0) / 5.0  # 1 s and 41 s: mean 5 s


def pareto(draw: random.Random) -> float:
    return min(draw.paretovariate(1.5), 1_000.0) / 3.0  # mean 3 without the cut


WORKLOADS: dict[str, Callable[[random.Random], float]] = {
    "exponential": exponential,
    "lognormal": lognormal,
    "bimodal": bimodal,
    "pareto": pareto,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One setting.

    Attributes:
        agents: how many.
        slots: of each; "mixed" = 1 and 4 by turns.
        spread: the fastest agent's speed over the slowest's; 4 = speeds 0.5, 1 and 2 by turns.
        declared: whether weights tell the speeds.
        workload: distribution of sizes.
        load: offered work over all capacity.
        report_s: age up to which the end of a call is not known; 0 = told at once.
        callers: who call, at random.
        trouble: what goes wrong.
    """

    agents: int = 30
    slots: int | str = 4
    spread: int = 1
    declared: bool = True
    workload: str = "lognormal"
    load: float = 0.8
    report_s: float = 0.0
    callers: int = 10
    trouble: Trouble = Trouble.NONE

    @property
    def name(self) -> str:
        """All that differs from the plain case."""
        parts = [f"{self.agents} x {self.slots}", self.workload, f"load {self.load:g}"]
        if self.spread > 1:
            parts.append(f"speeds {self.spread}x{'' if self.declared else ' undeclared'}")
        if self.report_s:
            parts.append(f"reports {self.report_s:g} s")
        if self.callers != 10:
            parts.append(f"{self.callers} callers")
        if self.trouble is not Trouble.NONE:
            parts.append(str(self.trouble))
        return ", ".join(parts)

    def slots_of(self, agent: int) -> int:
        return (1, 4)[agent % 2] if isinstance(self.slots, str) else self.slots

    def speed_of(self, agent: int) -> float:
        return 1.0 if self.spread == 1 else (0.5, 1.0, 2.0)[agent % 3]

    @property
    def capacity(self) -> float:
        """Work done in a second by all slots."""
        return sum(self.slots_of(agent) * self.speed_of(agent) for agent in range(self.agents))

    @property
    def all_slots(self) -> int:
        return sum(self.slots_of(agent) for agent in range(self.agents))

    def troubled(self, agent: int) -> bool:
        """Whether the trouble is this agent's: every tenth, one at least, of middling speed."""
        return agent % 10 == min(1, self.agents - 1)


@dataclass(frozen=True, slots=True)
class Calls:
    """When calls come, how large they are (seconds at speed 1), and who makes them."""

    arrivals: list[float]
    sizes: list[float]
    callers: list[int]
    trouble_from: float
    trouble_to: float


def make_calls(case: Case, number: int, seed: int) -> Calls:
    """The calls of a case: Poisson arrivals at a rate that makes its load."""
    draw = random.Random(seed)
    sample = WORKLOADS[case.workload]
    rate = case.load * case.capacity / MEAN_S
    horizon = number / rate
    begin, end = horizon / 3, horizon * 2 / 3
    burst = case.trouble is Trouble.BURST
    arrivals, now = [], 0.0
    for _ in range(number):
        at_burst = burst and begin <= now < begin + horizon / 10
        now += draw.expovariate(rate * (2.0 if at_burst else 1.0))
        arrivals.append(now)
    sizes = [sample(draw) * MEAN_S for _ in range(number)]
    callers = [draw.randrange(case.callers) for _ in range(number)]
    return Calls(arrivals, sizes, callers, begin, end)
