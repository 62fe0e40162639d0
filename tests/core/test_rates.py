"""core/access/rates: each identity calls as fast as it may, whatever the others do; and memory stays bounded."""

import pytest

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rates import BUCKETS, Hold, RateLimits, Rates
from orion_registry.errors import Limit, Reason, ResourceExhausted

READS = RateLimits(a_second={Cost.READ: 10.0})


def taken(rates: Rates, identity: str, cost: Cost, mono: float, calls: int) -> int:
    """How many of so many calls come in."""
    came = 0
    for _ in range(calls):
        try:
            rates.take(identity, cost, mono)
            came += 1
        except ResourceExhausted:
            pass
    return came


def test_an_identity_calls_at_its_rate_and_is_told_its_turn() -> None:
    rates = Rates(READS)
    assert taken(rates, "a", Cost.READ, 100.0, 50) == 20, "two seconds' worth at once"
    with pytest.raises(ResourceExhausted) as no:
        rates.take("a", Cost.READ, 100.0)
    assert (no.value.reason, no.value.limit) == (Reason.RATE_LIMITED, Limit.READ_RATE)
    assert no.value.retry_after_s
    assert no.value.message.startswith("'a' may make 10 read calls a second (identity_read_rate); your turn is in")
    assert taken(rates, "a", Cost.READ, 101.0, 50) == 10


def test_others_and_other_classes_are_not_touched() -> None:
    rates = Rates(RateLimits(a_second={Cost.READ: 1.0, Cost.WRITE: 1.0, Cost.REPORT: 0.0}))
    assert taken(rates, "a", Cost.READ, 0.0, 10) == 2
    assert taken(rates, "b", Cost.READ, 0.0, 10) == 2
    assert taken(rates, "a", Cost.WRITE, 0.0, 10) == 2
    assert taken(rates, "a", Cost.REPORT, 0.0, 1_000) == 1_000, "0 is no limit"
    assert taken(rates, "a", Cost.PROBE, 0.0, 1_000) == 1_000


def test_what_is_worth_many_is_paid_for_in_full() -> None:
    rates = Rates(READS)
    rates.take("a", Cost.READ, 0.0, 1_000)
    with pytest.raises(ResourceExhausted):
        rates.take("a", Cost.READ, 97.0)
    rates.take("a", Cost.READ, 98.2)


def test_a_crowd_of_identities_takes_a_bounded_table() -> None:
    rates = Rates(READS)
    for number in range(BUCKETS + 100):
        rates.take(f"i-{number}", Cost.READ, 0.0)
    assert len(rates._buckets) == BUCKETS


def test_other_limits_hold_at_once() -> None:
    rates = Rates(READS)
    assert taken(rates, "a", Cost.READ, 0.0, 50) == 20
    rates.reconfigure(RateLimits(a_second={Cost.READ: 1.0}))
    assert taken(rates, "a", Cost.READ, 0.0, 50) == 2
    rates.reconfigure(RateLimits())
    assert taken(rates, "a", Cost.READ, 0.0, 50) == 50


def test_what_is_held_open_is_counted_and_given_back() -> None:
    rates = Rates(RateLimits(at_once={Hold.WATCH: 2, Hold.STREAM: 1}))
    rates.open("a", Hold.WATCH)
    rates.open("a", Hold.WATCH)
    rates.open("a", Hold.STREAM)
    rates.open("b", Hold.WATCH)
    with pytest.raises(ResourceExhausted) as no:
        rates.open("a", Hold.WATCH)
    assert (no.value.reason, no.value.limit) == (Reason.TOO_LARGE, Limit.IDENTITY_WATCHES)
    assert no.value.message == "'a' may have 2 watches open (max_watches_per_identity) and has 2"
    assert no.value.retry_after_s
    with pytest.raises(ResourceExhausted, match=r"1 streams open \(max_streams_per_identity\)"):
        rates.open("a", Hold.STREAM)
    rates.close("a", Hold.WATCH)
    rates.open("a", Hold.WATCH)
    for _ in range(2):
        rates.close("a", Hold.WATCH)
    rates.close("a", Hold.STREAM)
    rates.close("b", Hold.WATCH)
    assert not rates._open, "nothing is remembered of who has nothing open"
