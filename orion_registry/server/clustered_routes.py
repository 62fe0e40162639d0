"""Route in a cluster: commands that another member has to answer are under way side by side; the rest is as ever."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orion_registry.core.membership import Member
from orion_registry.core.model import Actor, Now
from orion_registry.errors import Reason, RegistryError, ResourceExhausted, bad_field
from orion_registry.server.route_stream import Route, RouteStreams
from orion_registry.server.stream import Stream
from orion_registry.wire.plain_commands import PlainCommand
from orion_registry.wire.route import (
    result_cancelled,
    result_done,
    result_error,
    result_renewed,
    result_selected,
    result_waiting,
)
from orion_registry_pb.v1.balancer_pb2 import RouteCommand

if TYPE_CHECKING:
    from orion_registry.server.clustered_services import ClusterBalancerService


class ClusterRouteStreams(RouteStreams):
    """Serves Route calls."""

    def __init__(self, service: "ClusterBalancerService") -> None:
        super().__init__(service)
        self._cluster = service

    async def serve(self, actor: Actor, stream: Stream) -> None:
        """One call, to its end."""
        self._cluster.coordinator.require_serving()
        route = _ClusterRoute(self._cluster, actor, stream)
        stream.belongs_to(route)
        await route.run()


class _ClusterRoute(Route):
    """One call."""

    def __init__(self, service: "ClusterBalancerService", actor: Actor, stream: Stream) -> None:
        super().__init__(service, actor, stream)
        self._cluster = service
        self._under_way: set[asyncio.Task[None]] = set()
        self._selecting: dict[int, tuple[asyncio.Task[None], str]] = {}
        self._granters: dict[str, Member] = {}

    def _over(self) -> None:
        """See `Route`. Leases of other members end soon as well."""
        for task in self._under_way:
            task.cancel()
        granters, self._granters = self._granters, {}
        self._cluster.end_stream(self._name, granters.values())
        super()._over()

    def _awaited(self) -> Mapping[int, str]:
        """See `Route`."""
        return {command_id: namespace for command_id, (_, namespace) in self._selecting.items()}

    def _give_up(self, command_id: int) -> None:
        """See `Route`. What other members grant it by now is given back."""
        self._selecting.pop(command_id)[0].cancel()

    def _read_plain(self, _data: bytes) -> Sequence[PlainCommand]:
        """None is: any command may be another member's to answer."""
        return ()

    def _result(self, command: RouteCommand, now: Now) -> bytes:
        """The result of a command; empty if it comes later."""
        kind = command.WhichOneof("command")
        if kind == "select":
            return self._select(command, now)
        if kind == "cancel" and command.cancel.id in self._selecting:
            self._give_up(command.cancel.id)
            given_up = ResourceExhausted(Reason.NO_FREE_SLOT, "the wait was given up", retry_after_s=1.0)
            return result_error(command.cancel.id, given_up) + result_cancelled(command.id, True)
        if kind in {"release", "renew", "report"} and self._cluster.is_another(command):
            return self._later(command.id, self._elsewhere(command))
        return super()._result(command, now)

    def _select(self, command: RouteCommand, _now: Now) -> bytes:
        if command.id in self._selecting:
            raise bad_field("id", "another than that of a select that is under way", command.id)
        wanted = self._service.wanted(command.select, self._origin)
        later = self._later(command.id, self._select_later(command.id, wanted))
        self._selecting[command.id] = self._last, wanted.selector.namespace
        return later

    async def _select_later(self, command_id: int, wanted: Any) -> bytes:
        told = False

        def queued(position: int) -> None:
            nonlocal told
            if not told:
                self._tell(result_waiting(command_id, position))
            told = True

        try:
            self._lives_here([lease.selection_id for lease in self._cluster.answered(wanted)])
            leases = await self._cluster.select(wanted, queued)
        finally:
            self._selecting.pop(command_id, None)
        self._lives_here([lease.selection_id for lease in leases])
        return result_selected(command_id, self._service.selected(leases))

    def _lives_here(self, selection_ids: Iterable[str]) -> None:
        """Whoever has granted these has to hear of the end of this stream."""
        for selection_id in selection_ids:
            if (member := self._cluster.granter(selection_id)) is not None:
                self._granters[member.life] = member

    async def _elsewhere(self, command: RouteCommand) -> bytes:
        match command.WhichOneof("command"):
            case "release":
                await self._cluster.release_service(command.release, self._actor)
                return result_done(command.id, "release")
            case "renew":
                self._lives_here(command.renew.selection_ids)
                renewed = await self._cluster.renewed(command.renew, self._actor, self._name)
                return result_renewed(command.id, renewed)
            case _:
                await self._cluster.report_outcome(command.report, self._actor)
                return result_done(command.id, "report")

    def _later(self, command_id: int, work: Coroutine[Any, Any, bytes]) -> bytes:
        self._last = self._loop.create_task(self._tell_later(command_id, work))
        self._under_way.add(self._last)
        self._last.add_done_callback(self._under_way.discard)
        return b""

    async def _tell_later(self, command_id: int, work: Coroutine[Any, Any, bytes]) -> None:
        try:
            self._tell(await work)
        except RegistryError as error:
            self._denied(error)
            self._refused.note(error)
            self._tell(result_error(command_id, error))
