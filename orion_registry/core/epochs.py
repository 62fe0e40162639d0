"""Epochs: one store-wide counter, handed out from blocks that were stored before use."""

from orion_registry.errors import Reason, Unavailable


class EpochCounter:
    """Gives each session an epoch above all earlier ones, over crashes too.

    A block is reserved by storing its upper bound first; after a crash counting goes on above the bound, so the rest of
    the block is skipped and no epoch is given twice.
    """

    __slots__ = ("_below", "_block", "_next", "_others", "_outrun")

    def __init__(self, block: int) -> None:
        self._block = block
        self._next = 1
        self._below = 1
        self._others = 0
        self._outrun = 0

    def restore(self, below: int) -> None:
        """Goes on above everything that an earlier life may have given."""
        self._next = self._below = below

    @property
    def wanted(self) -> int | None:
        """Upper bound to store next, or None while more than half a block is left."""
        return None if self.left > self._block // 2 else self._below + self._block

    @property
    def left(self) -> int:
        """How many epochs can be given without the store."""
        return self._below - self._next

    def reserved(self, below: int) -> None:
        """The store holds this bound now. A smaller one than known changes nothing."""
        self._below = max(self._below, below)

    @property
    def below(self) -> int:
        """The stored bound: every epoch that was ever given is below it."""
        return self._below

    def beyond(self, epoch: int) -> int | None:
        """Upper bound to store before `skip` to this epoch; None if that one was passed already."""
        return None if epoch <= self._next else max(self._below, epoch + self._block)

    def skip(self, epoch: int) -> None:
        """Goes on with this epoch, unless it was passed already. The bound for it is stored: see `beyond`."""
        self._next = max(self._next, epoch)

    # Where others give epochs too, each from blocks of its own.

    def granted(self, first: int, below: int) -> None:
        """A block of our own, above all that was ever given by anybody, is stored."""
        self._next, self._below = first, below

    def outrun(self, epoch: int) -> None:
        """Another has given this one: what is given next for the same service has to be above it."""
        self._others = max(self._others, epoch)

    def overtaken(self, epoch: int) -> None:
        """From now on only epochs above this one may be given here; `is_above` says when a block is needed for that."""
        self._outrun = max(self._outrun, epoch)

    def is_above(self, epoch: int = 0) -> bool:
        """Whether what is given next is above this one, and above all that it has to be above."""
        return self._next > max(epoch, self._outrun)

    def require(self, keep: int) -> None:
        """Raises `Unavailable` unless more than `keep` epochs are left."""
        if self.left <= keep:
            raise Unavailable(Reason.STORE_DOWN, "no epochs are reserved: the store takes no writes", retry_after_s=1.0)

    def was_given(self, epoch: int) -> bool:
        """Whether this life or an earlier one may have given this epoch."""
        return 0 <= epoch < self._next or 0 <= epoch <= self._others

    def take(self) -> int:
        """The next epoch. Callers made sure by `require` that there is one."""
        epoch = self._next
        self._next += 1
        return epoch
