"""What a member tells another of how loaded its services are: what has changed, and what that one may have wrong.

The other also learns from its own calls: a slot that is granted or refused says how many are taken, and that may be
over by the time of the next look here. A change to and fro between two looks would then never be told. So whatever was
asked for is told again for a while, and everything now and then.
"""

from collections.abc import Collection

from orion_registry.core.balancing import granted_to_callers
from orion_registry.runtime.clustered import ClusterCoordinator
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

TELL_S = 0.1
"""How often others hear of load."""
AGAIN_S = 0.5
"""For so long what was asked for is told each time: longer than an answer takes that a later word may overtake."""
ROUND = 50
"""Looks in which everything is told once: each service every 5 s, a fiftieth at a time. For what is told too early, of
a service that the other does not know yet or takes for somebody else's, is lost on it."""
NOTHING = (False, 0, 0.0)
"""Another's service, of which this member has granted no slots."""


class Asked:
    """Services that other members have lately asked for slots of."""

    def __init__(self) -> None:
        self._at: dict[str, float] = {}

    def note(self, service_id: str, mono: float) -> None:
        """One was asked for."""
        self._at[service_id] = mono

    def recent(self, mono: float) -> Collection[str]:
        """Those of the last `AGAIN_S`."""
        self._at = {service_id: at for service_id, at in self._at.items() if mono - at <= AGAIN_S}
        return self._at


class LoadTelling:
    """What was told to one member."""

    def __init__(self, coordinator: ClusterCoordinator, asked: Asked) -> None:
        self._coordinator = coordinator
        self._asked = asked
        self._told: dict[str, tuple[bool, int, float]] = {}  # ours, slots taken or granted, utilization
        self._streams = -1
        self._turn = -1

    def news(self, mono: float) -> pb.WatchLoadResponse | None:
        """What it is told now; None = nothing."""
        answer = pb.WatchLoadResponse()
        self._tell_services(answer, mono)
        count = len(self._coordinator.streams)
        if not answer.services and not answer.old_leases and count == self._streams:
            return None
        answer.streams = self._streams = count
        return answer

    def _tell_services(self, answer: pb.WatchLoadResponse, mono: float) -> None:
        registry, told, asked = self._coordinator.registry, self._told, self._asked.recent(mono)
        self._turn = (self._turn + 1) % ROUND
        for number, (entry, slots) in enumerate(registry.balancing.services()):
            ours, service_id = entry.owner is None, entry.service_id
            count = slots.in_flight if ours else len(granted_to_callers(slots))
            now = (ours, count, slots.utilization if ours else 0.0)
            before = told.get(service_id, NOTHING)
            again = (ours or service_id in told) and (service_id in asked or number % ROUND == self._turn)
            if before == now and not again:
                continue
            told[service_id] = now
            if ours:
                answer.services.add(service_id=service_id, in_flight=count, utilization=slots.utilization)
            else:
                answer.old_leases.add(service_id=service_id, count=count)
        if len(told) > 2 * len(registry) + 100:
            for service_id in [service_id for service_id in told if service_id not in registry]:
                del told[service_id]
