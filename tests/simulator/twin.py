"""The check of everything: what each service may be now, worked out from the truth alone, slowly and plainly."""

from typing import TYPE_CHECKING

from orion_registry.core.keys import service_id_of
from orion_registry.core.mass_hold import HOLD_S
from orion_registry.core.model import ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from tests.simulator.agent import Agent
from tests.simulator.tables import DEAD
from tests.simulator.truth import Broken, Service

if TYPE_CHECKING:
    from tests.simulator.world import World

BACK_S = 15.0
"""Time to be HEALTHY again after a fault: the agent's PING (4 s), attempts of 1 s, back-offs of 2 s, and slack."""

DOWN_S = 12.0
"""Time to be seen dead or cut off in any case."""

ALIVE = frozenset({Code.STREAM_OPEN, Code.LATE})


def check_all(world: "World") -> None:
    """Compares the registry with the truth, service by service.

    Raises:
        Broken: they differ.
    """
    daemon = world.daemon
    if not daemon.up or daemon.stalled:
        return
    present = 0
    for agent in world.agents:
        for spec in agent.specs:
            service = world.oracle.services[service_id_of(spec)]
            present += service.code is not None
            _check_known(world, service)
            _check_state(world, agent, service)
    if present != len(daemon.registry):
        raise Broken("e", "", f"{len(daemon.registry)} services are registered, {present} should be")


def _check_known(world: "World", service: Service) -> None:
    """The registry holds what it published last."""
    registry = world.daemon.registry
    if (service.code is not None) != (service.service_id in registry):
        raise Broken("e", service.agent.name, f"its service is {service.code} and registered: {service.code is None}")
    if service.code is not None:
        entry = registry.get(service.service_id)
        if entry.snapshot is not service.snapshot:
            raise Broken("c", service.agent.name, f"changed without an edge: {entry.snapshot.reasons}")


def _check_state(world: "World", agent: Agent, service: Service) -> None:
    """The state is one that the truth allows."""
    now, calm_s = world.agenda.now, _calm_s(world)
    if service.code in ALIVE and not agent.streams:
        raise Broken("e", agent.name, f"{service.code.name} without a stream")
    sound_s = now - max(agent.sound_since, agent.disturbed_at)
    if min(sound_s, calm_s) > _back_s(world):
        if service.code not in ALIVE:
            raise Broken("a", agent.name, f"{service.code!r} though it is alive and well for {sound_s:.1f} s")
        snapshot = service.snapshot
        assert snapshot is not None
        if snapshot.status is not ServiceStatus.HEALTHY:
            raise Broken("a", agent.name, f"{snapshot.status.name} though it is alive and well for {sound_s:.1f} s")
        if not snapshot.ready and min(sound_s, calm_s) > _back_s(world) + 10.5 and not service.probation:
            raise Broken("a", agent.name, f"not ready though it is alive and well for {sound_s:.1f} s")
    fault = agent.fault
    if fault is None or agent.leaving:
        return
    gone_s = min(now - fault.begin, calm_s)
    limit_s = DOWN_S + 3 * (0.0 if service.conn is None else service.conn.ordered_s)
    if gone_s > limit_s + 8.0 and service.code is not None:
        held = service.code is Code.HELD and bool(world.daemon.registry.mass_hold)
        if service.code not in DEAD and not held:
            raise Broken("b", agent.name, f"{service.code!r} {gone_s:.1f} s after {fault.kind}")
        if gone_s > limit_s + HOLD_S + world.config.retention_s + 30.0:
            raise Broken("e", agent.name, f"still registered {gone_s:.1f} s after {fault.kind}")


def _calm_s(world: "World") -> float:
    """Since when the daemon is undisturbed."""
    return world.agenda.now - world.daemon.trouble_end


def _back_s(world: "World") -> float:
    """How long agents may take to come back: all at once after a mass fault or a restart, one by one else."""
    since_mass_s = world.agenda.now - max(world.mass_end, world.daemon.trouble_end)
    all_s = BACK_S + 2.5 * len(world.agents) / world.config.admission_rate
    return BACK_S if since_mass_s > all_s else all_s
