"""Faults of testing/: the registry takes what a link does for the real thing, and nobody else is touched."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from orion_registry import LivenessMode, RegistryClient, Selector, ServiceSpec
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.driven_clock import DrivenClock
from orion_registry.testing.faults import Faults

NAMES = ("calc-1", "calc-2", "calc-3")
SOON_S = 5.0


class Fleet:
    """Three agents, each on a link of its own, and one who looks."""

    def __init__(self, faults: Faults, caller: RegistryClient, clock: DrivenClock) -> None:
        self.faults, self.caller, self.clock = faults, caller, clock

    async def seen(self) -> dict[str, str]:
        """The worst reason of each agent's service."""
        found = await self.caller.discover(Selector(include_not_ready=True))
        return {service.agent_id: service.reasons[0].code.name for service in found.services}

    async def until(self, **wanted: str) -> None:
        """Until agents (underscores for dashes) are seen so."""
        named = {name.replace("_", "-"): reason for name, reason in wanted.items()}
        async with asyncio.timeout(SOON_S):
            while not named.items() <= (await self.seen()).items():  # noqa: ASYNC110 - any of three links may do it
                await asyncio.sleep(0.01)


@asynccontextmanager
async def fleet(*, real_time: bool = False, **settings: Any) -> AsyncIterator[Fleet]:
    clock = DrivenClock()
    async with AsyncExitStack() as stack:
        daemon = await stack.enter_async_context(running_daemon(clock=None if real_time else clock, **settings))
        faults = await stack.enter_async_context(Faults(daemon))
        if not real_time:
            clock.drive(daemon.coordinator, faults.is_cut, faults.is_frozen)
        caller = await stack.enter_async_context(RegistryClient(daemon.address))
        for name in NAMES:
            client = await stack.enter_async_context(RegistryClient(await faults.link(name)))
            spec = ServiceSpec(agent_id=name, service_name="calc")
            await stack.enter_async_context(client.session(name, [spec]))
        built = Fleet(faults, caller, clock)
        await built.until(calc_1="STREAM_OPEN", calc_2="STREAM_OPEN", calc_3="STREAM_OPEN")
        yield built
        await faults.heal()  # so that the agents can say goodbye


async def test_one_killed_agent_is_seen_and_the_others_are_not() -> None:
    async with fleet() as agents:
        await agents.faults.kill("calc-2")
        await agents.until(calc_2="DISCONNECTED")
        assert await agents.seen() == {"calc-1": "STREAM_OPEN", "calc-2": "DISCONNECTED", "calc-3": "STREAM_OPEN"}
        assert agents.faults.is_cut("calc-2")
        assert not agents.faults.is_cut("calc-1")


async def test_a_killed_agent_comes_back_only_when_it_is_healed() -> None:
    async with fleet(real_time=True) as agents:
        await agents.faults.kill("calc-1")
        await agents.until(calc_1="DISCONNECTED")
        await asyncio.sleep(0.3)  # it tries, the first time within 0.1 s
        assert (await agents.seen())["calc-1"] == "DISCONNECTED"
        await agents.faults.heal("calc-1")
        await agents.until(calc_1="STREAM_OPEN")


async def test_those_behind_a_partition_fall_silent_and_no_others() -> None:
    async with fleet() as agents:
        agents.faults.partition("calc-1", "calc-2")
        await agents.clock.advance(3.3)
        assert await agents.seen() == {"calc-1": "SILENT", "calc-2": "SILENT", "calc-3": "STREAM_OPEN"}
        await agents.faults.heal()
        await agents.until(calc_1="STREAM_OPEN", calc_2="STREAM_OPEN")


async def test_a_partition_without_names_cuts_every_link() -> None:
    async with fleet() as agents:
        agents.faults.partition()
        assert all(map(agents.faults.is_cut, NAMES))
        await agents.faults.heal("calc-3")
        assert [agents.faults.is_cut(name) for name in NAMES] == [True, True, False]
        with pytest.raises(KeyError):
            agents.faults.freeze("nobody")


async def test_a_frozen_daemon_declares_nobody_dead() -> None:
    """Its own PING ends the streams after 2 s here; without a stall to blame, that would be DISCONNECTED."""
    async with fleet(real_time=True, keepalive_time_s=1.0, ping_timeout_s=1.0) as agents:
        await agents.faults.freeze_daemon()
        await asyncio.sleep(2.3)
        async with agents.caller.watch(Selector(include_not_ready=True)) as watch:
            await agents.faults.thaw_daemon()
            await agents.until(calc_1="STREAM_OPEN", calc_2="STREAM_OPEN", calc_3="STREAM_OPEN")
            statuses = {service.status.name for service in watch.services.values()}
            assert "UNHEALTHY" not in statuses
        events = [event async for event in _reasons(agents)]
        assert "DISCONNECTED" not in events
        assert "RECONNECT_GRACE" in events


async def _reasons(agents: Fleet) -> AsyncIterator[str]:
    """Every reason that a service of the fleet ever had."""
    for service in (await agents.caller.discover(Selector(include_not_ready=True))).services:
        health = await agents.caller.health(service.service_id)
        for edge in health.timeline:
            yield edge.codes[0].name


async def test_a_ttl_goes_by_the_clock_and_hours_pass_at_once() -> None:
    async with fleet() as agents:
        spec = ServiceSpec(agent_id="cron", service_name="cron", liveness=LivenessMode.TTL, liveness_ttl_s=30.0)
        registration = await agents.caller.register(spec)
        await agents.caller.send_heartbeat(registration.ref)
        await agents.clock.advance(29.0)
        assert (await agents.seen())["cron"] == "BEATING"
        await agents.clock.advance(1.2)
        assert (await agents.seen())["cron"] == "SILENT"
        await agents.clock.advance(600.0)
        assert await agents.seen() == dict.fromkeys(NAMES, "STREAM_OPEN")


async def test_a_stall_and_a_jump_of_the_wall_clock_change_nothing() -> None:
    async with fleet() as agents:
        await agents.clock.stall(300.0)
        agents.clock.set_wall(0.0)
        await agents.clock.advance(1.0)
        assert await agents.seen() == dict.fromkeys(NAMES, "STREAM_OPEN")


async def test_a_clock_without_a_daemon_says_so() -> None:
    with pytest.raises(RuntimeError, match="drives no daemon"):
        await DrivenClock().advance(1.0)


async def test_time_passes_a_frozen_daemon_by() -> None:
    async with fleet() as agents:
        await agents.faults.freeze_daemon()
        await agents.clock.advance(30.0)
        await agents.clock.stall(30.0)
        assert set((await agents.seen()).values()) == {"STREAM_OPEN"}
        await agents.faults.thaw_daemon()
        await agents.clock.advance(1.0)
        assert set((await agents.seen()).values()) == {"STREAM_OPEN"}


async def test_two_that_ask_for_a_link_at_once_get_the_same() -> None:
    async with running_daemon() as daemon, Faults(daemon) as faults:
        first, second = await asyncio.gather(faults.link("a"), faults.link("a"))
        assert first == second
        assert first.startswith("127.0.0.1:")
