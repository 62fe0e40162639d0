"""Who may read what over HTTP: every route stands for an RPC of the method table, and asks for that one's roles."""

from typing import Any, Protocol

from orion_registry.core.access.rights import EVERYTHING
from orion_registry.core.model import Actor
from orion_registry.core.registry import Registry
from orion_registry.errors import PermissionDenied, Reason, Unauthenticated, Unavailable
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.methods import METHODS, Method
from orion_registry.server.scopes import Call

_BY_NAME = {method.name: method for method in METHODS if method.service.startswith("orion.")}


class Authenticate(Protocol):
    """Who calls."""

    def __call__(self, authorization: str, address: str) -> Actor:
        """The caller, from the Authorization header (empty: there was none) and the peer's address.

        Raises:
            Unauthenticated: NO_IDENTITY.
        """
        ...


def anybody(authorization: str, address: str) -> Actor:
    """Whoever reaches the port may read everything."""
    return Actor(address=address)


def nobody(authorization: str, address: str) -> Actor:
    """Clients prove who they are by certificates, which this port does not ask for."""
    message = "this registry knows its clients by certificates alone, and HTTP has none: use gRPC"
    raise Unauthenticated(Reason.NO_IDENTITY, message)


class Access:
    """Lets requests in."""

    def __init__(self, coordinator: Coordinator, authenticate: Authenticate) -> None:
        self._coordinator = coordinator
        self._authenticate = authenticate

    @property
    def _registry(self) -> Registry:
        return self._coordinator.registry

    def admit(self, method: Method, authorization: str, address: str) -> Actor:
        """Who calls, if that one may call the RPC at all.

        Raises:
            RegistryError: not serving, not known, or without a role of the method's.
        """
        if not method.always and not self._coordinator.serving:
            raise Unavailable(Reason.NOT_SERVING, "the registry is starting or stopping", retry_after_s=0.5)
        actor = self._authenticate(authorization, address)
        if actor.rights is not EVERYTHING and not actor.rights.anywhere(method.roles):
            wanted = ", ".join(sorted(method.roles))
            raise PermissionDenied(Reason.NOT_ALLOWED, f"{method.name} may be called by: {wanted}")
        return actor

    def check(self, method: Method, request: Any, actor: Actor) -> None:
        """Judges a request as the RPC would.

        Raises:
            RegistryError: its sender may not do that there.
        """
        if actor.rights is not EVERYTHING:
            method.scope(Call(request, actor, method.name, method.roles, self._registry))


def method_of(rpc: str) -> Method:
    """The row of the method table that an RPC has."""
    return _BY_NAME[rpc]
