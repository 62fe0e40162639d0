"""An embedded registry in virtual time."""

import pytest

from orion_registry import ServiceDiscoveryManager
from orion_registry.manager import service_info, shell
from orion_registry.testing.clock import VirtualClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """The clock of every registry and ServiceInfo made from now on."""
    clock = VirtualClock()
    monkeypatch.setattr(shell, "SystemClock", lambda: clock)
    monkeypatch.setattr(service_info, "_CLOCK", clock)
    return clock


@pytest.fixture
def manager(clock: VirtualClock) -> ServiceDiscoveryManager:
    return ServiceDiscoveryManager("m")
