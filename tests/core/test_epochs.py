"""core/epochs: always rising, never given twice over crashes, and never given beyond what is stored."""

import pytest

from orion_registry.core.epochs import EpochCounter
from orion_registry.errors import Reason, Unavailable


def test_nothing_can_be_given_before_a_block_is_stored() -> None:
    epochs = EpochCounter(4_096)
    assert (epochs.left, epochs.wanted) == (0, 4_097)
    with pytest.raises(Unavailable) as caught:
        epochs.require(0)
    assert caught.value.reason is Reason.STORE_DOWN
    assert caught.value.retry_after_s


def test_the_next_block_is_wanted_at_half() -> None:
    epochs = EpochCounter(4)
    epochs.reserved(5)
    assert [epochs.take(), epochs.wanted] == [1, None]
    assert [epochs.take(), epochs.wanted] == [2, 9]
    epochs.reserved(9)
    assert (epochs.left, epochs.wanted) == (6, None)
    epochs.reserved(7)
    assert epochs.left == 6, "a smaller bound changes nothing"


def test_a_restart_goes_on_above_all_that_may_have_been_given() -> None:
    epochs = EpochCounter(100)
    epochs.restore(501)
    epochs.reserved(601)
    assert epochs.take() == 501
    assert epochs.was_given(500)
    assert epochs.was_given(501)
    assert not epochs.was_given(502)
    assert not epochs.was_given(-1)


def test_require_keeps_some_back() -> None:
    epochs = EpochCounter(10)
    epochs.reserved(11)
    epochs.require(9)
    epochs.take()
    with pytest.raises(Unavailable):
        epochs.require(9)
