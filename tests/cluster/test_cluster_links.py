"""Links that are cut: between a member and etcd alone, and between members while all of them reach etcd."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.core.frames import GoAway, GoAwayReason
from orion_registry.core.model import LivenessMode
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.server.daemon import Daemon
from orion_registry.testing.proxy import BACKLOG, LinkProxy
from tests.cluster.members import fresh_prefix, of, settings_of, shown, until
from tests.cluster.test_cluster_faults import Deaths
from tests.cluster.test_cluster_members import CALC, Agents, spec, the_id
from tests.etcd.node import free_port, needs_etcd, shared_etcd

pytestmark = [needs_etcd, pytest.mark.processes, pytest.mark.timeout(180)]


@asynccontextmanager
async def link_to(upstream: str) -> AsyncIterator[tuple[LinkProxy, str]]:
    """A link that can be cut, and where it begins."""
    proxy = LinkProxy(upstream)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    try:
        yield proxy, f"{host}:{port}"
    finally:
        server.close()
        await proxy.refuse()
        await until(lambda: proxy.connections == 0)
        await asyncio.sleep(0.05)  # until those that were accepted and led nowhere have ended


class Cut:
    """Two members: the first reaches etcd over one link, and each the other over another."""

    def __init__(self, stack: AsyncExitStack, prefix: str) -> None:
        self._stack = stack
        self._prefix = prefix
        self.members: list[Daemon] = []
        self.etcd: LinkProxy
        self.between: list[LinkProxy] = []

    async def start(self) -> None:
        self.etcd, etcd_address = await self._stack.enter_async_context(link_to(shared_etcd()))
        for number, etcd in enumerate((etcd_address, shared_etcd()), 1):
            address = f"127.0.0.1:{free_port()}"
            proxy, advertised = await self._stack.enter_async_context(link_to(address))
            self.between.append(proxy)
            settings = settings_of(
                f"m{number}", self._prefix, (etcd,), listen=(address,), advertise=(advertised, address)
            )
            self.members.append(await self._stack.enter_async_context(Daemon(settings)))
        await until(lambda: all(self.linked(one) for one in self.members))

    async def join(self) -> None:
        """A third member comes."""
        await self._stack.enter_async_context(Daemon(settings_of("m3", self._prefix)))
        await until(lambda: any(one.name == "m3" for one in of(self.members[1]).membership.others))

    @staticmethod
    def linked(daemon: Daemon) -> bool:
        others = of(daemon).membership.others
        return bool(others) and all(of(daemon).peers.reachable(one.life) for one in others)


@asynccontextmanager
async def cluster() -> AsyncIterator[Cut]:
    async with AsyncExitStack() as stack:
        cut = Cut(stack, fresh_prefix())
        await cut.start()
        yield cut


async def refusal(daemon: Daemon, **fields: Any) -> Unavailable:
    async with RegistryClient(daemon.address, timeout_s=20.0) as client:
        with pytest.raises(Unavailable) as refused:
            await client.register(spec("refused", liveness=LivenessMode.STATIC, **fields))
        return refused.value


async def test_a_member_cut_from_etcd_alone_goes_on_and_its_services_are_doubted_and_never_dead() -> None:
    async with cluster() as cut, Agents() as agents:
        one, two = cut.members
        await agents.at(one, max_concurrency=1)
        service_id = the_id(one)
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        deaths = Deaths(cut.members)
        cut.etcd.freeze()
        await until(lambda: shown(two, service_id) == "UNKNOWN(OWNER_LOST)")
        assert shown(one, service_id) == "HEALTHY(STREAM_OPEN)", "its agents go on"
        refused = await refusal(one)
        assert refused.reason is Reason.STORE_DOWN
        assert refused.retry_after_s
        async with BalancerClient(one.address) as near, BalancerClient(two.address) as far:
            held = await near.acquire(CALC)
            for caller in (near, far):
                with pytest.raises(RegistryError) as none:
                    await caller.acquire(CALC)
                assert none.value.retry_after_s
            await asyncio.sleep(of(two).registry.config.not_seen_s + 2.0)  # as long as the lost are waited for
            assert shown(two, service_id) == "UNKNOWN(OWNER_LOST)"
            await cut.etcd.heal()
            await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
            await until(lambda: of(one).stale_s == 0)
            with pytest.raises(RegistryError):
                await far.acquire(CALC)
            await near.release(held)
            await far.release(await far.acquire(CALC, wait_s=20.0))
        assert of(one).membership.is_ours(service_id)
        assert not of(two).membership.is_ours(service_id)
        assert deaths.seen == []


async def test_what_a_member_cut_from_etcd_owns_is_not_taken_while_it_answers() -> None:
    """STATIC services have no agent that goes elsewhere: two members that grant their slots would be two owners."""
    async with cluster() as cut:
        one, two = cut.members
        async with RegistryClient(one.address) as client:
            made = await client.register(spec(liveness=LivenessMode.STATIC, max_concurrency=1))
        service_id = made.service.service_id
        await until(lambda: shown(two, service_id) == "HEALTHY(STATIC)")
        owner = of(two).membership.others[0].life
        cut.etcd.freeze()
        await until(lambda: of(two).registry.get(service_id).owner == "")
        await cut.join()  # whoever comes now changes nothing of that
        assert of(two).peers.reachable(owner)
        async with BalancerClient(one.address) as near, BalancerClient(two.address) as far:
            held = await near.acquire(CALC)
            with pytest.raises(RegistryError) as none:
                await far.acquire(CALC)
            assert none.value.retry_after_s
            assert not of(two).membership.is_ours(service_id)
            await cut.between[0].refuse()  # now it answers no more: somebody has to speak for what it had
            await until(lambda: of(two).registry.get(service_id).owner != "")
            await cut.between[0].heal()
            await cut.etcd.heal()
            await until(lambda: not of(one).membership.is_ours(service_id))
            await near.release(held)


async def test_an_agent_that_leaves_a_member_cut_from_etcd_has_its_leases_counted() -> None:
    async with cluster() as cut, Agents() as agents:
        one, two = cut.members
        await agents.at(one, two, max_concurrency=1)
        service_id = the_id(one)
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(one.address) as near, BalancerClient(two.address) as far:
            held = await near.acquire(CALC)
            cut.etcd.freeze()
            await until(lambda: shown(two, service_id) == "UNKNOWN(OWNER_LOST)")
            of(one).streams[0].finish(Unavailable(Reason.NOT_SERVING, "of a test", retry_after_s=0.0))
            await until(lambda: of(two).membership.is_ours(service_id))
            await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
            with pytest.raises(RegistryError) as none:
                await far.acquire(CALC)
            assert none.value.retry_after_s
            await near.release(held)
            await far.release(await far.acquire(CALC, wait_s=20.0))
            await cut.etcd.heal()
            await until(lambda: not of(one).membership.is_ours(service_id))


async def test_an_agent_that_leaves_a_member_that_hangs_is_served_elsewhere() -> None:
    """What that member has granted it cannot say: it is not waited for once it is out of etcd and silent."""
    async with cluster() as cut, Agents() as agents:
        one, two = cut.members
        await agents.at(one, two, max_concurrency=1)
        service_id, gone = the_id(one), of(one).membership.own.life
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        deaths = Deaths([two])
        cut.etcd.freeze()
        await until(lambda: shown(two, service_id) == "UNKNOWN(OWNER_LOST)")
        assert of(two).peers.reachable(gone), "it answers yet"
        for proxy in cut.between:
            proxy.freeze()
        of(one).streams[0].finish(Unavailable(Reason.NOT_SERVING, "of a test", retry_after_s=0.0))
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        assert of(two).peers.member(gone) is None
        assert deaths.seen == []
        for proxy in (cut.etcd, *cut.between):
            await proxy.heal()
        await until(lambda: not of(one).membership.is_ours(service_id))


async def test_an_agent_that_moves_while_members_are_cut_from_each_other_waits_and_is_not_dead() -> None:
    """The member that it left is in etcd, and may be granting slots of it: until it answers, nobody else does."""
    async with cluster() as cut, Agents() as agents:
        one, two = cut.members
        await agents.at(one, two, max_concurrency=1)
        service_id = the_id(one)
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        deaths = Deaths(cut.members)
        cut.between[0].freeze()
        stream = of(one).streams[0]
        stream.go_away(GoAway(reason=GoAwayReason.REBALANCE, reconnect_after_s=0.0, alternates=(two.address,)))
        stream.finish(None)
        await until(lambda: of(two).membership.is_ours(service_id))
        await asyncio.sleep(of(two).registry.config.not_seen_s + 4.0)  # longer than one that has left is waited for
        assert shown(two, service_id) == "UNKNOWN(RECONNECT_GRACE)"
        await cut.between[0].heal()
        await until(lambda: shown(two, service_id) == "HEALTHY(STREAM_OPEN)")
        assert deaths.seen == []


THERE = 12
"""Agents of the other member: more than are tried for one selection."""


async def test_members_cut_from_each_other_select_what_they_can_ask_for() -> None:
    async with cluster() as cut, Agents() as agents:
        one, two = cut.members
        await agents.at(two, agent_id="here", max_concurrency=1)
        for number in range(2):  # with fewer there, streams would be moved to even them out
            await agents.at(two, agent_id=f"else-{number}", capabilities=("else",))
        for number in range(THERE):  # all of them would be tried before the one here
            await agents.at(one, agent_id=f"there-{number}", max_concurrency=1, weight=10.0)
        await until(lambda: all(shown(two, the_id(two, f"there-{n}")) == "HEALTHY(STREAM_OPEN)" for n in range(THERE)))
        deaths = Deaths(cut.members)
        for proxy in cut.between:
            proxy.freeze()
        loop = asyncio.get_running_loop()
        async with BalancerClient(two.address) as caller:
            began = loop.time()
            held = await caller.acquire(CALC)
            assert held.service.agent_id == "here"
            assert loop.time() - began < 5.0, "one that does not answer is asked once"
            with pytest.raises(Unavailable) as none:
                await caller.acquire(CALC)
            assert none.value.reason is Reason.NO_READY_SERVICE
            assert none.value.retry_after_s
            assert "members that do not answer: m1" in none.value.message
            await until(lambda: not cut.linked(two))
            await until(lambda: shown(two, the_id(two, "there-3")) == "HEALTHY(STREAM_OPEN)")  # etcd says so
            for proxy in cut.between:
                await proxy.heal()
            await until(lambda: all(cut.linked(member) for member in cut.members))
            other = await caller.acquire(CALC)
            assert other.service.agent_id.startswith("there-")
            await caller.release(other)
            await caller.release(held)
        assert deaths.seen == []
