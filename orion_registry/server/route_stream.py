"""Route: many commands on one stream, answered in batches, and news of the leases that it holds.

Results are fields of a RouteResponse, so a batch of them is put together by joining bytes.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc.aio
from google.protobuf.message import DecodeError

from orion_registry.core import limits
from orion_registry.core.model import Actor, Now, StatusReasonCode
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selector import Selector
from orion_registry.errors import PermissionDenied, RegistryError, bad_field
from orion_registry.server.duplex import Duplex
from orion_registry.server.scopes import Call, require
from orion_registry.server.stream import Stream, not_a_message
from orion_registry.server.wrapper import stopping
from orion_registry.wire.balancer import Origin, decode_hello
from orion_registry.wire.plain_commands import A_RELEASE, PlainCommand, PlainCommands
from orion_registry.wire.route import (
    notice_expired,
    notice_lost,
    result_cancelled,
    result_done,
    result_error,
    result_granted,
    result_renewed,
    result_selected,
    result_waiting,
)
from orion_registry_pb.v1.balancer_pb2 import RouteCommand, RouteRequest

if TYPE_CHECKING:
    from orion_registry.server.balancer_service import BalancerService

TURN_S = 0.005
"""How long commands of one message may keep everybody else waiting: heartbeats, other callers."""
MESSAGE_BYTES = 512 * 1024
"""Bytes of one message at most, unless a single result has more."""


class RouteStreams:
    """Serves Route calls."""

    def __init__(self, service: "BalancerService") -> None:
        self._service = service

    async def serve(self, actor: Actor, stream: Stream) -> None:
        """One call, to its end."""
        self._service.coordinator.require_serving()
        route = Route(self._service, actor, stream)
        stream.belongs_to(route)
        await route.run()


class Route(Duplex):
    """One call."""

    def __init__(self, service: "BalancerService", actor: Actor, stream: Stream) -> None:
        super().__init__(stream.context)
        self._service = service
        self._check = stream.check
        self._method = stream.method
        self._actor = actor
        self._refused = service.coordinator.registry.refused
        self._selections = service.selections
        self._outbox: deque[bytes] = deque()
        self._notices: dict[tuple[Lease, str], bytes] = {}
        self._waiting: dict[int, Waiter] = {}
        self._plain = PlainCommands()
        self._balancing = service.selections.balancing
        self._name = self._selections.open_stream(self)
        self._origin = Origin(identity=actor.identity, stream=self._name)

    def go_on_as(self, actor: Actor) -> None:
        """See `Duplex`. Who waits where its caller has lost its role is given nothing any more."""
        self._actor = actor
        method, registry = self._method, self._service.coordinator.registry
        for command_id, namespace in self._awaited().items():
            try:
                require(Call(None, actor, method.name, method.roles, registry), namespace)
            except PermissionDenied as error:
                self._give_up(command_id)
                self._denied(error)
                self._refused.note(error)
                self._tell(result_error(command_id, error))

    def _awaited(self) -> Mapping[int, str]:
        """Selects that wait, by the id of the command, and the namespace of each."""
        found = {}
        for command_id, waiter in self._waiting.items():
            assert isinstance(waiter.pool.key, Selector)
            found[command_id] = waiter.pool.key.namespace
        return found

    def _give_up(self, command_id: int) -> None:
        """One waits no more."""
        self._selections.give_up(self._waiting.pop(command_id))

    def _over(self) -> None:
        """Nobody waits for answers any more; leases end soon."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            self._selections.give_up(waiter)
        self._selections.close_stream(self._name)

    # Reading.

    async def _take_all(self) -> None:
        read, eof = self._context.read, grpc.aio.EOF
        while True:
            data = await read()
            if self._closed or (self._ending and data is not eof):
                return
            if data is eof:
                self._over()
                if not self._ending:  # else whoever sends the last words ends it
                    self._finish(None)
                return
            take: Callable[[Any, Now], None] = self._take_plain
            commands: Iterable[Any] = self._read_plain(data)
            if not commands:
                take, commands = self._take, self._parse(data)
            now, until = self._selections.now(), self._loop.time() + TURN_S
            for command in commands:
                take(command, now)
                if self._loop.time() > until:  # 1,000 commands may cost a look at every candidate each, and 100 of them
                    await asyncio.sleep(0)
                    if self._ending or self._closed:
                        return
                    now, until = self._selections.now(), self._loop.time() + TURN_S
            if self._outbox or self._sending:
                await self._send_before_reading_on()
            if self._ending or self._closed:
                return

    def _read_plain(self, data: bytes) -> Sequence[PlainCommand]:
        """The commands of a message, if all are plain."""
        return self._plain.read(data)

    def _parse(self, data: bytes) -> Sequence[RouteCommand]:
        """The commands of a message; a hello in it goes before them."""
        try:
            request = RouteRequest.FromString(data)
        except DecodeError:
            raise not_a_message(data) from None
        if len(request.commands) > limits.COMMANDS:
            raise bad_field("commands", f"at most {limits.COMMANDS:,} entries", len(request.commands))
        if request.HasField("hello"):
            self._origin = decode_hello(request.hello, self._origin)
            self._plain.forget()
        return request.commands

    def _take(self, command: RouteCommand, now: Now) -> None:
        """Runs one command. What it raises is its result."""
        try:
            self._check(command)
            result = self._result(command, now)
        except RegistryError as error:
            result = self._refusal(command.id, error)
        if result:
            self._outbox.append(result)

    def _take_plain(self, command: PlainCommand, now: Now) -> None:
        """The same for a plain one."""
        command_id, wanted, selection_id, outcome, time_s = command
        try:
            self._check(A_RELEASE if wanted is None else wanted.plain)
            if wanted is None:
                self._balancing.release(selection_id, self._origin.identity, now, outcome, time_s)
                result = result_done(command_id, "release")
            else:
                result = self._granted(command_id, self._selections.select(wanted, now))
        except RegistryError as error:
            result = self._refusal(command_id, error)
        self._outbox.append(result)

    def _refusal(self, command_id: int, error: RegistryError) -> bytes:
        self._denied(error)
        self._refused.note(error)
        return result_error(command_id, error)

    def _denied(self, error: RegistryError) -> None:
        self._service.coordinator.audit.refused(self._actor, "Route", error)

    def _granted(self, command_id: int, got: tuple[Lease, ...] | Waiter) -> bytes:
        assert type(got) is tuple  # plain selects never wait
        lease = got[0]
        if len(got) == 1 and lease.request is None and (entry := self._balancing.entry_of(lease)) is not None:
            return result_granted(command_id, lease, entry)  # nearly always
        return result_selected(command_id, self._service.selected(got))

    def _result(self, command: RouteCommand, now: Now) -> bytes:
        match command.WhichOneof("command"):
            case "select":
                return self._select(command, now)
            case "release":
                self._service.release(command.release, self._origin.identity, now)
                return result_done(command.id, "release")
            case "renew":
                return result_renewed(
                    command.id, self._service.renew(command.renew, self._origin.identity, now, self._name)
                )
            case "report":
                self._service.report(command.report, now)
                return result_done(command.id, "report")
            case "cancel":
                return self._cancel(command)
            case _:
                raise bad_field("command", "select, release, renew, report or cancel", "none of them")

    def _select(self, command: RouteCommand, now: Now) -> bytes:
        data, command_id = command.select.SerializeToString(), command.id
        wanted = self._service.wanted.decode(data, command.select, self._origin)
        self._plain.learn(data, wanted)
        if wanted.request.wait_s and command_id in self._waiting:
            raise bad_field("id", "another than that of a select that waits", command_id)
        got = self._selections.select(wanted, now)
        if type(got) is tuple:
            return self._granted(command_id, got)
        assert isinstance(got, Waiter)
        self._waiting[command_id] = got
        self._selections.when_settled(got, lambda waiter: self._settled(command_id, waiter))
        return result_waiting(command_id, got.position)

    def _settled(self, command_id: int, waiter: Waiter) -> None:
        """A wait is over."""
        self._waiting.pop(command_id, None)
        if waiter.lease is not None:
            self._tell(result_selected(command_id, self._service.selected((waiter.lease,))))
        elif waiter.error is not None:
            self._refused.note(waiter.error)
            self._tell(result_error(command_id, waiter.error))

    def _cancel(self, command: RouteCommand) -> bytes:
        waiter = self._waiting.pop(command.cancel.id, None)
        if waiter is not None:
            self._selections.give_up(waiter)
            if waiter.error is not None:
                self._outbox.append(result_error(command.cancel.id, waiter.error))
        return result_cancelled(command.id, waiter is not None)

    # News: `runtime.selections.Route`.

    def lost(self, lease: Lease, reason: StatusReasonCode | None) -> None:
        """See `Route`."""
        self._notice(lease, "lost", notice_lost(lease, reason))

    def expired(self, lease: Lease) -> None:
        """See `Route`."""
        self._notice(lease, "expired", notice_expired(lease))

    def stop(self) -> None:
        """See `Route`: what is in the outbox is sent first."""
        self._finish_once_sent(stopping())
        self._wake()

    # Writing.

    def _tell(self, data: bytes) -> None:
        """Something to send that answers no command of the message that is being read."""
        self._outbox.append(data)
        self._wake()

    def _notice(self, lease: Lease, kind: str, data: bytes) -> None:
        """News of a lease; what it replaces was not sent yet: an agent that comes and goes fills no caller's outbox."""
        self._notices[lease, kind] = data
        self._wake()

    def _next_message(self) -> bytes | None:
        """All that there is to say, within the size of a message."""
        outbox, notices = self._outbox, self._notices
        if not outbox:  # a lease's result goes before its news
            parts, size = [], 0
            while notices and size < MESSAGE_BYTES:
                part = notices.pop(next(iter(notices)))
                parts.append(part)
                size += len(part)
            return b"".join(parts) or None
        if sum(map(len, outbox)) <= MESSAGE_BYTES:  # nearly always
            message = b"".join(outbox)
            outbox.clear()
            return message
        parts = [outbox.popleft()]
        size = len(parts[0])
        while outbox and size + len(outbox[0]) <= MESSAGE_BYTES:
            part = outbox.popleft()
            parts.append(part)
            size += len(part)
        return b"".join(parts)

    def _drop_messages(self) -> None:
        self._outbox.clear()
        self._notices.clear()
