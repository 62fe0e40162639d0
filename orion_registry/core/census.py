"""How many there are: services by status and reason, live agents. Counted with each edge, never by looking at all."""

from collections.abc import Mapping
from dataclasses import dataclass

from orion_registry.core.liveness import LIVE
from orion_registry.core.model import ServiceSpec, ServiceStatus, Snapshot, StatusReasonCode

AgentKey = tuple[str, str]
"""(namespace, agent_id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """The registry in numbers, as of now.

    Attributes:
        by_status: services of each effective status that occurs.
        by_reason: services that a reason holds for, of each that occurs; one with two reasons counts twice.
        agents_live: agents that are heard of: a service of theirs has an open stream, or a unary beat within its ttl.
        streams_open: heartbeat streams.
    """

    by_status: Mapping[ServiceStatus, int]
    by_reason: Mapping[StatusReasonCode, int]
    agents_live: int
    streams_open: int


class Headcount:
    """Keeps count."""

    __slots__ = ("_by_reason", "_by_status", "_living")

    def __init__(self) -> None:
        self._by_status = dict.fromkeys(ServiceStatus, 0)
        self._by_reason = dict.fromkeys(StatusReasonCode, 0)
        self._living: dict[AgentKey, int] = {}

    @property
    def agents_live(self) -> int:
        """Agents that are heard of."""
        return len(self._living)

    def lives(self, agent: AgentKey) -> bool:
        """Whether an agent is heard of."""
        return agent in self._living

    def having(self, reason: StatusReasonCode) -> int:
        """Services that a reason holds for."""
        return self._by_reason[reason]

    def taken(self, streams_open: int) -> Census:
        """The figures as of now."""
        return Census(
            by_status={status: count for status, count in self._by_status.items() if count},
            by_reason={reason: count for reason, count in self._by_reason.items() if count},
            agents_live=self.agents_live,
            streams_open=streams_open,
        )

    def note(self, before: Snapshot | None, after: Snapshot | None) -> None:
        """A service looks otherwise now; None = it was, or is, not there."""
        if before is not None:
            self._count(before, -1)
        if after is not None:
            self._count(after, 1)

    def _count(self, snapshot: Snapshot, by: int) -> None:
        self._by_status[snapshot.status] += by
        alive = False
        for reason in snapshot.reasons:
            self._by_reason[reason.code] += by
            alive = alive or reason.code in LIVE
        if alive:
            agent = agent_of(snapshot.record.spec)
            count = self._living.pop(agent, 0) + by
            if count:
                self._living[agent] = count


def agent_of(spec: ServiceSpec) -> AgentKey:
    """The agent that a service belongs to."""
    return spec.namespace, spec.agent_id
