"""A selection made in the caller's own process: no slot is reserved for it anywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Literal

from orion_registry.client.selection import outcome_of
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.slots import Slots
from orion_registry.wire.service import Service

if TYPE_CHECKING:
    from orion_registry.client.local_view import LocalView


class LocalSelection:
    """A service to call. End it with `LocalView.release`, or use it in `with`: the end of the block is the outcome.

    Attributes:
        leased: False: the registry knows nothing of it, and others may take the same slot.
        service: as it was when it was selected.
        slots: what the view's balancer keeps of the service.
        began: when it was selected, by the view's clock.
        holds: whether it still counts as under way in the view: it was not released yet.
        outcome: what became of the call; set it inside the block to say something else than how the block ended.
    """

    __slots__ = ("_view", "began", "holds", "outcome", "service", "slots")

    leased: ClassVar[bool] = False

    def __init__(self, view: LocalView, service: Service, slots: Slots, began: float) -> None:
        self._view = view
        self.service = service
        self.slots = slots
        self.began = began
        self.holds = True
        self.outcome: Outcome | None = None

    def __enter__(self) -> LocalSelection:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> Literal[False]:
        if self.holds:
            self._view.release(self, outcome_of(error) if self.outcome is None else self.outcome)
        return False
