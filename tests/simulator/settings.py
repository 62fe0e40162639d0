"""What one run is about."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the simulator.

    Attributes:
        agents: how many; the registry assigns the interval that such a fleet gets (50: 1 s, 3,000: 1.5 s, 10,000: 5 s).
        hours: simulated time after all have come.
        loss: share of segments that the network loses.
        faults: how often things go wrong, as a factor to `faults.RATES`; 0 = never.
        kinds: which of these do; none named = all.
        beat_budget: beats a second that the registry allows; less makes a small fleet beat as slowly as a large one.
        admission_rate: hellos a second that the registry lets in; less makes a small fleet queue as a large one does.
        check_every: steps between two checks of everything; 0 = as many as make it a few percent of the work.
    """

    agents: int
    hours: float
    loss: float = 0.01
    faults: float = 1.0
    kinds: tuple[str, ...] = ()
    beat_budget: float = 2_000.0
    admission_rate: float = 500.0
    check_every: int = 0

    @property
    def full_check_every(self) -> int:
        """Steps between two checks of everything."""
        return self.check_every or 2_000 + 25 * self.agents

    @property
    def ramp_s(self) -> float:
        """Time in which the agents come at the start."""
        return 1.0 + self.agents / 200.0


FLEETS = (
    # agents, share of the agent-hours asked for: a fleet of each pace
    (50, 0.1),
    (3_000, 0.3),
    (10_000, 0.6),
)


def plan_of(hours: float, agents: int, loss: float, faults: float) -> list[Settings]:
    """The runs that make so many agent-hours: of the given fleet, or of every pace if that is 0."""
    fleets = ((agents, 1.0),) if agents else FLEETS
    return [Settings(agents=size, hours=hours * share / size, loss=loss, faults=faults) for size, share in fleets]
