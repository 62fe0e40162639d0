"""What a member sees of its cluster, and what it asks of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orion_registry.core.facts import Stored
from orion_registry.core.membership import Member
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.core.standing import Standing


@dataclass(slots=True, kw_only=True)
class News:
    """What other members have done, in the order in which it is to be taken in. Of each thing the last state.

    Attributes:
        members: who is there, new or changed, by name. missing: names of those who are not any more.
        removed: services that are gone, or were before they came again.
        records, standings: of services, by service_id.
        overlays: what operators set, by natural key. cleared: keys of what they cleared.
        epochs_below: the bound of all epochs, if it was raised; else 0.
    """

    members: dict[str, Member] = field(default_factory=dict)
    missing: dict[str, None] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    standings: dict[str, Standing] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    overlays: dict[str, Overlay] = field(default_factory=dict)
    cleared: dict[str, None] = field(default_factory=dict)
    epochs_below: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What was there when this member came."""

    stored: Stored
    standings: Mapping[str, Standing]
    members: Sequence[Member]


class Listener(Protocol):
    """The member's own side. Must not raise."""

    def news(self, news: News) -> None:
        """Takes in what others have done."""
        ...

    def replaced(self) -> None:
        """Another daemon has taken this member's name: it is out."""
        ...

    def standing(self, service_id: str) -> Standing | None:
        """How a service stands here that is ours; None = it is not ours, or gone."""
        ...

    def standing_with(self, record: Record) -> Standing | None:
        """What goes with a record that is about to be stored here: that it is ours, if it is new or claimed anew."""
        ...

    def standing_to_take(self, service_id: str) -> Standing | None:
        """What to say of a service when it is taken; None = it is ours already, or gone."""
        ...

    def taken(self, service_id: str) -> None:
        """A service that was asked for is ours."""
        ...


class Cluster(Protocol):
    """What holds the members together."""

    @property
    def stale_s(self) -> float:
        """How old what is known of other members may be: 0 while it is heard of, else seconds since it was."""
        ...

    @property
    def trouble(self) -> str:
        """Why the cluster cannot be reached, as far as that is known; empty while it can."""
        ...

    async def join(self, listener: Listener) -> Joined:
        """Makes this member known, and reads what is there; from then on the listener hears of news.

        Raises:
            StoreFailed: it cannot be reached, or read.
        """
        ...

    def touched(self, service_id: str) -> None:
        """How a service of ours stands may have changed: it is stored soon."""
        ...

    async def take(self, service_ids: Sequence[str]) -> None:
        """Makes services ours that are another's, or nobody's. `Listener.taken` hears of each that is.

        Raises:
            StoreFailed: it could not be stored; some of them may be ours by now.
        """
        ...

    async def refresh(self, service_id: str) -> bool:
        """Reads a service as it is now, however far behind news is; whether there was anything new of it.

        Raises:
            StoreFailed: it cannot be read.
        """
        ...

    async def reserve_epochs(self, block: int, above: int) -> tuple[int, int]:
        """Reserves a block of epochs of our own, above this one at least; returns its first and its upper bound.

        Raises:
            StoreFailed: it is not stored.
        """
        ...

    async def leave(self) -> None:
        """Makes it known that this member goes."""
        ...


class Peers(Protocol):
    """The other members, as far as they can be spoken to."""

    def reachable(self, life: str) -> bool:
        """Whether a member answers."""
        ...

    @property
    def streams(self) -> Mapping[str, int]:
        """Heartbeat streams of each member that tells, by life."""
        ...

    def know(self, members: Collection[Member]) -> None:
        """Who is there now, but for this member. Who is gone from etcd and answers yet is known until it does not."""
        ...

    def member(self, life: str) -> Member | None:
        """A member that is known."""
        ...

    async def hand_over(self, member: Member, service_ids: Sequence[str]) -> Mapping[str, Sequence[float]] | None:
        """Has a member give no slots any more of services that are its no longer.

        Returns:
            For each of them the seconds that are left of each lease that it has granted and that is still held. None =
            there is no such process any more, or it stops.

        Raises:
            RegistryError: it does not answer, so it may be granting still.
        """
        ...
