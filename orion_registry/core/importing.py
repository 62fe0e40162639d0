"""Taking in what another registry stored, or this one in an earlier life: all of it, or nothing."""

from dataclasses import dataclass

from orion_registry.core import limits
from orion_registry.core.admissible import check_record
from orion_registry.core.facts import Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.fleet import Fleet
from orion_registry.core.keys import natural_key
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay, check_overlay
from orion_registry.core.validation import check_number
from orion_registry.errors import AlreadyExists, Limit, Reason, ResourceExhausted, bad_field

SINCE_EXPORT = 2**32
"""Epochs that a registry may have given after it made a snapshot. They are skipped, so that none is given twice though
nobody knows how far it got: 4,096 blocks' worth, and there is room for two million imports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """Stores the records of services that are not registered here, and goes on with `first_epoch` at least.

    epochs_below: the bound to store for that; None = epochs are beyond it already. kept: services registered already.
    overlays: those of services that are not registered, where nothing is set here.
    """

    records: tuple[Record, ...]
    overlays: tuple[Overlay, ...]
    kept: int
    first_epoch: int
    epochs_below: int | None

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the store is to keep; none = there is nothing to do."""
        puts: tuple[Fact, ...] = tuple(Put(record=record) for record in self.records)
        puts += tuple(PutOverlay(overlay=overlay) for overlay in self.overlays)
        return puts if self.epochs_below is None else (ReserveEpochs(below=self.epochs_below), *puts)


class Intake:
    """Collects what a file says that a registry stored, and takes nothing that a registry could not have stored.

    Record by record, so that a long file need not hold up everybody else.

    Raises:
        InvalidArgument: BAD_FIELD, the bound of its epochs.
    """

    def __init__(self, epochs_below: int) -> None:
        self._epochs_below = int(check_number("epochs_below", epochs_below, 1, limits.COUNTER))
        self._records: dict[str, Record] = {}
        self._overlays: dict[str, Overlay] = {}

    def __len__(self) -> int:
        return len(self._records)

    def add(self, record: Record) -> None:
        """Takes a record.

        Raises:
            InvalidArgument: BAD_FIELD, it breaks a limit; or there is one with its service_id already.
        """
        checked = check_record(record)
        if checked.used_epoch >= self._epochs_below:
            raise bad_field("used_epoch", f"below epochs_below, which is {self._epochs_below}", checked.used_epoch)
        if checked.service_id in self._records:
            raise bad_field("service.service_id", "that of one record alone", checked.service_id)
        self._records[checked.service_id] = checked

    @property
    def overlays(self) -> int:
        """Overlays taken."""
        return len(self._overlays)

    def add_overlay(self, overlay: Overlay) -> None:
        """Takes an overlay.

        Raises:
            InvalidArgument: BAD_FIELD, it breaks a limit; or there is one for its service already, or too many.
        """
        checked = check_overlay(overlay)
        if checked.key in self._overlays:
            raise bad_field("overlay", "one for each service", checked.key)
        if len(self._overlays) == limits.OVERLAYS:
            raise bad_field("overlay", f"one of at most {limits.OVERLAYS:,}", checked.key)
        self._overlays[checked.key] = checked

    def stored(self) -> Stored:
        """All that was taken: what `Import` wants."""
        return Stored(
            records=tuple(self._records.values()),
            epochs_below=self._epochs_below,
            overlays=tuple(self._overlays.values()),
        )


def adoption(fleet: Fleet, stored: Stored) -> Adoption:
    """What taking in `stored`, which came out of an `Intake`, would change. Only reads.

    Raises:
        AlreadyExists: AGENT_IN_USE, a service_id is another agent's here.
        ResourceExhausted: TOO_LARGE, there would be too many overlays, or more services than a namespace's quota.
    """
    added = tuple(record for record in stored.records if not _is_held(fleet, record))
    fleet.usage.services(record.spec.namespace for record in added)
    first = stored.epochs_below + SINCE_EXPORT
    overlays = tuple(overlay for overlay in stored.overlays if _is_free(fleet, overlay))
    if len(fleet.overlays) + len(overlays) > limits.OVERLAYS:
        message = f"with those of the snapshot there would be more than {limits.OVERLAYS:,} overlays; clear some"
        raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.OVERLAYS)
    return Adoption(
        records=added,
        overlays=overlays,
        kept=len(stored.records) - len(added),
        first_epoch=first,
        epochs_below=fleet.epochs.beyond(first),
    )


def _is_held(fleet: Fleet, record: Record) -> bool:
    """Whether the service is registered here; refused if its id is somebody else's."""
    held = fleet.catalog.get(record.service_id)
    if held is None:
        return False
    here, there = natural_key(held.spec), natural_key(record.spec)
    if here != there:
        message = (
            f"service {record.service_id!r} is {'/'.join(there)} in the snapshot and {'/'.join(here)} here "
            "(namespace/agent/name); nothing was imported"
        )
        raise AlreadyExists(Reason.AGENT_IN_USE, message)
    return True


def _is_free(fleet: Fleet, overlay: Overlay) -> bool:
    """Whether neither its service is registered here, which stays as it is, nor anything set for it."""
    return fleet.catalog.get(overlay.service_id) is None and fleet.overlays.get(overlay.key) is None
