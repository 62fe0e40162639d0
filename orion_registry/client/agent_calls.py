"""Calls of agents' capabilities: a slot is selected, the agent called, and what became of it reported."""

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import grpc
import grpc.aio

from orion_registry.calls.cancellation import cancelled_from_outside
from orion_registry.client.capability import METHOD, dump_arguments
from orion_registry.client.channel import ChannelOptions
from orion_registry.client.environment import Environment
from orion_registry.client.failures import registry_error
from orion_registry.client.trace_context import trace_metadata
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.request import WAIT_MAX_S
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, NotFound, RegistryError, ResourceExhausted, Unavailable, bad_field
from orion_registry.wire.service import Service
from orion_registry.wire.status import DETAILS_KEY
from orion_registry_pb.agent.v1.agent_pb2 import CallRequest, CallResponse

if TYPE_CHECKING:  # it makes these
    from orion_registry.client.balancer import BalancerClient

LONGEST_S: Final = 1e9
"""That a call may take, 30 years: gRPC's clock overflows at 292, and then a call has timed out before it begins."""
LINES: Final = 256
"""Connections to agents that are kept; those not in use go first."""

ANSWER_S: Final = 0.5
"""How much longer than a call may last the registry may take to say that the wait for a slot was in vain."""


class CallError(Exception):
    """A call that an agent was given did not succeed. `service` is the agent's."""

    def __init__(self, message: str, service: Service) -> None:
        super().__init__(message)
        self.service = service


class CallFailed(CallError):
    """The capability itself failed: it raised, and this is what the agent says of it."""


class AgentUnreachable(CallError):
    """The connection to the agent failed. Whether the call took effect is not known."""


class CallTimedOut(CallError, TimeoutError):
    """The agent did not answer in time. Whether the call took effect is not known."""


class AgentCalls:
    """Calls by one `BalancerClient`; belongs to its event loop. Keeps a connection to each agent called."""

    def __init__(
        self,
        balancer: "BalancerClient",
        options: ChannelOptions,
        environment: Environment,
        late: Callable[[float], RegistryError],
    ) -> None:
        self._balancer = balancer
        self._late = late
        self._lines = _Lines(options)
        self._env = environment

    async def close(self) -> None:
        """Closes all connections."""
        await self._lines.close()

    async def call(
        self,
        capability: str,
        arguments: Mapping[str, Any] | None,
        selector: Selector,
        *,
        timeout_s: float,
        affinity_key: str,
        idempotent: bool,
    ) -> Any:
        """See `BalancerClient.call`."""
        if not timeout_s > 0.0:
            raise bad_field("timeout_s", "above 0 seconds", timeout_s)
        request = CallRequest(capability=capability, arguments=dump_arguments(arguments or {}))
        if capability not in selector.capabilities:
            selector = replace(selector, capabilities=(*selector.capabilities, capability))
        give_up_at = self._env.now() + timeout_s
        failed: dict[str, RegistryError | CallError] = {}
        while True:
            async with AsyncExitStack() as held:
                left_s = max(0.0, give_up_at - self._env.now())
                choice = self._balancer.select(
                    selector,
                    wait_s=min(left_s, WAIT_MAX_S),
                    exclude=tuple(failed),
                    affinity_key=affinity_key,
                )
                try:
                    async with asyncio.timeout(left_s + ANSWER_S):
                        selection = await held.enter_async_context(choice)
                except TimeoutError:
                    raise next(reversed(failed.values()), None) or self._late(timeout_s) from None
                except (NotFound, Unavailable, ResourceExhausted):
                    if failed:  # they were all that there are: what the last one said tells more
                        raise next(reversed(failed.values())) from None
                    raise
                left_s = give_up_at - self._env.now()
                if left_s <= 0.0:  # the slot came with the last moment: nothing is known of the agent
                    selection.outcome = Outcome.UNKNOWN
                    raise self._late(timeout_s)
                try:
                    return await self._call_at(selection.service, request, left_s)
                except InvalidArgument:
                    selection.outcome = Outcome.UNKNOWN  # the caller's fault: no agent may be ejected for it
                    raise
                except (Unavailable, ResourceExhausted) as error:  # it did not begin
                    selection.outcome = Outcome.UNKNOWN
                    failed[selection.service.service_id] = error
                except AgentUnreachable as error:
                    selection.outcome = Outcome.FAILED
                    failed[selection.service.service_id] = error
                    if not idempotent:
                        raise

    async def _call_at(self, service: Service, request: CallRequest, timeout_s: float) -> Any:
        async with self._lines.line(service.address) as channel:
            method: grpc.aio.UnaryUnaryMultiCallable[CallRequest, CallResponse] = channel.unary_unary(
                METHOD, CallRequest.SerializeToString, CallResponse.FromString
            )
            call = method(request, timeout=min(timeout_s, LONGEST_S), metadata=trace_metadata())
            try:
                answer: CallResponse = await call
            except grpc.aio.AioRpcError as failure:
                raise _error_of(failure, service) from None
            except asyncio.CancelledError:
                if cancelled_from_outside():
                    raise
                raise AgentUnreachable(f"the call to {service.address} was cut off", service) from None
            finally:
                call.cancel()  # an abandoned call is never collected (grpc#43462)
        try:
            return json.loads(answer.result)
        except (ValueError, RecursionError) as error:
            who = f"agent {service.agent_id} at {service.address}"
            raise CallFailed(f"{who} answered what is not JSON: {error}", service) from None


def _error_of(failure: grpc.aio.AioRpcError, service: Service) -> RegistryError | CallError:
    """What a failed call means: a refusal of the agent's, or how it failed."""
    if any(key == DETAILS_KEY for key, _ in failure.trailing_metadata() or ()):
        return registry_error(failure, service.address)
    who, said = f"agent {service.agent_id} at {service.address}", failure.details() or failure.code().name
    match failure.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return CallTimedOut(f"{who} did not answer in time", service)
        case grpc.StatusCode.UNKNOWN:
            return CallFailed(f"{who}: {said}", service)
        case grpc.StatusCode.UNIMPLEMENTED:
            return CallFailed(f"{who} does not serve {METHOD}: it was not made with Agent", service)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return CallFailed(f"{who}: {said}", service)  # a message over its limit
        case _:
            return AgentUnreachable(f"cannot reach {who} ({said})", service)


class _Line:
    """One connection. users: calls on it now."""

    __slots__ = ("channel", "users")

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.users = 0


class _Lines:
    """Connections by address, the last used last."""

    def __init__(self, options: ChannelOptions) -> None:
        self._options = options
        self._open: OrderedDict[str, _Line] = OrderedDict()

    @asynccontextmanager
    async def line(self, address: str) -> AsyncIterator[grpc.aio.Channel]:
        """A connection, for one call. One that failed is not used again: the address may be another's by then."""
        line = self._open.get(address)
        if line is None:
            line = self._open[address] = _Line(grpc.aio.insecure_channel(address, options=self._options))
        self._open.move_to_end(address)
        line.users += 1
        try:
            yield line.channel
        except AgentUnreachable:
            if self._open.get(address) is line:
                del self._open[address]
            raise
        finally:
            line.users -= 1
            if self._open.get(address) is not line and not line.users:
                await line.channel.close()
            await self._shed()

    async def _shed(self) -> None:
        while len(self._open) > LINES:
            idle = next((address for address, line in self._open.items() if not line.users), None)
            if idle is None:
                return
            await self._open.pop(idle).channel.close()

    async def close(self) -> None:
        """Closes all; calls on them end."""
        while self._open:
            await self._open.popitem()[1].channel.close()
