"""One unary call: a deadline, a typed error, and nothing left behind."""

from typing import TypeVar

import grpc.aio

from orion_registry.client.channel import Connection
from orion_registry.client.failures import Unreachable, registry_error

Request = TypeVar("Request")
Response = TypeVar("Response")


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
        call = method(request, timeout=timeout_s)
    except grpc.aio.UsageError:
        raise Unreachable("the client is closed", address=address) from None
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        error = registry_error(failure, address)
        if isinstance(error, Unreachable):
            connection.failed(address)
        raise error from None
    finally:
        call.cancel()  # an abandoned call is never collected (grpc#43462); of a finished one this does nothing
