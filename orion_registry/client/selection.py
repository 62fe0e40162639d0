"""A selection as its caller holds it."""

import asyncio
from collections.abc import Callable
from typing import ClassVar

from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.performance import Outcome
from orion_registry.errors import NotFound, Reason, RegistryError
from orion_registry.wire.service import Service
from orion_registry.wire.status import decode_error
from orion_registry_pb.v1.balancer_pb2 import RouteResult


class Selection:
    """A service with a slot on it, reserved until it is released; kept alive meanwhile.

    Attributes:
        leased: True: its slot is reserved with the registry (`LocalSelection`: not).
        selection_id: names the lease.
        service: as it was when it was selected.
        outcome: what became of the call; set it inside the block if the registry is to hear something else than how
            the block ended.
        holds: whether the slot is still reserved. False once it was released, and once the registry, in reach again,
            says that it ended by itself: it was restarted, or out of reach for too long.
        lost: set as soon as the registry says that the service has died or was removed: the call is likely to be lost.
        why_lost: the reason; None if it was removed, or is not lost.
    """

    __slots__ = ("_timer", "began", "holds", "lost", "outcome", "selection_id", "service", "ttl_s", "why_lost")

    leased: ClassVar[bool] = True

    def __init__(self, selection_id: str, service: Service, ttl_s: float, began: float) -> None:
        self.selection_id = selection_id
        self.service = service
        self.ttl_s = ttl_s
        self.began = began
        self.outcome: Outcome | None = None
        self.holds = True
        self.lost = asyncio.Event()
        self.why_lost: StatusReasonCode | None = None
        self._timer: asyncio.TimerHandle | None = None

    def renew_later(self, renew: Callable[["Selection"], None], delay_s: float | None = None) -> None:
        """Calls `renew` in so many seconds; None = when half of its ttl is over."""
        self.rest()
        delay_s = self.ttl_s / 2 if delay_s is None else delay_s
        self._timer = asyncio.get_running_loop().call_later(delay_s, renew, self)

    def rest(self) -> None:
        """No renewal any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def outcome_of(error: BaseException | None) -> Outcome:
    """What the end of a block says of the call in it."""
    if error is None:
        return Outcome.SUCCEEDED
    if isinstance(error, TimeoutError):
        return Outcome.TIMED_OUT
    return Outcome.FAILED if isinstance(error, Exception) else Outcome.CANCELLED  # a cancelled task, Ctrl-C


def refusal_of(result: RouteResult) -> RegistryError | None:
    """Why the one lease of a renewal is not renewed; None: it is."""
    if result.WhichOneof("result") == "error":
        return decode_error(result.error)
    for renewal in result.renew.renewals:
        return decode_error(renewal.error) if renewal.HasField("error") else None
    return NotFound(Reason.NO_SUCH_LEASE, "selection_id: the registry says nothing of it")
