"""grpc.health.v1: whether the daemon serves. "" stands for all of it, each service name for itself."""

import asyncio
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message
from grpc_health.v1 import health_pb2

from orion_registry.core.model import Actor
from orion_registry.errors import NotFound, Reason
from orion_registry.server.methods import HEALTH_SERVICE
from orion_registry.server.stream import Stream
from orion_registry.server.wrapper import Handlers, stopping

Status = health_pb2.HealthCheckResponse
_LIST_RESPONSE: type[Message] = vars(health_pb2)["HealthListResponse"]  # its published types do not know List yet
_NAME_SHOWN = 80


class Health:
    """The state of the daemon for probes: NOT_SERVING until it is ready, and again while it stops."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = ("", *services)
        self._known = frozenset(self._services)
        self._serving = False
        self._closed = False
        self._watchers: set[asyncio.Event] = set()

    @property
    def handlers(self) -> Handlers:
        """The methods of the service."""
        return {HEALTH_SERVICE: {"Check": self.check, "List": self.list, "Watch": self.watch}}

    def set_serving(self, serving: bool) -> None:
        """Changes the state and tells everybody who watches."""
        self._serving = serving
        self._wake()

    def close(self) -> None:
        """Ends every watch, after its last state was sent."""
        self._closed = True
        self._wake()

    def check(self, request: health_pb2.HealthCheckRequest, _actor: Actor) -> bytes:
        """The state now.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        status = self._status_of(request.service)
        if status == Status.SERVICE_UNKNOWN:
            name = request.service
            shown = name if len(name) <= _NAME_SHOWN else f"{name[:60]}… ({len(name)} characters)"
            raise NotFound(Reason.NO_SUCH_SERVICE, f"service: this daemon serves no {shown!r}")
        return _answer(status)

    def list(self, _request: Message, _actor: Actor) -> bytes:
        """The state of every service (gRFC A90)."""
        answer: Any = _LIST_RESPONSE()
        for name in self._services:
            answer.statuses[name].status = self._status_of(name)
        data: bytes = answer.SerializeToString()
        return data

    async def watch(self, request: health_pb2.HealthCheckRequest, _actor: Actor, stream: Stream) -> None:
        """The state now and whenever it changes. An unknown service is SERVICE_UNKNOWN, and stays so.

        Raises:
            Unavailable: NOT_SERVING, the daemon stops.
        """
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            sent: int | None = None
            while True:
                changed.clear()
                status = self._status_of(request.service)
                if status != sent:
                    await stream.write(_answer(status))
                    sent = status
                elif self._closed:
                    raise stopping()
                else:
                    await changed.wait()
        finally:
            self._watchers.discard(changed)

    def _status_of(self, service: str) -> int:
        if service not in self._known:
            return Status.SERVICE_UNKNOWN
        return Status.SERVING if self._serving else Status.NOT_SERVING

    def _wake(self) -> None:
        for watcher in self._watchers:
            watcher.set()


def _answer(status: int) -> bytes:
    return health_pb2.HealthCheckResponse(status=status).SerializeToString()
