"""Which service gets a call, with a slot on it taken until it is released."""

from collections.abc import Iterable
from typing import Any

from orion_registry.core import limits
from orion_registry.core.holder import caller_of
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.errors import NotFound, Reason, ResourceExhausted, Unavailable, bad_field
from orion_registry.manager.events import EventKind
from orion_registry.manager.registry import ServiceRegistry
from orion_registry.manager.service_info import ServiceInfo
from orion_registry.manager.shell import ACTOR
from orion_registry.manager.specs import labels, number, selector_of, text

LoadBalancingStrategy = StrategyName
"""All strategies of the daemon; see docs/balancing.md."""

CALLER = caller_of(ACTOR.identity, "balancer")
POOLS = 256
"""Queries whose pools are remembered; the balancer keeps as many ranked."""

Query = tuple[str | None, str | None, tuple[str, ...]]


class LoadBalancer:
    """Selects among the services of a registry. Every method works from any thread.

    Several balancers of one registry see each other's calls; each has its own strategy.

    Args:
        registry: whose services.
        strategy: how to choose.

    Raises:
        InvalidArgument: BAD_FIELD.
    """

    def __init__(
        self, registry: ServiceRegistry, strategy: LoadBalancingStrategy = LoadBalancingStrategy.ROUND_ROBIN
    ) -> None:
        if not isinstance(registry, ServiceRegistry):
            raise bad_field("registry", "a ServiceRegistry", registry)
        self.registry = registry
        self._shell = registry.shell
        self._strategy = _strategy(strategy)
        self._plain = SelectionRequest(caller=CALLER, strategy=self._strategy)
        self._pools: dict[Query, Pool] = {}
        self._selections = self._misses = self._releases = self._switches = 0

    @property
    def strategy(self) -> LoadBalancingStrategy:
        """How it chooses now."""
        return self._strategy

    # Selections.

    def select_service(
        self,
        service_type: str | None = None,
        capability: str | None = None,
        tags: Iterable[str] | None = None,
        exclude_services: Iterable[str] | None = None,
    ) -> ServiceInfo | None:
        """Chooses a service that is ready, and counts a call as under way on it until `release_service`.

        A call that is never released counts for 60 s.

        Args:
            service_type: theirs.
            capability: one that it has.
            tags: a list; it has all of them.
            exclude_services: a list of service_ids not wanted, such as those that have just failed.

        Returns:
            A copy; None if none that matches is ready.

        Raises:
            InvalidArgument: BAD_FIELD.
            ResourceExhausted: RATE_LIMITED, a million calls are under way: they are not released.
        """
        shell = self._shell
        request = self._plain
        if exclude_services:
            excluded = frozenset(labels("exclude_services", exclude_services))
            request = SelectionRequest(caller=CALLER, strategy=self._strategy, excluded=excluded)
        with shell as now:
            pool = self._pool(service_type, capability, tags)
            try:
                leases = shell.core.balancing.select(pool, request, now)
            except (NotFound, Unavailable, ResourceExhausted) as error:
                if error.reason is Reason.RATE_LIMITED:
                    raise
                self._misses += 1
                if shell.listeners.hears(EventKind.LOAD_BALANCING):
                    shell.tell(EventKind.LOAD_BALANCING, "none_ready", now, reason=error.message)
                return None
            assert isinstance(leases, tuple)  # nobody waits here
            self._selections += 1
            info = shell.copy_of(leases[0].slots.service_id)
            if shell.listeners.hears(EventKind.LOAD_BALANCING):
                copy = shell.copy_of(info.service_id)
                shell.tell(EventKind.LOAD_BALANCING, "selected", now, copy, strategy=str(request.strategy))
        return info

    def release_service(self, service_id: str) -> bool:
        """Ends the call on a service that has been under way for longest; False if there is none."""
        shell = self._shell
        with shell as now:
            lease = shell.core.balancing.oldest_lease(service_id)
            if lease is None:
                return False
            shell.core.balancing.release(lease.selection_id, ACTOR.identity, now)
            self._releases += 1
            if shell.listeners.hears(EventKind.LOAD_BALANCING):
                copy = shell.copy_of(service_id) if service_id in shell.core else None
                shell.tell(EventKind.LOAD_BALANCING, "released", now, copy, service_id=service_id)
        return True

    def record_response_time(self, service_id: str, seconds: float) -> bool:
        """A call to a service succeeded and took so long; False if there is no such service.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        number("seconds", seconds, 0, limits.RESPONSE_TIME_S)
        shell = self._shell
        with shell as now:
            if service_id not in shell.core:
                return False
            shell.core.balancing.report(service_id, Outcome.SUCCEEDED, seconds, now)
        return True

    # Settings.

    def set_service_weight(self, service_id: str, weight: float) -> bool:
        """A service's share of calls under the strategies that weigh, 1 by default; False if there is none.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        if not isinstance(weight, int | float):
            raise bad_field("weight", "a number", weight)
        shell = self._shell
        with shell as now:
            if service_id not in shell.core:
                return False
            shell.weigh(service_id, weight, now)
            if shell.listeners.hears(EventKind.LOAD_BALANCING):
                copy = shell.copy_of(service_id)
                shell.tell(EventKind.LOAD_BALANCING, "weight_changed", now, copy, weight=weight)
        return True

    def change_strategy(self, strategy: LoadBalancingStrategy) -> None:
        """Chooses in another way from now on. What is known of services, and of calls under way, stays.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        wanted = _strategy(strategy)
        shell = self._shell
        with shell as now:
            was, self._strategy = self._strategy, wanted
            self._plain = SelectionRequest(caller=CALLER, strategy=wanted)
            self._switches += was is not wanted
            if shell.listeners.hears(EventKind.LOAD_BALANCING):
                shell.tell(EventKind.LOAD_BALANCING, "strategy_changed", now, was=str(was), strategy=str(wanted))

    # Numbers.

    def get_load_balancer_stats(self) -> dict[str, Any]:
        """Selection in numbers. What concerns calls under way is of all balancers of the registry."""
        shell = self._shell
        with shell:
            stats = shell.core.balancing.stats
            return {
                "strategy": self._strategy.value,
                "total_selections": self._selections,
                "failed_selections": self._misses,
                "total_releases": self._releases,
                "strategy_changes": self._switches,
                "active_connections": stats.leases_open,
                "expired_connections": stats.leases_expired,
                "selections_by_strategy": {name.value: one.selections for name, one in stats.strategies.items()},
            }

    def get_service_performance(self, service_id: str) -> dict[str, float] | None:
        """What the calls to a service have shown; None if there is none. Times are seconds, 0 while none is known.

        connection_count counts calls under way, total_requests those whose end was told by `record_response_time`.
        """
        shell = self._shell
        with shell:
            if service_id not in shell.core:
                return None
            slots = shell.core.balancing.slots_of(service_id)
            times = slots.performance.times
            return {
                "avg_response_time": times.average_s,
                "min_response_time": times.min_s,
                "max_response_time": times.max_s,
                "connection_count": slots.in_flight,
                "weight": slots.weight,
                "total_requests": slots.performance.succeeded + slots.performance.failed,
            }

    # Inside.

    def _pool(self, service_type: str | None, capability: str | None, tags: Iterable[str] | None) -> Pool:
        if service_type is not None:
            text("service_type", service_type)
        if capability is not None:
            text("capability", capability)
        query = (service_type, capability, labels("tags", tags) if tags else ())
        pool = self._pools.get(query)
        if pool is None or pool.closed:
            selector = selector_of(service_type, capability, query[2])
            if len(self._pools) >= POOLS:
                self._pools.clear()
            pool = self._pools[query] = self._shell.core.balancing.pool(selector)
        return pool


def _strategy(strategy: object) -> LoadBalancingStrategy:
    try:
        return LoadBalancingStrategy(str(strategy).upper())
    except ValueError:
        raise bad_field("strategy", f"one of {', '.join(LoadBalancingStrategy)}", strategy) from None
