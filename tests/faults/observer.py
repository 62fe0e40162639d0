"""A watcher that keeps every event with the time of its arrival, on the machine's monotonic clock."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.raw_watch import RawWatch

GONE = "GONE"
"""The status of a service that was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One event about one agent's service. reasons: all of them, the worst first."""

    at: float
    agent_id: str
    status: str
    reasons: tuple[str, ...]
    ready: bool
    epoch: int

    def __str__(self) -> str:
        return f"{self.agent_id} {self.status}({','.join(self.reasons)})"


class Observer:
    """Watches all services.

    Attributes:
        sights: all events, in the order of arrival.
        now: the last sight of each agent.
    """

    def __init__(self, stub: Any) -> None:
        self.watch = RawWatch(stub)
        self.watch.seen = self._saw
        self.watch.removed = self._removed
        self.sights: list[Sight] = []
        self.now: dict[str, Sight] = {}

    async def open(self) -> None:
        """Starts; returns when it knows all there is."""
        self.watch.open()
        await self.watch.until(self.watch.bookmarked.is_set)

    def since(self, at: float, *statuses: str) -> list[Sight]:
        """What it saw after an instant; of these statuses, if any are given."""
        return [sight for sight in self.sights if sight.at >= at and (not statuses or sight.status in statuses)]

    async def until(
        self, agents: Sequence[str], holds: Callable[[Sight], bool], since: float, timeout_s: float
    ) -> dict[str, float]:
        """Waits until each agent has been seen so after an instant; returns when each was, for the first time.

        Raises:
            TimeoutError: with who was not, and what they were last.
        """
        first: dict[str, float] = {}
        looked = 0

        def look() -> bool:
            nonlocal looked
            for sight in self.sights[looked:]:
                if sight.at >= since and sight.agent_id in wanted and holds(sight):
                    first.setdefault(sight.agent_id, sight.at)
            looked = len(self.sights)
            return len(first) == len(wanted)

        wanted = set(agents)
        try:
            await self.watch.until(look, timeout_s)
        except TimeoutError:
            late = sorted(wanted - first.keys())
            last = ", ".join(str(self.now.get(one, f"{one} never seen")) for one in late[:3])
            raise TimeoutError(
                f"{len(late)} of {len(wanted)} agents were not seen so within {timeout_s:g} s: {last}"
            ) from None
        return first

    async def until_all(self, agents: Iterable[str], holds: Callable[[Sight], bool], timeout_s: float) -> float:
        """Waits until all agents are so at once; returns since when, which may be earlier than now."""
        wanted = tuple(agents)

        def look() -> bool:
            return all(one in self.now and holds(self.now[one]) for one in wanted)

        try:
            await self.watch.until(look, timeout_s)
        except TimeoutError:
            wrong = [one for one in wanted if one not in self.now or not holds(self.now[one])]
            last = ", ".join(str(self.now.get(one, f"{one} never seen")) for one in wrong[:3])
            raise TimeoutError(f"{len(wrong)} of {len(wanted)} agents after {timeout_s:g} s: {last}") from None
        return max(self.now[one].at for one in wanted)

    def _saw(self, info: sv.ServiceInfo, at: float) -> None:
        self._keep(
            Sight(
                at=at,
                agent_id=info.agent_id,
                status=sv.ServiceStatus.Name(info.status).removeprefix("SERVICE_STATUS_"),
                reasons=tuple(
                    sv.StatusReasonCode.Name(reason.code).removeprefix("STATUS_REASON_CODE_")
                    for reason in info.status_reasons
                ),
                ready=info.ready,
                epoch=info.epoch,
            )
        )

    def _removed(self, event: pb.WatchEvent) -> None:
        info, reason = event.service, pb.RemovalReason.Name(event.removal).removeprefix("REMOVAL_REASON_")
        self._keep(
            Sight(
                at=time.monotonic(),
                agent_id=info.agent_id,
                status=GONE,
                reasons=(reason,),
                ready=False,
                epoch=info.epoch,
            )
        )

    def _keep(self, sight: Sight) -> None:
        self.sights.append(sight)
        self.now[sight.agent_id] = sight


def healthy(sight: Sight) -> bool:
    """HEALTHY and ready, first choice."""
    return sight.status == "HEALTHY" and sight.reasons[0] in ("STREAM_OPEN", "BEATING") and sight.ready


def unhealthy(sight: Sight) -> bool:
    """Declared dead."""
    return sight.status == "UNHEALTHY"


def not_ready(sight: Sight) -> bool:
    """Not to be selected."""
    return not sight.ready


def reason(*codes: str) -> Callable[[Sight], bool]:
    """Whether one of these is among the reasons."""
    return lambda sight: any(code in sight.reasons for code in codes)
