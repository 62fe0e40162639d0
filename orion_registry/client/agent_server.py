"""Where an agent is called: serves its capabilities, counts the calls under way, never runs more than it may.

Whoever waits for an `async def` and goes away cancels it. A plain function runs in a thread, which nothing can stop: it
keeps its slot until it returns, whoever still waits for it.
"""

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from orion_registry.calls.cancellation import cancelled_from_outside
from orion_registry.client.capability import MESSAGE_BYTES, METHOD, Capability, dump_json
from orion_registry.errors import (
    InvalidArgument,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unavailable,
    Unimplemented,
)
from orion_registry.wire.status import DETAILS_KEY, safe_message, status_of
from orion_registry_pb.agent.v1.agent_pb2 import CallRequest, CallResponse

logger = logging.getLogger(__name__)

THREADS: Final = 32
"""For plain functions of an agent without max_concurrency; further calls wait for one."""
RETRY_S: Final = 0.1
"""What a refused caller is told to wait before it asks the same agent again."""

_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # else a second agent would silently share the port
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    # Callers look after their connections with a PING every 2 s, also between two calls, which the defaults (300 s; 2 h
    # without a call) would answer with GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}

Context = grpc.aio.ServicerContext[bytes, bytes]


class CallServer(grpc.GenericRpcHandler):
    """Belongs to one event loop: `listen`, and `close` at the end.

    Args:
        agent_id: for messages.
        capabilities: what it serves.
        max_concurrency: calls at once; 0 = no limit.
        changed: told how many are under way, whenever that changes.
    """

    def __init__(
        self,
        agent_id: str,
        capabilities: Iterable[Capability],
        max_concurrency: int,
        changed: Callable[[int], None],
    ) -> None:
        self._agent_id = agent_id
        self._capabilities = {capability.name: capability for capability in capabilities}
        self._max_concurrency = max_concurrency
        self._changed = changed
        self._in_flight = 0
        self._moved = asyncio.Event()
        self._refusing = False
        self._server: grpc.aio.Server | None = None
        self._threads = ThreadPoolExecutor(max_concurrency or THREADS, thread_name_prefix=f"agent {agent_id}")

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    async def listen(self, host: str, port: int) -> int:
        """Begins to serve; returns the port.

        Raises:
            OSError: it cannot be had.
        """
        self._server = grpc.aio.server(handlers=[self], options=_OPTIONS)
        at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            bound = self._server.add_insecure_port(at)
        except RuntimeError:
            bound = 0
        if not bound:
            raise OSError(f"cannot listen on {at}: the port is in use, or not to be had here")
        await self._server.start()
        return bound

    def refuse(self) -> None:
        """Takes nothing new from now on; what is under way goes on."""
        self._refusing = True

    async def rest(self, quiet_s: float) -> None:
        """Waits until nothing is under way, and nothing has begun for `quiet_s` seconds."""
        while True:
            self._moved.clear()
            try:
                async with asyncio.timeout(None if self._in_flight else quiet_s):
                    await self._moved.wait()
            except TimeoutError:
                return

    async def close(self, grace_s: float) -> None:
        """Ends the server; calls still under way have `grace_s` seconds, then they are cancelled."""
        self.refuse()
        if self._server is not None:
            await self._server.stop(grace_s)
        self._threads.shutdown(wait=False, cancel_futures=True)

    # Calls.

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """The handler of a path; None is answered UNIMPLEMENTED by gRPC."""
        if handler_call_details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, data: bytes, context: Context) -> bytes:
        try:
            capability, arguments = self._admit(data)
        except RegistryError as error:
            await _refuse(context, error)
        try:
            result = dump_json(await self._run(capability, arguments))
        except InvalidArgument as error:
            await _refuse(context, error)
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            # sys.exit() would end the agent and all its calls; what cancels itself gRPC would never answer.
            if isinstance(error, asyncio.CancelledError) and cancelled_from_outside():
                raise
            logger.exception("agent %s: %s failed", self._agent_id, capability.name)
            said = f"{capability.name} failed: {type(error).__name__}: {error}"
            await context.abort(grpc.StatusCode.UNKNOWN, safe_message(said))
        return CallResponse(result=result).SerializeToString()

    def _admit(self, data: bytes) -> tuple[Capability, dict[str, Any]]:
        """What is to run, and with what; or why not."""
        if self._refusing:
            raise Unavailable(Reason.NOT_SERVING, f"agent {self._agent_id} is stopping")
        try:
            request = CallRequest.FromString(data)
        except DecodeError:
            raise InvalidArgument(Reason.BAD_FIELD, f"the request's {len(data)} bytes are no CallRequest") from None
        capability = self._capabilities.get(request.capability)
        if capability is None:
            known = ", ".join(self._capabilities)
            message = f"agent {self._agent_id} has no capability {request.capability!r}, only {known}"
            raise Unimplemented(Reason.NOT_SUPPORTED_YET, message)
        arguments = capability.arguments(request.arguments)
        if 0 < self._max_concurrency <= self._in_flight:
            message = f"agent {self._agent_id}: all {self._max_concurrency} slots are taken"
            raise ResourceExhausted(Reason.NO_FREE_SLOT, message, retry_after_s=RETRY_S)
        return capability, arguments

    async def _run(self, capability: Capability, arguments: Mapping[str, Any]) -> Any:
        self._count(1)
        if not capability.is_async:
            loop, context = asyncio.get_running_loop(), contextvars.copy_context()
            work = self._threads.submit(context.run, _call, capability.function, arguments)
            # Not when the caller stops waiting: when the thread is done, or the call was never begun.
            work.add_done_callback(lambda _: self._thread_ended(loop))
            return await asyncio.wrap_future(work)
        try:
            result = capability.function(**arguments)
            return await result if inspect.isawaitable(result) else result
        finally:
            self._count(-1)

    def _thread_ended(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread; the loop may be over by now."""
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._count, -1)

    def _count(self, by: int) -> None:
        self._in_flight += by
        self._moved.set()
        self._changed(self._in_flight)


def _call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return function(**arguments)
    except StopIteration as error:  # no asyncio future takes one: the call would never be answered
        raise RuntimeError(f"it raised StopIteration: {error}") from error


async def _refuse(context: Context, error: RegistryError) -> NoReturn:
    code, message, details = status_of(error)
    context.set_trailing_metadata(((DETAILS_KEY, details),))
    await context.abort(_CODES[code], message)
