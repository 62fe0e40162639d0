"""Selection without leases: for a view in the caller's own process, which nobody else shares."""

from orion_registry.core.selection.balancer import UNKNOWN, Balancer
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.refusals import check_possible, not_free
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import Slots


class UnleasedBalancer(Balancer):
    """A balancer whose selections nobody has to find again: they have no name, no holder and no end by time.

    Leases are half of what a selection costs (1.3 of 2.6 us beside the pick). A selection that is never given back
    counts as under way for as long as its service is known.
    """

    def take(self, pool: Pool, request: SelectionRequest, now: float) -> Slots:
        """Picks one service as `select` does, and takes a slot on it until it is given back. Never waits.

        Raises:
            NotFound: NO_MATCH: nothing matches, or the request excludes all that do.
            Unavailable: NO_READY_SERVICE: none that matches may be selected now.
            ResourceExhausted: NO_FREE_SLOT: all slots are taken.
        """
        ranking = self._ranking(pool, request, self._near(pool, request) if request.zone else "")
        slots = ranking.pick(self._draw, now, request.key, request.excluded, request.last_tier)
        if slots is None:
            check_possible(pool, request)
            raise not_free(pool)
        slots.take_unleased()
        ranking.took(slots)
        ranking.stats.selections += 1
        return slots

    def give_back(self, slots: Slots, now: float, outcome: Outcome = UNKNOWN, response_time_s: float = 0.0) -> None:
        """Ends what `take` gave, and learns what became of the call. Of a service that is gone, nothing is learned."""
        if slots.gone:
            return
        slots.give_back_unleased()
        if outcome is not UNKNOWN:
            self._learn(slots, outcome, response_time_s, now)
