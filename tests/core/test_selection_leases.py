"""Leases and the Route streams that they live on."""

from orion_registry.core.selection.leases import Leases
from orion_registry.core.selection.slots import Slots
from tests.simulation.fakes import Member


def test_a_stream_without_a_lease_is_forgotten() -> None:
    """Streams come and go for as long as the registry lives."""
    leases, slots = Leases("p"), Slots(Member("one", max_concurrency=4))
    first, second = (leases.grant(slots, "caller", 0.0, 60.0, "stream") for _ in range(2))
    leases.end(first)
    leases.stream_ended("stream", 1.0, 10.0)
    assert (second.stream, second.expires) == ("", 11.0)
    third = leases.grant(slots, "caller", 2.0, 60.0, "stream")
    leases.end(third)
    assert leases._by_stream == {}
    assert list(leases.due(11.0)) == [second]
    assert (len(leases), slots.in_flight) == (0, 0)
