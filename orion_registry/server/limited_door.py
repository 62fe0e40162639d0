"""The door with limits: how fast each identity may call, how much it may hold open, and how often it was refused.

Without an identity nothing is limited here, and next to nothing is paid for that: who is nobody in particular can be
told from nobody else, so a limit would only let one caller shut out all others.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rates import Hold, Rates
from orion_registry.core.model import Actor
from orion_registry.core.registry import Registry
from orion_registry.errors import PermissionDenied, RegistryError
from orion_registry.server.door import Admission, Check, Door, Gate
from orion_registry.server.identity import Context, Identify
from orion_registry.server.methods import Kind, Method

_WATCHES = frozenset({"WatchServices", "WatchEvents"})

_MESSAGES = {"Route": Cost.REPORT, "Heartbeat": Cost.REPORT, "ServerReflectionInfo": Cost.READ}
"""What each message of a stream costs that goes both ways: as much as the unary call that does the same, so that a
stream is no way around. A beat is never brought here: a stream has an allowance of its own for what beats change."""


class LimitedDoor(Door):
    """Lets calls in as fast as their identities may call."""

    def __init__(
        self,
        gate: Gate,
        registry: Callable[[], Registry],
        *,
        identify: Identify | None = None,
        prove_member: Identify | None = None,
        rates: Rates,
        clock: Callable[[], float],
    ) -> None:
        """Args: as `Door`; rates: of identities; clock: monotonic seconds."""
        super().__init__(gate, registry, identify=identify, prove_member=prove_member)
        self._rates = rates
        self._clock = clock

    def admission(self, method: Method) -> Admission:
        """See `Door`. Who may not call the method at all is charged for it all the same."""
        admit, cost, rates, clock = super().admission(method), method.cost, self._rates, self._clock
        lasting = method.kind is not Kind.UNARY and cost is Cost.STREAM
        hold = Hold.WATCH if method.name in _WATCHES else Hold.STREAM

        def limited(context: Context) -> Actor:
            try:
                actor = admit(context)
            except PermissionDenied:
                if not method.for_members:
                    rates.take(self._identify(context).identity, cost, clock())
                raise
            if actor.identity:
                rates.take(actor.identity, cost, clock())
                if lasting:
                    rates.open(actor.identity, hold)
                    over: Any = partial(_close, rates, actor.identity, hold)  # what its type wants, nobody can make
                    context.add_done_callback(over)
            return actor

        return limited

    def check(self, method: Method) -> Check:
        """See `Door`. It is charged first: what is refused costs as much."""
        check, rates, clock = super().check(method), self._rates, self._clock
        if method.kind is not Kind.BIDI:
            return check
        cost = _MESSAGES[method.name]

        def limited(request: Any, actor: Actor) -> None:
            if actor.identity:
                rates.take(actor.identity, cost, clock(), units_of(request))
            check(request, actor)

        return limited

    def refused(self, method: Method, context: Context, error: RegistryError) -> None:
        """See `Door`."""
        self._registry().refused.note(error)
        super().refused(method, context, error)


def units_of(request: Any) -> int:
    """How many calls a message of a stream is worth: each service that a heartbeat frame names is one."""
    if request.DESCRIPTOR.name != "HeartbeatRequest":
        return 1
    match request.WhichOneof("frame"):
        case "hello":
            return max(1, len(request.hello.sessions))
        case "attach":
            return max(1, len(request.attach.sessions))
        case "detach":
            return max(1, len(request.detach.service_ids))
        case _:
            return 1


def _close(rates: Rates, identity: str, hold: Hold, _context: Context) -> None:
    rates.close(identity, hold)
