"""Several members are one registry: what is registered at one is known, and selected, at all."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from orion_registry.client.admin import AdminClient
from orion_registry.client.balancer import BalancerClient
from orion_registry.client.client import RegistryClient
from orion_registry.client.session import HeartbeatSession
from orion_registry.core.model import Actor, LivenessMode, ServiceSpec, ServiceStatus
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selector import Selector
from orion_registry.errors import FailedPrecondition, NotFound, PermissionDenied, Reason, RegistryError, Unavailable
from orion_registry.server.daemon import Daemon
from orion_registry.server.peers import RELEASE, AllPeers
from orion_registry.wire.requests import encode_selector
from orion_registry_pb.v1 import balancer_pb2, balancer_pb2_grpc
from tests.cluster.members import fresh_prefix, of, running_members, settings_of, shown, until
from tests.etcd.node import needs_etcd

pytestmark = [needs_etcd, pytest.mark.timeout(120)]

CALC = Selector(capabilities=("calc",))


def spec(agent_id: str = "a1", **fields: Any) -> ServiceSpec:
    return ServiceSpec(
        **{
            "agent_id": agent_id,
            "service_name": "calc",
            "host": "127.0.0.1",
            "port": 9,
            "capabilities": ("calc",),
            **fields,
        }
    )


class Agents:
    """Agents on sessions, each at a member."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Agents":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def at(self, *daemons: Daemon, agent_id: str = "a1", **fields: Any) -> HeartbeatSession:
        addresses = tuple(daemon.address for daemon in daemons)
        client = await self._stack.enter_async_context(RegistryClient(addresses))
        return await self._stack.enter_async_context(client.session(agent_id, [spec(agent_id, **fields)]))


def the_id(daemon: Daemon, agent_id: str = "a1") -> str:
    for entry in of(daemon).registry.fleet.catalog:
        if entry.spec.agent_id == agent_id:
            return entry.service_id
    return ""


async def test_a_service_is_known_and_healthy_at_all_members() -> None:
    async with running_members(3) as members, Agents() as agents:
        await agents.at(members[0])
        await until(lambda: all(shown(one, the_id(members[0])) == "HEALTHY(STREAM_OPEN)" for one in members))
        async with RegistryClient(members[2].address) as client:
            (found,) = (await client.discover(CALC)).services
            assert found.agent_id == "a1"
            assert found.ready
            assert found.epoch > 0


async def test_an_end_is_seen_at_all_members() -> None:
    async with running_members(2) as members, Agents() as agents:
        session = await agents.at(members[0])
        service_id = the_id(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        of(members[0]).close_stream(of(members[0]).streams[0])
        await until(lambda: "UNHEALTHY" in shown(members[1], service_id))
        assert session is not None


async def test_an_agent_that_goes_elsewhere_takes_its_service_along() -> None:
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], members[1])
        service_id = the_id(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        epoch = of(members[1]).registry.get(service_id).epoch
        await members[0].stop()
        await until(lambda: of(members[1]).membership.is_ours(service_id))
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        assert of(members[1]).registry.get(service_id).epoch > epoch


async def test_a_slot_is_reserved_at_its_owner_and_never_twice() -> None:
    async with running_members(3) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=2)
        service_id = the_id(members[0])
        await until(lambda: all(shown(one, service_id) == "HEALTHY(STREAM_OPEN)" for one in members))
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(BalancerClient(one.address)) for one in members]
            results = await asyncio.gather(
                *(client.acquire(CALC) for client in clients for _ in range(4)), return_exceptions=True
            )
            granted = [result for result in results if not isinstance(result, BaseException)]
            refused = [result for result in results if isinstance(result, RegistryError)]
            assert len(granted) == 2
            assert {error.reason for error in refused} == {Reason.NO_FREE_SLOT}
            assert len(of(members[0]).registry.balancing.granted_here(service_id)) == 2
            for selection in granted:
                await next(client for client in clients if selection in client.held).release(selection)
            await until(lambda: not of(members[0]).registry.balancing.granted_here(service_id))


async def test_whoever_waits_at_another_member_gets_the_slot_that_frees() -> None:
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        service_id = the_id(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(members[0].address) as near, BalancerClient(members[1].address) as far:
            held = await near.acquire(CALC)
            waiting = asyncio.ensure_future(far.acquire(CALC, wait_s=20.0))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await near.release(held)
            assert (await waiting).service.service_id == service_id


async def test_a_slot_that_is_freed_at_once_is_free_at_other_members_too() -> None:
    """Between two looks of its owner nothing has changed, yet the one that asked was told that it was taken.

    Within 3 s, for by 5 s everything is told anew.
    """
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        await until(lambda: shown(members[1], the_id(members[0])) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(members[1].address) as far:
            for _ in range(10):
                await far.release(await far.acquire(CALC, wait_s=3.0))


async def test_a_wait_on_a_stream_is_told_with_its_position() -> None:
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        await until(lambda: shown(members[1], the_id(members[0])) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(members[0].address) as near, grpc.aio.insecure_channel(members[1].address) as channel:
            held = await near.acquire(CALC)
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            stream = stub.Route()
            wait = Duration(seconds=20)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC), wait_timeout=wait)
            await stream.write(balancer_pb2.RouteRequest(commands=[balancer_pb2.RouteCommand(id=7, select=select)]))
            (waits,) = (await stream.read()).results
            assert (waits.id, waits.HasField("waiting"), waits.waiting.position) == (7, True, 0)
            await near.release(held)
            (granted,) = (await stream.read()).results
            assert granted.HasField("select"), granted
            assert (granted.id, granted.select.selections[0].service.agent_id) == (7, "a1")
            stream.cancel()


async def test_a_lease_of_another_member_outlives_its_stream_and_keeps_its_ttl() -> None:
    """Shortened when its stream ends, until it is renewed on another; one that was renewed before is left alone."""
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        await until(lambda: shown(members[1], the_id(members[0])) == "HEALTHY(STREAM_OPEN)")
        owner = of(members[0]).registry.balancing
        async with grpc.aio.insecure_channel(members[1].address) as channel:
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC))
            first, second, third = stub.Route(), stub.Route(), stub.Route()
            result = await asked(first, balancer_pb2.RouteCommand(id=1, select=select))
            selection_id = result.select.selections[0].selection_id
            (lease,) = owner.open_leases()
            assert lease.selection_id == selection_id
            assert lease.stream.startswith(of(members[1]).registry.history_id)
            renew = balancer_pb2.RouteCommand(id=2)
            renew.renew.selection_ids.append(selection_id)
            first.cancel()
            await until(lambda: owner.left_s(lease) < 11.0, 5.0)
            assert (await asked(second, renew)).renew.renewals[0].ttl.ToTimedelta().total_seconds() == 60.0
            assert owner.left_s(lease) > 50.0
            await asked(third, renew)
            moved = lease.stream
            second.cancel()  # the registry may see the end of a stream after its client was back on another
            await until(lambda: of(members[1]).selections.streams == 1)
            await asyncio.sleep(0.3)
            assert lease.stream == moved != ""
            assert owner.left_s(lease) > 50.0
            third.cancel()


async def test_a_retry_on_another_stream_renews_its_lease() -> None:
    """For the stream that it was granted on is over; and one that has ended is no answer to a retry."""
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        await until(lambda: shown(members[1], the_id(members[0])) == "HEALTHY(STREAM_OPEN)")
        owner = of(members[0]).registry.balancing
        async with grpc.aio.insecure_channel(members[1].address) as channel:
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC), request_id="q")
            command = balancer_pb2.RouteCommand(id=1, select=select)
            first, second = stub.Route(), stub.Route()
            (granted,) = (await asked(first, command)).select.selections
            first.cancel()
            (lease,) = owner.open_leases()
            await until(lambda: owner.left_s(lease) < 11.0, 5.0)
            (again,) = (await asked(second, command)).select.selections
            assert again.selection_id == granted.selection_id
            assert again.ttl == granted.ttl
            assert owner.left_s(lease) > 50.0
            assert lease.stream.startswith(of(members[1]).registry.history_id)
            owner.drop(lease)
            while not (anew := (await asked(second, command)).select.selections):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # until it is known here that the slot is free
            assert anew[0].selection_id != granted.selection_id
            assert [one.selection_id for one in owner.open_leases()] == [anew[0].selection_id]


async def test_a_reservation_that_is_asked_for_again_is_told_what_is_left_of_it() -> None:
    """Where the first answer was lost between members."""
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        service_id = the_id(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        owner, peers, member = of(members[0]).registry.balancing, of(members[1]).peers, of(members[0]).membership.own
        assert isinstance(peers, AllPeers)
        request = SelectionRequest(caller="me/1", request_id="q", payload="p", stream="r1")
        first = await peers.reserve(member, service_id, "default", request)
        (lease,) = owner.open_leases()
        owner.stream_ended(lease.stream, of(members[0]).selections.now())
        again = await peers.reserve(member, service_id, "default", replace(request, stream="r2"))
        assert again.selection_id == first.selection_id
        assert again.ttl_s < 11.0 < first.ttl_s
        assert lease.stream.endswith("/r2")
        with pytest.raises(NotFound):
            await peers.renew(member, "none", "me/1", "r2")
        with pytest.raises(PermissionDenied):
            await peers.renew(member, first.selection_id, "you/1", "r2")


async def test_a_retry_is_answered_with_what_is_held_still_in_the_same_order() -> None:
    """Slots of two members: one of each has ended since, and is not granted anew."""
    async with running_members(2) as members, Agents() as agents:
        for number in range(4):
            await agents.at(members[number % 2], agent_id=f"a{number}", max_concurrency=1)
        await until(lambda: all(shown(members[1], the_id(members[1], f"a{n}")).startswith("HEALTHY") for n in range(4)))
        owners = [of(member).registry.balancing for member in members]
        async with grpc.aio.insecure_channel(members[1].address) as channel:
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC), count=4, request_id="q")
            first = [one.selection_id for one in (await stub.SelectService(select)).selections]
            assert len(first) == 4
            ended = [next(iter(owner.open_leases())) for owner in owners]
            for owner, lease in zip(owners, ended, strict=True):
                owner.drop(lease)
            again = [one.selection_id for one in (await stub.SelectService(select)).selections]
            assert again == [one for one in first if one not in {lease.selection_id for lease in ended}]
            assert len(again) == 2


async def test_slots_of_another_member_that_an_answer_has_no_room_for_are_given_back() -> None:
    large = json.dumps({"text": "x" * 16_000})
    static = spec(liveness=LivenessMode.STATIC, max_concurrency=1, metadata_json=large)
    async with running_members(2) as members, RegistryClient(members[0].address) as client:
        for number in range(80):
            await client.register(replace(static, agent_id=f"a{number}"))
        await until(lambda: the_id(members[1], "a79"))
        async with grpc.aio.insecure_channel(members[1].address) as channel:
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC), count=80)
            answer = await stub.SelectService(select)
            told = {one.selection_id for one in answer.selections}
            assert 1 < len(told) < 80
            owner = of(members[0]).registry.balancing
            await until(lambda: {lease.selection_id for lease in owner.open_leases()} == told)


async def test_a_member_whose_name_another_daemon_took_grants_nothing_any_more() -> None:
    """Not even on a Route stream that is open."""
    prefix = fresh_prefix()
    async with Daemon(settings_of("m1", prefix)) as former, Agents() as agents:
        await agents.at(former)
        await until(lambda: shown(former, the_id(former)) == "HEALTHY(STREAM_OPEN)")
        async with grpc.aio.insecure_channel(former.address) as channel:
            stub: Any = balancer_pb2_grpc.BalancerServiceStub(channel)
            select = balancer_pb2.SelectServiceRequest(selector=encode_selector(CALC))
            route = stub.Route()
            result = await asked(route, balancer_pb2.RouteCommand(id=1, select=select))
            assert result.select.selections
            async with Daemon(settings_of("m1", prefix)), asyncio.timeout(10.0):
                assert await route.code() is grpc.StatusCode.UNAVAILABLE
                with pytest.raises(grpc.aio.AioRpcError, match="starting or stopping"):
                    await stub.SelectService(select)


async def asked(route: Any, command: balancer_pb2.RouteCommand) -> balancer_pb2.RouteResult:
    """The result of one command."""
    await route.write(balancer_pb2.RouteRequest(commands=[command]))
    response: balancer_pb2.RouteResponse = await route.read()
    return response.results[0]


async def test_changes_at_any_member_are_ordered_by_etag() -> None:
    async with running_members(2) as members, AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(RegistryClient(daemon.address)) for daemon in members]
        made = await one.register(spec(liveness=LivenessMode.STATIC))
        results = await asyncio.gather(
            *(client.update(made.ref, spec(tags=(f"t{number}",)), ("tags",), etag=1)
              for number in range(4) for client in (one, two)),
            return_exceptions=True,
        )  # fmt: skip
        done = [result for result in results if not isinstance(result, BaseException)]
        assert len(done) == 1
        assert all(isinstance(one, FailedPrecondition) for one in results if isinstance(one, BaseException))
        await until(lambda: of(members[0]).registry.get(made.service.service_id).spec.tags
                    == of(members[1]).registry.get(made.service.service_id).spec.tags)  # fmt: skip
        await two.unregister(made.ref)
        await until(lambda: shown(members[0], made.service.service_id) == "absent")


async def test_a_self_report_and_an_overlay_reach_all_members() -> None:
    async with running_members(2) as members, RegistryClient(members[0].address) as one:
        made = await one.register(spec(liveness=LivenessMode.STATIC))
        service_id = made.service.service_id
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STATIC)")
        async with RegistryClient(members[1].address) as two:
            await two.update_status(made.ref, ServiceStatus.UNHEALTHY)
        await until(lambda: all(shown(member, service_id) == "UNHEALTHY(SELF_REPORTED)" for member in members))
        async with RegistryClient(members[0].address) as there:
            await there.update_status(made.ref, ServiceStatus.HEALTHY)
        async with AdminClient(members[1].address) as admin:
            await admin.set_overlay(ServiceKey(service_id=service_id), mode=OverlayMode.MAINTENANCE)
        await until(lambda: all(shown(member, service_id) == "STOPPING(MAINTENANCE)" for member in members))
        async with AdminClient(members[0].address) as admin:
            await admin.set_overlay(ServiceKey(service_id=service_id), mode=OverlayMode.NONE)
        await until(lambda: all(shown(member, service_id) == "HEALTHY(STATIC)" for member in members))


async def test_members_list_each_other_and_forget_who_leaves() -> None:
    async with running_members(3) as members:
        assert [member.name for member in of(members[0]).membership.members] == ["m1", "m2", "m3"]
        await members[2].stop()
        await until(lambda: [member.name for member in of(members[0]).membership.members] == ["m1", "m2"])


async def test_agents_of_a_member_that_stops_are_spread_over_all_others() -> None:
    async with running_members(3) as members, Agents() as agents:
        await until(lambda: len(of(members[0]).peers.streams) == 2)
        for number in range(6):
            await agents.at(members[0], agent_id=f"a{number}")
        await members[0].stop()
        await until(lambda: [len(of(one).streams) for one in members[1:]] == [3, 3])


@pytest.mark.parametrize("heard", [False, True], ids=["not heard", "still taken for there"])
async def test_a_lease_of_a_member_that_is_gone_is_over_and_its_release_is_no_error(
    heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its port may refuse a call before the end of its load's stream is noticed."""
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=1)
        service_id = the_id(members[0])
        await until(lambda: shown(members[1], service_id) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(members[1].address) as caller:
            held = await caller.acquire(CALC)
            assert held.selection_id.startswith(of(members[0]).registry.history_id[:8])
            gone = of(members[1]).membership.others[0]
            assert members[0]._server is not None
            await members[0]._server.stop(None)  # as a crash: nothing is said to anybody
            if heard:
                monkeypatch.setattr(AllPeers, "reachable", lambda _self, _life: True)
            await caller.release(held)
            assert of(members[1]).membership.member(gone.life) == gone, "etcd shows it still"


async def test_a_lease_of_a_member_that_stops_is_over_and_its_release_is_no_error() -> None:
    """It answers still, for a moment: it grants nothing any more, and owes nobody an answer."""
    async with running_members(2) as members, Agents() as agents:
        await agents.at(members[0], max_concurrency=2)
        await until(lambda: shown(members[1], the_id(members[0])) == "HEALTHY(STREAM_OPEN)")
        async with BalancerClient(members[1].address) as caller:
            released, renewed = await caller.acquire(CALC), await caller.acquire(CALC)
            of(members[0]).serving = False
            assert of(members[1]).peers.reachable(of(members[0]).registry.history_id)
            await caller.release(released)
            caller._renew(renewed)
            await until(lambda: not renewed.holds)
            assert await of(members[1]).peers.hand_over(of(members[0]).membership.own, [the_id(members[0])]) is None


async def test_another_life_of_a_member_means_that_the_one_before_is_gone() -> None:
    """It answers at the same address, and knows nothing of what was granted; its refusal is not the caller's."""
    async with running_members(2) as (one, two):
        before = replace(of(one).membership.own, token="of a life before")
        peers = of(two).peers
        assert isinstance(peers, AllPeers)
        assert await peers.hand_over(before, ["calc"]) is None
        with pytest.raises(Unavailable, match="is gone"):
            await peers.relay(before, RELEASE, b"", Actor())
