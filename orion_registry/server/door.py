"""What every call passes before its handler, and what is noted of those that are turned away.

Who calls, whether it may, and at what rate hang here, on the one method table; handlers see the `Actor` alone.
"""

import functools
from collections.abc import Callable
from typing import Any

import grpc.aio

from orion_registry.core.model import Actor
from orion_registry.errors import PermissionDenied, Reason, RegistryError, Unauthenticated, Unavailable
from orion_registry.server.methods import Method
from orion_registry.server.peer import peer_address
from orion_registry.server.peer_identity import certificate_names

Context = grpc.aio.ServicerContext[Any, Any]
Gate = Callable[[], bool]
"""Whether the registry serves; methods that are not `always` answer NOT_SERVING otherwise."""
Admission = Callable[[Context], Actor]
"""Who calls. Raises RegistryError if the call may not go on."""

NOT_SERVING_RETRY_S = 0.5


class Door:
    """Lets calls in."""

    def __init__(self, gate: Gate, *, certificates: bool = False) -> None:
        """Args: gate; certificates: clients over TCP show one, which names them."""
        self._gate = gate
        self._actor = certified_actor if certificates else actor_of

    def admission(self, method: Method) -> Admission:
        """What calls of a method pass: the gate, then the roles."""
        always, roles, gate, actor_of = method.always, method.roles, self._gate, self._actor

        def admit(context: Context) -> Actor:
            if not always and not gate():
                raise Unavailable(
                    Reason.NOT_SERVING, "the registry is starting or stopping", retry_after_s=NOT_SERVING_RETRY_S
                )
            actor = actor_of(context)
            if actor.roles.isdisjoint(roles):
                wanted = ", ".join(sorted(roles))
                raise PermissionDenied(Reason.NOT_ALLOWED, f"{method.name} may be called by: {wanted}")
            return actor

        return admit

    def refused(self, method: Method, context: Context, error: RegistryError) -> None:
        """Takes note of a call that ends with an error of the registry's, wherever it was refused."""


def actor_of(context: Context) -> Actor:
    """Who calls, where nobody shows a certificate: whoever it is has every role."""
    return _actor("", context.peer())


def certified_actor(context: Context) -> Actor:
    """Who calls, where clients show certificates: the first name in it. On a Unix socket, the machine's owner.

    Raises:
        Unauthenticated: NO_IDENTITY, the certificate has no name that could be one.
    """
    peer = context.peer()
    if peer.startswith("unix:"):
        return _actor("", peer)
    names = certificate_names(context.auth_context())
    if not names:
        message = "the client certificate has neither a URI nor a DNS name (subjectAltName) that could be an identity"
        raise Unauthenticated(Reason.NO_IDENTITY, message)
    return _actor(names[0], peer)


@functools.lru_cache(maxsize=1024)
def _actor(identity: str, peer: str) -> Actor:
    return Actor(identity=identity, address=peer_address(peer))
