"""Who may read what over HTTP: every route stands for an RPC of the method table, and asks for that one's roles.

What is held of calls over gRPC is held here too: the rates of identities, and that each denial is audited.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from orion_registry.core.access.rates import Hold
from orion_registry.core.access.rights import EVERYTHING
from orion_registry.core.model import Actor
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.audit import is_denial
from orion_registry.server.door import NOT_SERVING_RETRY_S
from orion_registry.server.methods import METHODS, Method
from orion_registry.server.scopes import Call, judge_as_begun
from orion_registry.server.side_door import Authenticate, Served

_BY_NAME = {method.name: method for method in METHODS if method.service.startswith("orion.")}


def anybody(authorization: str, address: str) -> Actor:
    """Whoever reaches the port may read everything."""
    return Actor(address=address)


class Access:
    """Lets requests in."""

    def __init__(self, served: Served, authenticate: Authenticate) -> None:
        self._coordinator = served.coordinator
        self._rates = served.rates
        self._authenticate = authenticate

    def admit(self, method: Method, request: web.Request) -> Actor:
        """Who calls, if that one may call the RPC at all, and now.

        Raises:
            RegistryError: not serving, not known, without a role of the method's, or too fast.
        """
        if not method.always and not self._coordinator.serving:
            raise Unavailable(
                Reason.NOT_SERVING, "the registry is starting or stopping", retry_after_s=NOT_SERVING_RETRY_S
            )
        with self._noting(method, request):
            actor = self._known(request)
            if actor.identity:  # what is denied costs as much
                self._rates.take(actor.identity, method.cost, self._coordinator.selections.now().mono)
            method.require_role(actor)
            return actor

    def check(self, method: Method, wanted: Any, actor: Actor, request: web.Request) -> None:
        """Judges a request as the RPC would.

        Raises:
            RegistryError: its sender may not do that there.
        """
        with self._noting(method, request):
            self.judge(method, wanted, actor)

    def judge(self, method: Method, wanted: Any, actor: Actor) -> None:
        """The same, of what nobody has asked for by name: a refusal is not told to anybody."""
        if actor.rights is not EVERYTHING:
            method.scope(Call(wanted, actor, method.name, method.roles, self._coordinator.registry))

    def judge_again(self, method: Method, wanted: Any, actor: Actor, request: web.Request) -> None:
        """Who opened a stream may do less than then.

        Raises:
            RegistryError: it may not have it any more.
        """
        if actor.identity:
            now = self._known(request)
            method.require_role(now)
            judge_as_begun(method.name, wanted, lambda asked: self.judge(method, asked, now))

    @contextmanager
    def holding(self, actor: Actor) -> Iterator[None]:
        """While a stream is open. Raises ResourceExhausted if as many are open as the identity may hold."""
        if not actor.identity:
            yield
            return
        try:
            self._rates.open(actor.identity, Hold.WATCH)
        except RegistryError as error:
            self._coordinator.registry.refused.note(error)
            raise
        try:
            yield
        finally:
            self._rates.close(actor.identity, Hold.WATCH)

    def _known(self, request: web.Request) -> Actor:
        return self._authenticate(_shown(request), request.remote or "")

    @contextmanager
    def _noting(self, method: Method, request: web.Request) -> Iterator[None]:
        """Notes what is refused, as `Door.refused`."""
        try:
            yield
        except RegistryError as error:
            self._coordinator.registry.refused.note(error)
            if is_denial(error):
                self._coordinator.audit.refused(self._caller(request), method.name, error)
            raise

    def _caller(self, request: web.Request) -> Actor:
        """Who it is, as far as can be told."""
        address = request.remote or ""
        try:
            return self._authenticate(_shown(request), address)
        except RegistryError:
            return Actor(address=address)


def _shown(request: web.Request) -> str:
    """What stands in the header of tokens. One that is given twice is joined (RFC 9110 section 5.3), and so no token:
    what stands before this port may have looked at the other one.
    """
    return ", ".join(request.headers.getall("Authorization", ()))


def method_of(rpc: str) -> Method:
    """The row of the method table that an RPC has."""
    return _BY_NAME[rpc]
