"""What every call passes before its handler, and what is noted of those that are turned away.

Who calls, and whether it may do that there, hang here, on the one method table; handlers see the `Actor` alone.
"""

import functools
from collections.abc import Callable
from typing import Any

import grpc.aio

from orion_registry.core.access.rights import EVERYTHING
from orion_registry.core.model import Actor
from orion_registry.core.registry import Registry
from orion_registry.errors import PermissionDenied, Reason, RegistryError, Unauthenticated, Unavailable
from orion_registry.server.methods import Method
from orion_registry.server.peer import peer_address
from orion_registry.server.peer_identity import certificate_names
from orion_registry.server.scopes import Call

Context = grpc.aio.ServicerContext[Any, Any]
Gate = Callable[[], bool]
"""Whether the registry serves; methods that are not `always` answer NOT_SERVING otherwise."""
Identify = Callable[[Context], Actor]
"""Who calls. Raises Unauthenticated if nobody can tell."""
Admission = Callable[[Context], Actor]
"""Lets a call in, before its message is read. Raises RegistryError if it may not go on."""
Check = Callable[[Any, Actor], None]
"""Judges a message. Raises RegistryError if its sender may not do that there."""

NOT_SERVING_RETRY_S = 0.5


class Door:
    """Lets calls in."""

    def __init__(
        self,
        gate: Gate,
        registry: Callable[[], Registry],
        *,
        identify: Identify | None = None,
        certificates: bool = False,
    ) -> None:
        """Args: gate; registry: where services are looked up; identify: who calls, None = by `certificates`;
        certificates: clients over TCP show one, which names them.
        """
        self._gate = gate
        self._registry = registry
        self._identify = identify or (certified_actor if certificates else actor_of)

    def admission(self, method: Method) -> Admission:
        """What calls of a method pass: the gate, who they are, and whether they have one of its roles at all."""
        always, is_open, roles, gate, identify = method.always, method.is_open, method.roles, self._gate, self._identify

        def admit(context: Context) -> Actor:
            if not always and not gate():
                raise Unavailable(
                    Reason.NOT_SERVING, "the registry is starting or stopping", retry_after_s=NOT_SERVING_RETRY_S
                )
            if is_open:
                return actor_of(context)
            actor = identify(context)
            if actor.rights is not EVERYTHING and not actor.rights.anywhere(roles):
                wanted = ", ".join(sorted(roles))
                raise PermissionDenied(Reason.NOT_ALLOWED, f"{method.name} may be called by: {wanted}")
            return actor

        return admit

    def check(self, method: Method) -> Check:
        """What each message of a method passes: whether its sender has one of the roles where it reaches."""
        name, roles, scope, registry = method.name, method.roles, method.scope, self._registry

        def check(request: Any, actor: Actor) -> None:
            if actor.rights is not EVERYTHING:
                scope(Call(request, actor, name, roles, registry()))

        return check

    def refused(self, method: Method, context: Context, error: RegistryError) -> None:
        """Takes note of a call that ends with an error of the registry's, wherever it was refused."""


def actor_of(context: Context) -> Actor:
    """Who calls, where nobody has to prove it: whoever it is may do everything."""
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
