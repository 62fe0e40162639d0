"""Calls: a typed error for each that fails, and for a unary one a deadline, and nothing left behind."""

import asyncio
from typing import TypeVar

import grpc.aio

from orion_registry.calls.cancellation import cancelled_from_outside
from orion_registry.client.channel import Connection
from orion_registry.client.failures import Unreachable, registry_error
from orion_registry.client.trace_context import trace_metadata
from orion_registry.errors import Reason, RegistryError, Unauthenticated

TOKEN_RETRY_S = 1.0
"""When to try again after a token of a file was refused: somebody is about to put another one there, or the registry
has not read of it yet."""

Request = TypeVar("Request")
Response = TypeVar("Response")


def error_of(
    failure: grpc.aio.AioRpcError | asyncio.CancelledError, connection: Connection, address: str, cut_off: str = ""
) -> RegistryError:
    """The typed error of a call that failed.

    If nobody answered at its address, or who did does not serve, the next call goes to the next address.

    Args:
        failure: what reading, writing or waiting raised. A cancellation from outside is no failure: it is raised again.
        connection: that the call was made on.
        address: that it went to.
        cut_off: what to say if the call was cancelled, and the task that it was made in was not.
    """
    if isinstance(failure, asyncio.CancelledError):
        if cancelled_from_outside():
            raise failure
        error: RegistryError = Unreachable(cut_off or f"the call to {address} was cut off", address=address)
    else:
        error = registry_error(failure, address, tls=connection.tls)
    if is_no_service(error):
        connection.failed(address)
    elif isinstance(error, Unauthenticated) and connection.token_may_change:
        error.retry_after_s = TOKEN_RETRY_S  # so it passes: sessions, watches and routes try again
    return error


def is_no_service(error: RegistryError) -> bool:
    """Whether another address may do better: nobody answered, or a registry that starts or stops."""
    return isinstance(error, Unreachable) or error.reason is Reason.NOT_SERVING


async def unary(
    connection: Connection,
    method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    timeout_s: float,
) -> Response:
    """Calls `method` of the connection's stub; the answer must come within timeout_s seconds.

    Raises:
        RegistryError: the registry's own error, or `Unreachable` and its kin.
    """
    address = connection.address
    try:
        call = method(request, timeout=timeout_s, metadata=trace_metadata())
    except grpc.aio.UsageError:
        raise Unreachable("the client is closed", address=address) from None
    try:
        return await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError) as failure:
        raise error_of(failure, connection, address) from None
    finally:
        call.cancel()  # an abandoned call is never collected (grpc#43462); of a finished one this does nothing
