"""Members of a cluster without etcd: what one stores or says is told to the others by hand."""

from orion_registry.core.entry import Entry
from orion_registry.core.membership import Member, Membership
from orion_registry.core.model import Now, Record
from orion_registry.core.standing import Standing
from tests.building import World


class Joined(World):
    """A member."""

    def __init__(self, name: str, **config: object) -> None:
        super().__init__(seed=sum(map(ord, name)), **config)  # type: ignore[arg-type]  # spans
        self.me = Member(name=name, life=f"life of {name}", addresses=(f"{name}:1",))
        self.adopted: list[str] = []
        self.membership = Membership(self.registry.fleet, self.me, self._adopt, self.registry.monitoring.release)

    def _adopt(self, entry: Entry, now: Now) -> None:
        self.adopted.append(entry.service_id)
        self.registry.monitoring.adopt(entry, now)

    def sees(self, *others: "Joined") -> None:
        for other in others:
            self.membership.present(other.me, self.now)

    def loses(self, other: "Joined", *, reachable: bool = False) -> None:
        self.membership.missing(other.me.name, self.now, reachable=reachable)

    def advance(self, seconds: float) -> None:
        """Time passes, for the members too."""
        self.pass_time(seconds)
        self.membership.advance(self.now)

    def says(self, service_id: str) -> Standing:
        standing = self.membership.standing_of(service_id)
        assert standing is not None
        return standing

    def hears(self, other: "Joined", service_id: str) -> Entry:
        """What another owns, record and standing, comes here."""
        entry = other.registry.get(service_id)
        known = self.registry.find(service_id)
        if known is None or known.snapshot.record is not entry.snapshot.record:
            self.membership.changed(entry.snapshot.record, other.says(service_id), self.now)
        else:
            self.membership.stands(service_id, other.says(service_id), self.now)
        return self.registry.get(service_id)

    def takes(self, service_id: str) -> Standing:
        """It becomes this member's: what is stored for it."""
        standing = self.membership.standing_to_take(service_id, self.now)
        assert standing is not None
        self.reserve_above(self.registry.get(service_id).epoch)
        self.membership.take(service_id, self.now)
        return standing

    def reserve_above(self, epoch: int) -> None:
        epochs = self.registry.fleet.epochs
        if not epochs.is_above(epoch):
            epochs.granted(max(epoch + 1, epochs.below), max(epoch + 1, epochs.below) + 1_048_576)

    def record_of(self, service_id: str) -> Record:
        return self.registry.get(service_id).snapshot.record


def two(**config: object) -> tuple[Joined, Joined]:
    one, other = Joined("one", **config), Joined("two", **config)
    one.sees(other)
    other.sees(one)
    return one, other


def two_with_a_service(**config: object) -> tuple[Joined, Joined, Entry, Entry]:
    """Two members, and a service whose agent speaks to the first: there, and as the second has heard of it."""
    one, other = two(**config)
    entry = one.add()
    one.live(entry)
    return one, other, entry, other.hears(one, entry.service_id)
