"""`BalancerClient`, for threads."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from orion_registry.client import balancer as aio
from orion_registry.client import selection as aio_selection
from orion_registry.client.credentials import Credentials
from orion_registry.client.selection import outcome_of
from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.sync.blocking import Blocking, Flag
from orion_registry.sync.loop import LoopThread, shared
from orion_registry.wire.service import Service


class Selection:
    """As `orion_registry.client.selection.Selection`, for threads.

    Attributes:
        lost: set as soon as the registry says that the service is gone; `lost.wait(timeout_s)` waits for it.
    """

    __slots__ = ("_inner", "lost")

    def __init__(self, loop: LoopThread, inner: aio_selection.Selection) -> None:
        self._inner = inner
        self.lost = Flag(loop, inner.lost)

    @property
    def selection_id(self) -> str:
        """Names the lease."""
        return self._inner.selection_id

    @property
    def service(self) -> Service:
        """As it was when it was selected."""
        return self._inner.service

    @property
    def ttl_s(self) -> float:
        """How long the slot stays reserved after this client has vanished, in seconds."""
        return self._inner.ttl_s

    @property
    def holds(self) -> bool:
        """Whether the slot is still reserved."""
        return self._inner.holds

    @property
    def why_lost(self) -> StatusReasonCode | None:
        """The reason; None if it was removed, or is not lost."""
        return self._inner.why_lost

    @property
    def outcome(self) -> Outcome | None:
        """What became of the call; set it inside the block to tell something else than how the block ended."""
        return self._inner.outcome

    @outcome.setter
    def outcome(self, outcome: Outcome | None) -> None:
        self._inner.outcome = outcome


class BalancerClient:
    """As `orion_registry.BalancerClient`, for threads; use it inside `with`."""

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        caller: str = "",
        zone: str = "",
        profile: str = "",
        timeout_s: float = aio.DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Arguments and errors as those of `orion_registry.BalancerClient`."""
        self._loop = shared()
        self._inner = aio.BalancerClient(
            address, caller=caller, zone=zone, profile=profile, timeout_s=timeout_s, credentials=credentials
        )

    def __enter__(self) -> "BalancerClient":
        self._loop.run(self._inner.__aenter__())
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self.close()
        return False

    @property
    def address(self) -> str:
        """The address that it is connected to, or tries to."""
        return self._inner.address

    @property
    def held(self) -> tuple[Selection, ...]:
        """What it holds now."""
        return tuple(Selection(self._loop, one) for one in self._loop.read(lambda: self._inner.held))

    close = Blocking(aio.BalancerClient.close)
    report = Blocking(aio.BalancerClient.report)
    call = Blocking(aio.BalancerClient.call)

    @contextmanager
    def select(
        self,
        selector: Selector,
        *,
        wait_s: float = 0.0,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        ttl_s: float | None = None,
        allow_degraded: bool = False,
        attempts: int = 1,
    ) -> Iterator[Selection]:
        """A selection for the length of a block; its end is the outcome of the call.

        Arguments, outcomes and errors as those of `orion_registry.BalancerClient.select`.
        """
        selection = self.acquire(
            selector,
            wait_s=wait_s,
            strategy=strategy,
            exclude=exclude,
            affinity_key=affinity_key,
            ttl_s=ttl_s,
            allow_degraded=allow_degraded,
            attempts=attempts,
        )
        try:
            yield selection
        except BaseException as error:
            outcome = outcome_of(error)
            self._loop.read(lambda: self._inner.finish(selection._inner, outcome))
            raise
        self._loop.read(lambda: self._inner.finish(selection._inner, Outcome.SUCCEEDED))

    def acquire(
        self,
        selector: Selector,
        *,
        wait_s: float = 0.0,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        ttl_s: float | None = None,
        allow_degraded: bool = False,
        attempts: int = 1,
    ) -> Selection:
        """A selection to be ended by `release`. It is renewed until then.

        Arguments and errors as those of `orion_registry.BalancerClient.acquire`.
        """
        selection = self._loop.run(
            self._inner.acquire(
                selector,
                wait_s=wait_s,
                strategy=strategy,
                exclude=exclude,
                affinity_key=affinity_key,
                ttl_s=ttl_s,
                allow_degraded=allow_degraded,
                attempts=attempts,
            )
        )
        return Selection(self._loop, selection)

    def release(
        self, selection: Selection, outcome: Outcome = Outcome.UNKNOWN, response_time_s: float | None = None
    ) -> None:
        """Ends a selection, and says what became of the call; as `orion_registry.BalancerClient.release`."""
        self._loop.run(self._inner.release(selection._inner, outcome, response_time_s))
