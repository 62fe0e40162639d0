"""How fast the registry notices that a service has fallen: measured at each fall, on the registry's own clock."""

from orion_registry.core.history import Edge
from orion_registry.core.model import ServiceStatus
from orion_registry.core.model import StatusReasonCode as State
from orion_registry.core.registry import Registry
from orion_registry.core.tally import Histogram
from orion_registry.runtime.clock import Clock

DELAY_BOUNDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SILENCE_BOUNDS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 10.0, 30.0, 60.0, 300.0)

REASONS = (State.DISCONNECTED, State.SILENT, State.NOT_SEEN)
"""Falls that are measured: those that the registry finds out by itself."""


class Detection:
    """Two histograms for each of `REASONS`, in seconds.

    Attributes:
        delays: from the moment at which the registry could know, which is the end of the stream as its code hears of
            it, or the deadline, to the change of status being told.
        silences: from the last sign of life to the same moment.
        heard_at: when the end of a stream was heard of that is being told now; None = none is.
    """

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self.heard_at: float | None = None
        self.delays = {reason: Histogram(DELAY_BOUNDS) for reason in REASONS}
        self.silences = {reason: Histogram(SILENCE_BOUNDS) for reason in REASONS}

    def fell(self, service_id: str) -> None:
        """A service has fallen this moment."""
        entry, latest = self._registry.get(service_id), self._registry.latest
        reason = entry.liveness.code
        if reason not in self.delays:
            return
        if self.heard_at is not None:
            delay_s = self._clock.now().mono - self.heard_at
        else:
            delay_s = latest - (latest if entry.deadline is None else entry.deadline)
        self.delays[reason].observe(max(0.0, delay_s))
        if entry.pulse is not None:  # it was heard of
            self.silences[reason].observe(max(0.0, latest - entry.pulse.mono))


def is_fall(edge: Edge) -> bool:
    """Whether an edge tells that a service is UNHEALTHY that was not."""
    before, after = edge.before, edge.after
    return (
        after is not None
        and after.status is ServiceStatus.UNHEALTHY
        and before is not None
        and before.status is not ServiceStatus.UNHEALTHY
    )
