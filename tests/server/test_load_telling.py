"""server/load_telling.py: what a member tells another of load, change by change and now and then."""

from types import SimpleNamespace
from typing import Any

from orion_registry.core.balancing import ELSEWHERE
from orion_registry.server.load_telling import AGAIN_S, ROUND, TELL_S, Asked, LoadTelling
from orion_registry_pb.cluster.v1 import cluster_pb2


class Member:
    """With services of its own, s0 and s1."""

    def __init__(self) -> None:
        self.slots = [SimpleNamespace(in_flight=0, utilization=0.0, leases=()) for _ in range(2)]
        self.entries = entries = [SimpleNamespace(owner=None, service_id=f"s{number}") for number in range(2)]
        balancing = SimpleNamespace(services=lambda: zip(entries, self.slots, strict=True))

        class Registry(set[str]):
            def __init__(self) -> None:
                super().__init__(entry.service_id for entry in entries)
                self.balancing = balancing

        coordinator: Any = SimpleNamespace(registry=Registry(), streams=())
        self.asked = Asked()
        self.telling = LoadTelling(coordinator, self.asked)
        self.mono = 0.0

    def tells(self) -> dict[str, int]:
        return {one.service_id: one.in_flight for one in self._news().services}

    def tells_of_old_leases(self) -> dict[str, int]:
        return {one.service_id: one.count for one in self._news().old_leases}

    def _news(self) -> cluster_pb2.WatchLoadResponse:
        self.mono += TELL_S
        return self.telling.news(self.mono) or cluster_pb2.WatchLoadResponse()


def test_a_change_is_told_once() -> None:
    member = Member()
    for _ in range(3):
        member.tells()
    member.slots[1].in_flight = 3
    assert member.tells() == {"s1": 3}
    assert member.tells() == {}


def test_what_was_asked_for_is_told_again_though_nothing_has_changed() -> None:
    member = Member()
    for _ in range(3):
        member.tells()
    member.asked.note("s1", member.mono)
    times = [member.tells() for _ in range(10)]
    again = round(AGAIN_S / TELL_S)
    assert times[: again - 1] == [{"s1": 0}] * (again - 1), "an answer that is overtaken is put right"
    assert times[again + 1 :] == [{}] * (9 - again), "and then it is enough"


def test_everything_is_told_now_and_then() -> None:
    member = Member()
    for _ in range(3):
        member.tells()
    told = [member.tells() for _ in range(ROUND)]
    assert [one for one in told if one] == [{"s0": 0}, {"s1": 0}]


def test_leases_on_a_service_that_has_left_are_told_again_though_they_have_ended() -> None:
    """Its new owner heard of their end before it knew that the service is its own."""
    member = Member()
    member.entries[0].owner = "another"
    member.slots[0].leases = (SimpleNamespace(caller="c"), SimpleNamespace(caller=f"{ELSEWHERE}m2"))
    assert member.tells_of_old_leases() == {"s0": 1}
    member.slots[0].leases = ()
    assert member.tells_of_old_leases() == {"s0": 0}
    assert {"s0": 0} in [member.tells_of_old_leases() for _ in range(ROUND)]
