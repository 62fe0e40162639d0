"""Services and states for the tests of top."""

from typing import Any

from orion_registry.cli.top.line import plain
from orion_registry.cli.top.screen import screen_of
from orion_registry.cli.top.state import State
from orion_registry.core.events import LoggedEvent, StatusChanged
from orion_registry.core.model import ServiceStatus, StatusReason, StatusReasonCode
from orion_registry.wire.service import Service

NOW = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""


def service(agent_id: str = "ada", **changes: Any) -> Service:
    """A service that is well, since 90 s."""
    code = changes.pop("reason", StatusReasonCode.STREAM_OPEN)
    wanted: dict[str, Any] = {
        "service_id": f"id-of-{agent_id}",
        "agent_id": agent_id,
        "service_name": "calc",
        "host": "10.0.0.7",
        "port": 9000,
        "version": "1.2.0",
        "zone": "eu-1",
        "capabilities": ("math.add", "math.multiply"),
        "tags": ("gpu",),
        "metadata": {"owner": "ann", "pid": 71},
        "max_concurrency": 4,
        "status": ServiceStatus.HEALTHY,
        "ready": True,
        "reasons": (StatusReason(code=code, since_wall=NOW - 90.0),),
        "registration_time": NOW - 4_000.0,
    }
    return Service(**{**wanted, **changes})


def fallen(agent_id: str = "bob", **changes: Any) -> Service:
    """One that is dead."""
    changes = {"status": ServiceStatus.UNHEALTHY, "ready": False, "reason": StatusReasonCode.DISCONNECTED, **changes}
    return service(agent_id, **changes)


def late(agent_id: str = "cleo") -> Service:
    """One that is second choice."""
    return service(agent_id, reason=StatusReasonCode.LATE)


def state_of(*services: Service) -> State:
    """A screen before these."""
    state = State(address="127.0.0.1:6746")
    for one in services:
        state.fleet.put(one)
    state.synced = True
    return state


def change(service_id: str, seq: int = 1) -> LoggedEvent:
    """A service that fell."""
    told = StatusChanged(
        service_id=service_id,
        agent_id="bob",
        namespace="default",
        before=ServiceStatus.HEALTHY,
        after=ServiceStatus.UNHEALTHY,
        reasons=(StatusReasonCode.DISCONNECTED,),
        ready=False,
    )
    return LoggedEvent(seq, NOW - 5.0, told)


def shown(state: State, width: int = 120, height: int = 40, now: float = NOW) -> list[str]:
    """The screen as text; checked to be of exactly that size."""
    lines = screen_of(state, width, height, now)
    texts = ["".join(text for text, _ in line) for line in lines]
    assert [len(text) for text in texts] == [width] * height
    return [plain(line) for line in lines]
