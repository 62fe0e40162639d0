"""Who calls, and what it may do: by certificate, by bearer token, by both, or by the way it came."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import grpc.aio

from orion_registry.core.access.rights import Rights
from orion_registry.core.access.tokens import Token
from orion_registry.core.model import Actor
from orion_registry.errors import Reason, Unauthenticated
from orion_registry.runtime.clock import Clock
from orion_registry.server.access import Access
from orion_registry.server.peer import peer_address
from orion_registry.server.peer_identity import certificate_names

Context = grpc.aio.ServicerContext[Any, Any]
Identify = Callable[[Context], Actor]
"""Who calls. Raises Unauthenticated if nobody can tell."""

HEADER: Final = "authorization"
SCHEME: Final = "Bearer "
UNIX: Final = "unix:"
ACTORS_KEPT: Final = 4_096


def anybody(context: Context) -> Actor:
    """Who calls, where nobody has to prove it: whoever it is may do everything."""
    return _machine_owner(context.peer())


@lru_cache(maxsize=ACTORS_KEPT)
def actor_of(identity: str, rights: Rights, peer: str) -> Actor:
    """An actor; the same one for the same arguments, for most calls of a connection are of one."""
    return Actor(identity=identity, rights=rights, address=peer_address(peer))


@lru_cache(maxsize=ACTORS_KEPT)
def _machine_owner(peer: str) -> Actor:
    return Actor(address=peer_address(peer))


class Identities:
    """Says who calls, where that is known."""

    def __init__(self, access: Access, clock: Clock) -> None:
        """access: what counts now; clock: tokens end by its wall clock."""
        self._access = access
        self._certified = access.certified
        self._clock = clock

    def __call__(self, context: Context) -> Actor:
        """Who calls.

        Raises:
            Unauthenticated: NO_IDENTITY, neither a certificate nor a token says so, or they do not agree.
        """
        peer = context.peer()
        token = self._token(context)
        if not self._certified or peer.startswith(UNIX):
            if token is not None:
                return actor_of(token.identity, token.rights, peer)
            if peer.startswith(UNIX):
                return _machine_owner(peer)  # its directory and mode say who gets here: the machine's owner
            message = (
                f"{HEADER}: must be '{SCHEME}' and a token, got nothing: make one (orion-registry token create) and "
                "give it to the client (ORION_TOKEN_FILE)"
            )
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        names = certificate_names(context.auth_context())
        if not names:
            message = "the client certificate has no URI or DNS name (subjectAltName) that could be an identity"
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        if token is None:
            return actor_of(names[0], self._access.book.rights_of(names[0]), peer)
        if token.identity not in names:
            # Behind another certificate a stolen token is worth nothing.
            message = f"{HEADER}: token {token.token_id} is of another identity than the client certificate"
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        return actor_of(token.identity, token.rights, peer)

    def bearer(self, authorization: str, address: str) -> Actor:
        """Who calls where there are no certificates, over HTTP: by token alone. authorization: the header's text.

        Raises:
            Unauthenticated: NO_IDENTITY, it is no token that counts, or none do here.
        """
        tokens = self._access.tokens
        if tokens is None:
            message = (
                "this registry knows its callers by certificates alone, which HTTP does not show: set tokens_file too "
                "(orion-registry token create --role viewer), or use gRPC"
            )
            raise Unauthenticated(Reason.NO_IDENTITY, message)
        if not authorization:
            raise Unauthenticated(Reason.NO_IDENTITY, f"{HEADER}: must be '{SCHEME}' and a token, got nothing")
        text = authorization.removeprefix(SCHEME) if authorization.startswith(SCHEME) else ""
        token = tokens.bearer(text, self._clock.now().wall)
        return Actor(identity=token.identity, rights=token.rights, address=address)

    def _token(self, context: Context) -> Token | None:
        """The token that a call shows, if tokens are known here; what else stands in the header is refused."""
        tokens = self._access.tokens
        if tokens is None:
            return None
        shown = [value for key, value in context.invocation_metadata() or () if key == HEADER]
        if not shown:
            return None
        if len(shown) > 1:
            raise Unauthenticated(Reason.NO_IDENTITY, f"{HEADER}: must be given once, got {len(shown)} of them")
        text = str(shown[0])
        # A text without the scheme has the form of no token either: the book says what is wanted.
        return tokens.bearer(text.removeprefix(SCHEME) if text.startswith(SCHEME) else "", self._clock.now().wall)
