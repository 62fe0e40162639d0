"""Must-show 2: threads on one manager, against a model: equal. The whole form is `python -m tests.manager.threads`."""

import sys

import pytest

from orion_registry import ServiceDiscoveryManager
from tests.manager.threads import race


@pytest.mark.parametrize("operations", [8_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_eight_threads_are_equal_to_the_model(manager: ServiceDiscoveryManager, operations: int) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        assert race(manager, threads=8, operations=operations, seed=7) == []
    finally:
        sys.setswitchinterval(before)
