"""The wrapper and the method table: what every RPC answers, whatever comes in."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, Role
from orion_registry.core.model import Actor
from orion_registry.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    Reason,
    RegistryError,
    Unauthenticated,
    Unavailable,
)
from orion_registry.server import scopes
from orion_registry.server.door import Door
from orion_registry.server.methods import METHODS, REGISTRY_METHODS, REGISTRY_SERVICE, Kind, Method
from orion_registry.server.peer import peer_address
from orion_registry.server.stream import Stream
from orion_registry.server.wrapper import build_handlers
from orion_registry.wire.status import error_from_status
from orion_registry_pb.v1 import registry_pb2 as pb
from tests.server.serving import MIB, Served, nothing_registered, raw, served_registry, serving, until

GARBAGE = (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x02\xff\xfe", b"\x0b" * 500)
"""Bytes that are no message: a cut tag, a length beyond the end, a string that is no UTF-8, groups without end."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with served_registry() as registry:
        yield registry


async def outcome(channel: grpc.aio.Channel, method: Method, *data: bytes) -> grpc.aio.AioRpcError | None:
    """How a call with these messages ended; None for OK."""
    call = raw(channel, method)(*data) if method.kind is not Kind.BIDI else raw(channel, method)(iter(data))
    try:
        if method.kind is Kind.UNARY:
            await call
        else:
            async for _ in call:
                pass
    except grpc.aio.AioRpcError as error:
        return error
    return None


def typed(error: grpc.aio.AioRpcError | None) -> Any:
    assert error is not None
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    assert details, error
    assert isinstance(details, bytes)
    return error_from_status(error.code().value[0], error.details() or "", details)


def test_table_is_complete() -> None:
    """Every RPC of the descriptors stands in the table, with its kind and its request."""
    service = pb.DESCRIPTOR.services_by_name["RegistryService"]
    rows = {method.name: method for method in REGISTRY_METHODS}
    assert set(rows) == set(service.methods_by_name)
    assert {method.service for method in REGISTRY_METHODS} == {service.full_name} == {REGISTRY_SERVICE}
    for name, described in service.methods_by_name.items():
        streams = (described.client_streaming, described.server_streaming)
        kinds = {(False, False): Kind.UNARY, (False, True): Kind.SERVER_STREAM, (True, True): Kind.BIDI}
        assert rows[name].kind is kinds[streams], name
        assert rows[name].request.DESCRIPTOR is described.input_type, name
    assert len({method.path for method in METHODS}) == len(METHODS)
    assert {method.service for method in METHODS if method.always} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "orion.registry.v1.AdminService",
    }


def method(name: str, kind: Kind = Kind.UNARY, **fields: Any) -> Method:
    values: dict[str, Any] = {
        "roles": frozenset(Role),
        "scope": scopes.anywhere,
        "cost": Cost.READ,
        "request": pb.GetServiceRequest,
    }
    return Method(service="test.Service", name=name, kind=kind, **(values | fields))


def test_table_and_handlers_must_match() -> None:
    """A row without handler, or a handler without row, is found at start."""
    rows = [method("A"), method("B")]
    with pytest.raises(ValueError, match=r"without a handler: .*'B'"):
        build_handlers(rows, {"test.Service": {"A": print}}, Door(lambda: True, nothing_registered))
    with pytest.raises(ValueError, match=r"without a method: .*'C'"):
        build_handlers(
            rows, {"test.Service": {"A": print, "B": print, "C": print}}, Door(lambda: True, nothing_registered)
        )


@pytest.mark.parametrize("row", REGISTRY_METHODS, ids=lambda row: row.name)
async def test_garbage(served: Served, row: Method, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no message: INVALID_ARGUMENT/BAD_FIELD from every RPC, and nothing in the log."""
    for data in GARBAGE:
        error = typed(await outcome(served.channel, row, data))
        assert (type(error), error.reason) == (InvalidArgument, Reason.BAD_FIELD)
        assert f"{len(data)} bytes" in error.message
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@pytest.mark.parametrize("row", REGISTRY_METHODS, ids=lambda row: row.name)
async def test_too_large(served: Served, row: Method) -> None:
    """A message of 2 MB: RESOURCE_EXHAUSTED, before it is read."""
    error = await outcome(served.channel, row, b"\x0a" + b"\x80\x80\x80\x01" + b"a" * 2 * MIB)
    assert error is not None
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("row", REGISTRY_METHODS, ids=lambda row: row.name)
async def test_empty_message(served: Served, row: Method) -> None:
    """A request with nothing in it is answered, or refused for a reason of the closed list."""
    if row.kind is Kind.SERVER_STREAM:
        call = raw(served.channel, row)(b"")
        assert pb.WatchServicesResponse.FromString(await call.read()).events
        call.cancel()
        return
    error = await outcome(served.channel, row, b"")
    assert error is None or typed(error).reason in {Reason.BAD_FIELD, Reason.WRONG_MODE}


async def test_not_serving(served: Served) -> None:
    """While the registry starts and stops: NOT_SERVING with a delay, from every RPC."""
    served.coordinator.serving = False
    for row in REGISTRY_METHODS:
        error = typed(await outcome(served.channel, row, b""))
        assert (type(error), error.reason) == (Unavailable, Reason.NOT_SERVING)
        assert error.retry_after_s is not None
    served.coordinator.serving = True


async def test_always() -> None:
    """Methods that always answer do so while others do not."""
    rows = [method("Health", always=True), method("Other")]
    handlers = {"test.Service": {"Health": lambda *_: b"up", "Other": lambda *_: b""}}
    async with serving(rows, handlers, lambda: False) as address, grpc.aio.insecure_channel(address) as channel:
        assert await raw(channel, rows[0])(b"") == b"up"
        assert typed(await outcome(channel, rows[1], b"")).reason is Reason.NOT_SERVING


async def test_roles() -> None:
    """A row that none of the caller's roles may call is refused."""
    row = method("Look", roles=frozenset({Role.VIEWER}))
    agent = Rights(grants=(Grant(roles=frozenset({Role.AGENT}), namespaces=("*",)),))
    async with (
        serving([row], {"test.Service": {"Look": lambda *_: b""}}, rights=agent) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        assert typed(await outcome(channel, row, b"")).reason is Reason.NOT_ALLOWED


async def test_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception: INTERNAL without its text, logged once with the RPC as a field."""

    def sync(_request: Any, _actor: Actor) -> bytes:
        raise RuntimeError("secret text")

    async def stream(_request: Any, _actor: Actor, stream: Stream) -> None:
        await stream.write(b"")
        raise RuntimeError("secret text")

    async def bidi(_actor: Actor, stream: Stream) -> None:
        await stream.read()
        raise RuntimeError("secret text")

    rows = [method("Sync"), method("Stream", Kind.SERVER_STREAM), method("Bidi", Kind.BIDI)]
    handlers: Any = {"test.Service": {"Sync": sync, "Stream": stream, "Bidi": bidi}}
    async with serving(rows, handlers) as address, grpc.aio.insecure_channel(address) as channel:
        for row in rows:
            caplog.clear()
            error = await outcome(channel, row, b"")
            assert error is not None
            assert error.code() is grpc.StatusCode.INTERNAL
            assert "secret" not in str(error.details())
            (record,) = caplog.records
            assert (record.name, record.msg, record.__dict__["rpc"]) == ("orion_registry", "handler failed", row.path)
            assert record.exc_info is not None


async def test_errors_become_statuses() -> None:
    """Code, message, reason and delay; what does not fit into ASCII or a line is made safe."""
    message = "ü" + "\n" + "x" * 5_000

    async def fail(_request: Any, _actor: Actor) -> bytes:
        await asyncio.sleep(0)
        raise FailedPrecondition(Reason.STALE_EPOCH, message, retry_after_s=1.25)

    row = method("Fail")
    async with (
        serving([row], {"test.Service": {"Fail": fail}}) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        error = typed(await outcome(channel, row, b""))
    assert (type(error), error.reason, error.retry_after_s) == (FailedPrecondition, Reason.STALE_EPOCH, 1.25)
    assert error.message.startswith("ü�xxx")
    assert len(error.message) < 1024


class FakeContext:
    """What the wrapper needs of a call's context."""

    code: grpc.StatusCode | None = None

    async def abort(self, code: grpc.StatusCode, _message: str, _trailers: Any) -> None:
        self.code = code
        raise grpc.aio.AbortError

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"


async def test_what_is_revoked_while_a_stream_begins_ends_it() -> None:
    """Between its admission and its being held nobody could have ended it."""
    revoked, served = False, []

    def identify(_context: Any) -> Actor:
        if revoked:
            raise Unauthenticated(Reason.NO_IDENTITY, "revoked")
        return Actor(identity="calc", rights=EVERYTHING)

    class Beginning(FakeContext):
        async def send_initial_metadata(self, _metadata: Any) -> None:
            nonlocal revoked
            revoked = True

    async def serve(_request: Any, _actor: Actor, _stream: Stream) -> None:
        served.append(1)

    row = next(row for row in METHODS if row.name == "WatchServices")
    door = Door(lambda: True, nothing_registered, identify=identify)
    handler: Any = build_handlers([row], {row.service: {row.name: serve}}, door)[row.service][row.name]
    told: list[tuple[str, str]] = []
    door.tell_refusals(lambda actor, method, _error: told.append((actor.identity, method)))
    context = Beginning()
    with pytest.raises(grpc.aio.AbortError):
        await handler.unary_stream(b"", context)
    assert (context.code, served) == (grpc.StatusCode.UNAUTHENTICATED, [])
    assert told == [("calc", "WatchServices")], "who it was let in as"


class Judged:
    """An open call that is judged as `verdict` says."""

    def __init__(self, verdict: Exception | None = None) -> None:
        self.method = next(row for row in METHODS if row.name == "WatchServices")
        self.context: Any = FakeContext()
        self.verdict = verdict
        self.ended: list[RegistryError] = []

    def go_on_as(self, _actor: Actor) -> None:
        if self.verdict is not None:
            raise self.verdict

    def end(self, error: RegistryError) -> None:
        self.ended.append(error)


async def test_a_call_that_cannot_be_judged_anew_ends_and_the_others_are_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door(lambda: True, nothing_registered)
    broken, fine = [Judged(ZeroDivisionError()) for _ in range(3)], Judged()
    refused = [Judged(PermissionDenied(Reason.NOT_ALLOWED, "no")) for _ in range(3)]
    with ExitStack() as held:
        for call in (*broken, fine, *refused):
            held.enter_context(door.holding(call))
        await door.judge_again()
    assert [[one.reason for one in call.ended] for call in broken] == [[Reason.NOT_SERVING]] * 3
    assert [[one.reason for one in call.ended] for call in refused] == [[Reason.NOT_ALLOWED]] * 3
    assert fine.ended == []
    assert [record.getMessage() for record in caplog.records] == ["an open call could not be judged anew"] * 3


async def test_bidi_stream() -> None:
    """Messages pass both ways; the end of the requests is None; an error ends it; garbage later on does too."""

    async def echo(_actor: Actor, stream: Stream) -> None:
        while (request := await stream.read()) is not None:
            if request.service_id == "stop":
                raise Aborted(Reason.SUPERSEDED, "stopped")
            await stream.write(request.SerializeToString())

    row = method("Echo", Kind.BIDI)
    one, stop = (pb.GetServiceRequest(service_id=text).SerializeToString() for text in ("one", "stop"))
    async with (
        serving([row], {"test.Service": {"Echo": echo}}) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        assert await outcome(channel, row, one, one) is None
        assert typed(await outcome(channel, row, one, stop)).reason is Reason.SUPERSEDED
        assert typed(await outcome(channel, row, one, b"\xff")).reason is Reason.BAD_FIELD


async def test_actor(tmp_path: Any) -> None:
    """The peer's address is known, without its port; a Unix socket has none."""
    row = method("Who")
    handlers = {"test.Service": {"Who": lambda _request, actor: actor.address.encode()}}
    unix = f"unix:{tmp_path}/s"
    async with serving([row], handlers, address=unix), grpc.aio.insecure_channel(unix) as channel:
        assert await raw(channel, row)(b"") == b""
    async with serving([row], handlers) as address, grpc.aio.insecure_channel(address) as channel:
        assert await raw(channel, row)(b"") == b"127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.1.2.3:4711", "10.1.2.3"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "fe80::1%eth0"),
        ("ipv6:[2001:db8::7]:1", "2001:db8::7"),
        ("unix:", ""),
        ("unix:/run/x:1", ""),
        ("unix-abstract:x", ""),
        ("", ""),
    ],
)
def test_peer_address(peer: str, address: str) -> None:
    """gRPC's text for a peer."""
    assert peer_address(peer) == address


async def test_a_caller_that_gives_up_leaves_nothing_behind(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """Streams and calls that are cancelled at any moment: no task stays, nothing is logged as a fault."""
    before = len(asyncio.all_tasks())
    for row in REGISTRY_METHODS:
        for delay in (0, 0.001, 0.01):
            call = raw(served.channel, row)(*([b""] if row.kind is not Kind.BIDI else []))
            await asyncio.sleep(delay)
            call.cancel()
    await until(lambda: len(asyncio.all_tasks()) <= before)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
