"""Registering a session's services, and taking them out of the registry at the end."""

import logging

from orion_registry.client.calls import unary
from orion_registry.client.channel import Connection
from orion_registry.client.environment import Environment
from orion_registry.client.holding import Holding, HoldState
from orion_registry.client.holdings import Holdings
from orion_registry.client.options import SessionOptions
from orion_registry.errors import AlreadyExists, Reason, RegistryError
from orion_registry.wire.requests import encode_ref, encode_spec
from orion_registry_pb.v1 import registry_pb2 as pb

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 5.0
"""Deadline of one RegisterService."""


async def claim(
    connection: Connection, holdings: Holdings, options: SessionOptions, environment: Environment
) -> RegistryError | None:
    """Registers every service that needs it; returns the last refusal that may pass, or None.

    Refusals that stay are noted in the service. AGENT_IN_USE is waited out here, up to options.claim_timeout_s.
    """
    give_up_at = environment.now() + options.claim_timeout_s
    last: RegistryError | None = None
    for holding in holdings.to_claim():
        error = await _claim_one(connection, holding, options)
        while error is not None and _is_worth_waiting(error, holding, environment.now(), give_up_at):
            logger.info("waiting for another session of %s to end: %s", holding.spec.service_name, error.message)
            await environment.sleep((error.retry_after_s or 0.0) * (1.0 + 0.2 * environment.draw()))
            error = await _claim_one(connection, holding, options)
        if error is not None:
            if error.reason is Reason.AGENT_IN_USE:
                holding.claim_failed(_final(error))
            else:
                holding.claim_failed(error)
            last = error if holding.state is HoldState.CLAIM else last
    return last


async def _claim_one(connection: Connection, holding: Holding, options: SessionOptions) -> RegistryError | None:
    request = pb.RegisterServiceRequest(
        service=encode_spec(holding.spec),
        request_id=holding.request_id,
        secret=holding.secret,
        takeover=options.takeover and not holding.was_held,
    )
    try:
        response = await unary(connection, connection.stub.RegisterService, request, CALL_TIMEOUT_S)
    except RegistryError as error:
        return error
    holding.registered(response.service.service_id, response.service.epoch)
    return None


def _is_worth_waiting(error: RegistryError, holding: Holding, now: float, give_up_at: float) -> bool:
    """At the start, the session in the way may be that of this agent's own dead process, not yet noticed."""
    return (
        error.reason is Reason.AGENT_IN_USE
        and error.retry_after_s is not None
        and not holding.was_held
        and now + error.retry_after_s <= give_up_at
    )


def _final(error: RegistryError) -> RegistryError:
    """AGENT_IN_USE after all waiting: it stays."""
    return AlreadyExists(Reason.AGENT_IN_USE, error.message)


async def leave(connection: Connection, holdings: Holdings, timeout_s: float) -> None:
    """Unregisters what a goodbye did not reach, best effort: without it the registry would report a crash."""
    for holding in holdings:
        if holding.state in (HoldState.RESUME, HoldState.HELD):
            request = pb.UnregisterServiceRequest(ref=encode_ref(holding.ref))
            try:
                await unary(connection, connection.stub.UnregisterService, request, timeout_s)
            except RegistryError as error:
                if error.reason is not Reason.NO_SUCH_SERVICE:
                    logger.info("could not unregister %s: %s", holding.spec.service_name, error.message)
                    return
            holding.state = HoldState.GONE
