"""What every call passes before its handler, and what is noted of those that are turned away.

Who calls, and whether it may do that there, hang here, on the one method table; handlers see the `Actor` alone.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from orion_registry.core.access.rights import EVERYTHING
from orion_registry.core.model import Actor
from orion_registry.core.registry import Registry
from orion_registry.errors import Reason, RegistryError, Unavailable
from orion_registry.runtime.audit import is_denial
from orion_registry.server.identity import Context, Identify, anybody
from orion_registry.server.methods import Method
from orion_registry.server.peer import peer_address
from orion_registry.server.scopes import Call

Gate = Callable[[], bool]
"""Whether the registry serves; methods that are not `always` answer NOT_SERVING otherwise."""
Admission = Callable[[Context], Actor]
"""Lets a call in, before its message is read. Raises RegistryError if it may not go on."""
Check = Callable[[Any, Actor], None]
"""Judges a message. Raises RegistryError if its sender may not do that there."""
Tell = Callable[[Actor, str, RegistryError], None]
"""Hears of a denial: who, the method's name, and what it was told."""

log = logging.getLogger("orion_registry")

NOT_SERVING_RETRY_S = 0.5
UNJUDGED = "what this stream may still do could not be found out: open it again"
JUDGED_AT_ONCE = 100
"""Open calls that are judged anew before others get their turn: about a millisecond."""


class OpenCall(Protocol):
    """A stream that lasts longer than what its caller was let in for may."""

    method: Method
    context: Context

    def go_on_as(self, actor: Actor) -> None:
        """Its caller is who it was, and may do this. Raises RegistryError if that is not so."""

    def end(self, error: RegistryError) -> None:
        """Ends it."""


class Door:
    """Lets calls in."""

    def __init__(
        self,
        gate: Gate,
        registry: Callable[[], Registry],
        *,
        identify: Identify | None = None,
        prove_member: Identify | None = None,
    ) -> None:
        """Args: gate; registry: where services are looked up; identify: who calls, None = anybody; prove_member: lets
        in what members alone may call, None = anybody, for it carries a token.
        """
        self._gate = gate
        self._tell: Tell | None = None
        self._registry = registry
        self._identify = identify or anybody
        self._prove_member = prove_member or anybody
        self._calls: set[OpenCall] = set()
        self._ended: WeakKeyDictionary[RegistryError, tuple[Actor, str]] = WeakKeyDictionary()

    def admission(self, method: Method) -> Admission:
        """What calls of a method pass: the gate, who they are, and whether they have one of its roles at all."""
        always, gate, identified = method.always, self._gate, self._identified(method)

        def admit(context: Context) -> Actor:
            if not always and not gate():
                raise Unavailable(
                    Reason.NOT_SERVING, "the registry is starting or stopping", retry_after_s=NOT_SERVING_RETRY_S
                )
            return identified(context)

        return admit

    def _identified(self, method: Method) -> Identify:
        """Who calls a method, if it may at all."""
        if method.is_open:
            return anybody
        if method.for_members:
            return self._prove_member
        identify = self._identify

        def identified(context: Context) -> Actor:
            actor = identify(context)
            method.require_role(actor)
            return actor

        return identified

    def check(self, method: Method) -> Check:
        """What each message of a method passes: whether its sender has one of the roles where it reaches."""
        name, roles, scope, registry = method.name, method.roles, method.scope, self._registry

        def check(request: Any, actor: Actor) -> None:
            if actor.rights is not EVERYTHING:
                scope(Call(request, actor, name, roles, registry()))

        return check

    def judge_relayed(self, method: Method, request: Any, actor: Actor) -> None:
        """What a call passes that another member makes for its caller, whom that member has identified: all that a call
        of the caller's own would pass here.

        Raises:
            RegistryError: the caller may not do that there.
        """
        method.require_role(actor)
        self.check(method)(request, actor)

    def refused(self, method: Method, context: Context, error: RegistryError) -> None:
        """Takes note of a call that ends with an error of the registry's, wherever it was refused."""
        if self._tell is None or not is_denial(error):
            return
        if (known := self._ended.get(error)) is not None:
            self._tell(*known, error)
            return
        try:
            actor = self._identify(context)
        except RegistryError:  # nobody can tell who it is: that is why it was refused
            actor = Actor(address=peer_address(context.peer()))
        self._tell(actor, method.name, error)

    def ends(self, actor: Actor, error: RegistryError, method: Method) -> None:
        """An error ends a call of somebody who was let in; by then `refused` may not find out any more who that is, or
        which method it was, if another member made the call.
        """
        self._ended[error] = actor, method.name

    def tell_refusals(self, tell: Tell) -> None:
        """From now on `tell` hears of each denial."""
        self._tell = tell

    @contextmanager
    def holding(self, call: OpenCall) -> Iterator[None]:
        """While a stream is open, its caller may lose what it was let in for; see `judge_again`."""
        if call.method.is_open:
            yield
            return
        self._calls.add(call)
        try:
            yield
        finally:
            self._calls.discard(call)

    def judge(self, call: OpenCall) -> None:
        """Whether an open call would be let in now; it counts as no further one. Raises RegistryError if not."""
        call.go_on_as(self._identified(call.method)(call.context))

    async def judge_again(self) -> None:
        """Somebody may do more or less than before: ends the open streams of those who are let in no more."""
        for number, call in enumerate(tuple(self._calls), 1):
            if call in self._calls:
                self._judge_or_end(call)
            if number % JUDGED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _judge_or_end(self, call: OpenCall) -> None:
        """Whatever becomes of one call, the others are judged too; one that cannot be judged does not go on."""
        try:
            try:
                self.judge(call)
            except RegistryError as error:
                call.end(error)
            except Exception:
                call.end(Unavailable(Reason.NOT_SERVING, UNJUDGED, retry_after_s=NOT_SERVING_RETRY_S))
                raise
        except Exception:
            log.exception("an open call could not be judged anew", extra={"method": call.method.name})
