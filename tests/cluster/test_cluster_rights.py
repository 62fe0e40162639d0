"""What a token grants is the same at every member: as much at one that owns nothing of a service as at its owner.

The answers are those that a daemon that is alone has to give (`tests.security.table`), RPC by RPC.
"""

from __future__ import annotations  # grpc's classes are generic for type checkers alone

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, Role
from orion_registry.core.audit import AuditFilter
from orion_registry.core.commands import Remove
from orion_registry.core.model import Actor, RemovalReason
from orion_registry.errors import NotFound, PermissionDenied, Reason
from orion_registry.server.cluster_methods import CLUSTER_SERVICE
from orion_registry.server.daemon import Daemon
from orion_registry.wire.callers import decode_rights, encode_rights
from orion_registry.wire.decode import decode_checked_ref
from orion_registry_pb.cluster.v1 import cluster_pb2
from orion_registry_pb.v1 import registry_pb2
from tests.cluster.members import of, running_members, until
from tests.etcd.node import needs_etcd
from tests.fuzz.answers import reason_of
from tests.fuzz.schema import Rpc, learn
from tests.security.driving import Metadata, drive
from tests.security.matrix import expected, short, shown_by
from tests.security.requests import NAMESPACE, STATIC, Ground
from tests.security.table import Row, rows
from tests.server.serving import OWN_CONNECTION
from tests.server.tokens import Tokens

pytestmark = [needs_etcd, pytest.mark.timeout(300)]

COLUMNS = ("neighbour", "foreign", "viewer", "caller", "agent", "operator", "right")
CALLER = Rights(grants=(Grant(roles=frozenset({Role.CALLER}), namespaces=(NAMESPACE,)),))
ELSEWHERE = Rights(grants=(Grant(roles=frozenset(Role), namespaces=("elsewhere",)),))


@dataclass
class Stand:
    """Two members that know callers by tokens. What is asked about is registered at the first, so it is its own."""

    members: list[Daemon]
    channels: list[grpc.aio.Channel]
    tokens: Tokens
    shown: dict[str, Metadata]
    ground: Ground

    async def known(self, service_id: str) -> None:
        """Until both know it as the first one's."""
        owner = of(self.members[0]).membership.own.life
        await until(lambda: self._owner(service_id) == owner)

    def _owner(self, service_id: str) -> str | None:
        entry = of(self.members[1]).registry.find(service_id)
        return None if entry is None else entry.owner

    async def audited(self, member: int, **wanted: str) -> list[str]:
        """Methods of what a member has recorded, of an identity and an outcome."""
        records, *_ = await of(self.members[member]).audit_page(AuditFilter(**wanted), 0, 10_000)
        return [record.method for record in records]


@asynccontextmanager
async def standing(directory: Path) -> AsyncIterator[Stand]:
    tokens = Tokens(directory / "tokens")
    shown_all = shown_by(tokens)
    async with AsyncExitStack() as stack:
        members = await stack.enter_async_context(running_members(2, tokens_file=str(tokens.path)))
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(one.address, options=OWN_CONNECTION))
            for one in members
        ]
        yield Stand(members, channels, tokens, shown_all, Ground(channels[0], shown_all["right"]))


async def asked(stand: Stand, rpc: Rpc, row: Row, column: str, member: int) -> str:
    """What somebody is answered at a member."""
    stand.ground.service_id = ""
    frames = [message.SerializeToString() for message in await row.make(stand.ground)]
    if stand.ground.service_id:
        await stand.known(stand.ground.service_id)
    return await drive(stand.channels[member], rpc, frames, stand.shown[column], row.reads)


async def test_everybody_is_answered_alike_at_the_owner_and_elsewhere(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        served = {short(rpc): rpc for rpc in await learn(stand.channels[0], stand.shown["right"])}
        await stand.ground.exported()
        wrong = []
        for row in rows():
            if row.rpc not in served:
                continue
            for column in COLUMNS:
                for member, place in enumerate(("its owner", "another member")):
                    came = await asked(stand, served[row.rpc], row, column, member)
                    if came != expected(row, column):
                        wrong.append(f"{row.name} as {column} at {place}: {came}, not {expected(row, column)}")
        assert not wrong, "\n".join(wrong)


def test_rights_are_the_same_behind_the_wire() -> None:
    some = Rights(
        grants=(
            Grant(roles=frozenset({Role.AGENT, Role.VIEWER}), namespaces=("a", "b"), capabilities=("x.*",)),
            Grant(roles=frozenset({Role.OPERATOR}), namespaces=("*",)),
        )
    )
    assert decode_rights(encode_rights(some)) == some
    assert decode_rights(encode_rights(EVERYTHING)) is EVERYTHING
    assert decode_rights(()) == Rights()
    newer = cluster_pb2.Grant(roles=["caller", "of-a-newer-version"], namespaces=["a"], capabilities=["*"])
    assert decode_rights([newer]).grants[0].roles == {Role.CALLER}


# What members call, by somebody who is one.


async def relayed(stand: Stand, method: str, message: Any, rights: Rights, identity: str = "who") -> str:
    """The reason that a call is refused with which a member makes at the first one; empty if it is not."""
    request = cluster_pb2.RelayRequest(
        token=of(stand.members[0]).membership.own.token,
        method=f"/orion.registry.v1.{method}",
        request=message.SerializeToString(),
        identity=identity,
        grants=encode_rights(rights),
    )
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = stand.channels[0].unary_unary(f"/{CLUSTER_SERVICE}/Relay")
    try:
        await call(request.SerializeToString(), timeout=10.0)
    except grpc.aio.AioRpcError as error:
        reason = reason_of(error.trailing_metadata())
        return "none" if reason is None else reason.name
    return ""


async def test_the_owner_judges_what_is_relayed_by_the_callers_own_rights_and_audits_it_as_the_callers(
    tmp_path: Path,
) -> None:
    async with standing(tmp_path) as stand:
        ref = await stand.ground.ref(STATIC)
        report = registry_pb2.UpdateServiceStatusRequest(ref=ref, status=4)  # type: ignore[arg-type]  # a number does
        path = "RegistryService/UpdateServiceStatus"
        assert await relayed(stand, path, report, Rights(), "nothing") == "NOT_ALLOWED"
        assert await relayed(stand, path, report, CALLER, "caller") == "NOT_ALLOWED"
        assert await relayed(stand, path, report, ELSEWHERE, "foreign") == "NO_SUCH_SERVICE"
        assert await relayed(stand, path, report, EVERYTHING, "another") == "NOT_OWNER"
        assert await relayed(stand, path, report, EVERYTHING, "spiffe://fleet/owner") == ""
        assert await relayed(stand, "AdminService/RemoveService", report, EVERYTHING) == "BAD_FIELD"
        stand.members[0].coordinator.audit._flush_at = 0.0

        async def recorded(identity: str, outcome: str) -> list[str]:
            return await stand.audited(0, identity=identity, outcome=outcome)

        for _ in range(300):
            if await recorded("spiffe://fleet/owner", "OK") and await recorded("another", "NOT_OWNER"):
                break
            await asyncio.sleep(0.1)
        assert await recorded("nothing", "NOT_ALLOWED") == ["UpdateServiceStatus"]
        assert await recorded("caller", "NOT_ALLOWED") == ["UpdateServiceStatus"]
        assert await recorded("another", "NOT_OWNER") == ["UpdateServiceStatus"]
        assert "UpdateServiceStatus" in await recorded("spiffe://fleet/owner", "OK")


async def test_a_slot_is_not_given_in_another_namespace_than_the_caller_selects_in(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        service_id = await stand.ground.id()
        request = cluster_pb2.ReserveRequest(
            token=of(stand.members[0]).membership.own.token, service_id=service_id, caller="who/", namespace="elsewhere"
        )
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = stand.channels[0].unary_unary(
            f"/{CLUSTER_SERVICE}/Reserve"
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(request.SerializeToString(), timeout=10.0)
        reason = reason_of(refused.value.trailing_metadata())
        assert reason is not None
        assert reason.name == Reason.NO_SUCH_SERVICE
        request.namespace = NAMESPACE
        await call(request.SerializeToString(), timeout=10.0)


# What a member has not heard of yet when the call comes in.


@pytest.mark.parametrize(
    ("rights", "refused"),
    [(ELSEWHERE, NotFound), (CALLER, PermissionDenied), (EVERYTHING, None)],
    ids=["of another namespace", "of another role", "of an operator"],
)
async def test_what_is_not_known_yet_is_judged_once_it_is(
    tmp_path: Path, rights: Rights, refused: type[Exception] | None
) -> None:
    """Its first look finds nothing to judge, and etcd is asked: the rights are looked at again then."""
    async with standing(tmp_path) as stand:
        second = of(stand.members[1])
        mirror = second._cluster.store.mirror  # type: ignore[attr-defined]
        mirror._task.cancel()  # its news come late: only what it asks for is known
        await asyncio.sleep(0)
        service_id = await stand.ground.id()
        assert second.registry.find(service_id) is None
        command = Remove(service_id=service_id, reason=RemovalReason.REMOVED)
        actor = Actor(identity="who", rights=rights)
        if refused is None:
            await second.execute(command, actor)
            assert second.registry.find(service_id) is None
        else:
            with pytest.raises(refused):
                await second.execute(command, actor)
            assert second.registry.find(service_id) is not None


async def test_a_beat_of_one_who_may_not_moves_no_service(tmp_path: Path) -> None:
    async with standing(tmp_path) as stand:
        ref = await stand.ground.ref(2)  # TTL
        await stand.known(ref.service_id)
        second = of(stand.members[1])
        await second.take_for([decode_checked_ref(ref)], Actor(identity="spiffe://fleet/owner", rights=CALLER))
        assert not second.membership.is_ours(ref.service_id)
        await second.take_for([decode_checked_ref(ref)], Actor(identity="spiffe://fleet/owner"))
        assert second.membership.is_ours(ref.service_id)
