"""Tells selection who is there: follows every edge and every load of the fleet."""

from collections.abc import Callable
from dataclasses import dataclass

from orion_registry.core.catalog import Catalog, Term, terms_of_selector, terms_of_spec
from orion_registry.core.entry import Entry
from orion_registry.core.history import Edge
from orion_registry.core.model import Load, ServiceStatus, StatusReasonCode
from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selector import Selector, check_selector
from orion_registry.errors import bad_field


@dataclass(frozen=True, slots=True)
class Selectable:
    """A `Candidate`: what selection needs to know of an entry."""

    service_id: str
    service_name: str
    zone: str
    tier: Tier
    weight: float
    max_concurrency: int


def candidate_of(entry: Entry) -> Selectable:
    """An entry as selection sees it now. The one place where its status, weight and slots become those of selection."""
    snapshot, spec = entry.snapshot, entry.spec
    tier = Tier(snapshot.selection_tier)
    # A name means other replicas in another namespace: how many of them may be ejected is counted by it.
    replicas = f"{spec.namespace}/{spec.service_name}"
    return Selectable(spec.service_id, replicas, spec.zone, tier, snapshot.weight, spec.max_concurrency)


def check_wanted(selector: Selector) -> Selector:
    """Returns a selector that may be used to select.

    Raises:
        InvalidArgument: BAD_FIELD. Which statuses are taken is the request's allow_degraded's matter.
    """
    if selector.statuses:
        raise bad_field("selector.statuses", "empty in a selection: see allow_degraded", len(selector.statuses))
    if selector.include_not_ready:
        raise bad_field("selector.include_not_ready", "unset in a selection: see allow_degraded", True)
    return check_selector(selector)


Lost = Callable[[Lease, StatusReasonCode | None], None]
"""Takes each lease of a service that has died, and why; None = it was removed."""


class Candidates:
    """Keeps a balancer true to the catalog: each service, and which pools it belongs to.

    A pool is anchored at one posting list, as views are: only edges that change what an agent wrote concern pools, and
    only those there.

    Args:
        catalog: what there is.
        balancer: what is to know of it.
        latest: the instant of the edge that is being told, in judged seconds.
        lost: hears of the leases on a service that dies.
    """

    __slots__ = ("_anchored", "_balancer", "_catalog", "_latest", "_lost")

    def __init__(self, catalog: Catalog, balancer: Balancer, latest: Callable[[], float], lost: Lost) -> None:
        self._catalog = catalog
        self._balancer = balancer
        self._latest = latest
        self._lost = lost
        self._anchored: dict[Term, dict[Pool, Selector]] = {}

    def pool(self, selector: Selector) -> Pool:
        """The pool of a selector, made if need be.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        pool = self._balancer.pools.find(selector)
        if pool is None:
            check_wanted(selector)
            pool = self._balancer.pool(
                selector,
                lambda: (entry.service_id for entry in self._catalog.matching(selector)),
                selector.service_name,
                selector.capabilities,
            )
            self._anchored.setdefault(_anchor(selector), {})[pool] = selector
        return pool

    def closed(self, pool: Pool) -> None:
        """A pool made room for another."""
        assert isinstance(pool.key, Selector)
        anchor = _anchor(pool.key)
        neighbours = self._anchored[anchor]
        del neighbours[pool]
        if not neighbours:
            del self._anchored[anchor]

    def loaded(self, service_id: str, load: Load) -> None:
        """A service told its load."""
        self._balancer.report(service_id, load.in_flight, load.utilization, self._latest())

    def edge(self, edge: Edge) -> None:
        """Follows one edge, already in the catalog."""
        before, after = edge.before, edge.after
        held: tuple[Lease, ...] = ()
        died = before is not None and before.status is not ServiceStatus.UNHEALTHY
        died = died and (after is None or after.status is ServiceStatus.UNHEALTHY)
        if died:
            held = tuple(self._balancer.get(edge.service_id).leases)
        if after is None:
            self._balancer.drop(edge.service_id)
        else:
            self._put(edge)
        for lease in held:
            self._lost(lease, None if after is None else after.reasons[0].code)

    def _put(self, edge: Edge) -> None:
        before, after, now = edge.before, edge.after, self._latest()
        entry = self._catalog.get(edge.service_id)
        assert after is not None
        assert entry is not None
        if not self._anchored or (before is not None and before.record.spec is after.record.spec):
            self._balancer.put(candidate_of(entry), now)
            return
        terms = set(terms_of_spec(after.record.spec))
        if before is not None:
            terms.update(terms_of_spec(before.record.spec))
        joined = []
        for term in terms:
            for pool, selector in self._anchored.get(term, {}).items():
                if selector.matches_spec(entry.spec):
                    joined.append(pool)
                else:  # before its slots are given out: who waits there does not want it any more
                    self._balancer.leave(pool, edge.service_id)
        self._balancer.put(candidate_of(entry), now)
        for pool in joined:
            self._balancer.join(pool, edge.service_id, now)


def _anchor(selector: Selector) -> Term:
    return terms_of_selector(selector)[0]
