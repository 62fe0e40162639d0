"""What a session tells of its work, and how it waits for its turn at a busy registry; against a real daemon."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from orion_registry.client.client import RegistryClient
from orion_registry.core.model import ServiceSpec, StatusReasonCode
from orion_registry.errors import InvalidArgument
from orion_registry.testing.daemon import running_daemon


def spec(agent_id: str, **fields: float) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="calc", host="127.0.0.1", port=7000, **fields)  # type: ignore[arg-type]  # spans only


async def test_a_session_that_gets_nowhere_is_stuck_until_it_does(client: RegistryClient) -> None:
    async with client.session("busy", [spec("busy", stuck_after_s=5.0)]) as session:
        service_id = session.ref().service_id

        async def stuck(expected: bool) -> None:
            async with asyncio.timeout(6.0):
                while True:
                    service = await client.get(service_id)
                    codes = {reason.code for reason in service.reasons}
                    if (StatusReasonCode.STUCK in codes) is expected:
                        assert service.ready, "second choice, but ready"
                        return
                    await asyncio.sleep(0.02)

        session.report_task(1, age_s=100.0)
        await stuck(True)
        session.report_task(2)
        await stuck(False)
        session.report_task(2, age_s=100.0)
        session.report_idle()
        await stuck(False)


async def test_what_the_registry_would_refuse_is_not_told(client: RegistryClient) -> None:
    async with client.session("busy", [spec("busy")]) as session:
        for bad in ({"progress": 2**63}, {"age_s": -1.0}, {"age_s": float("nan")}):
            with pytest.raises(InvalidArgument, match=next(iter(bad))):
                session.report_task(**bad)
        with pytest.raises(KeyError):
            session.report_task(service_id="nobody")


async def test_sessions_wait_for_their_turn() -> None:
    """RATE_LIMITED at hello passes: the session comes again when it was told to, with jitter."""
    async with running_daemon(admission_rate=1) as daemon, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(RegistryClient(daemon.address)) for _ in range(4)]
        sessions = [client.session(f"a-{number}", [spec(f"a-{number}")]) for number, client in enumerate(clients)]
        began = time.monotonic()
        await asyncio.gather(*(stack.enter_async_context(session) for session in sessions))
        assert daemon.coordinator.registry.refused_hellos >= 2
        assert 1.5 < time.monotonic() - began < 12.0
        assert daemon.coordinator.registry.census.agents_live == 4
