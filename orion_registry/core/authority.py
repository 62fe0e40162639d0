"""Who may act for a service: the right secret, and an epoch that no newer session has fenced off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orion_registry.core.credentials import secret_matches
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet
from orion_registry.core.frames import LostReason
from orion_registry.core.liveness import Event
from orion_registry.core.model import Now, SessionRef
from orion_registry.errors import Aborted, FailedPrecondition, PermissionDenied, Reason, Unavailable, bad_field

if TYPE_CHECKING:
    from orion_registry.core.sessions import HeartbeatSession

DEPARTING_RETRY_S = 1.0
"""When to try again while a service is on its way out: a store that works is done by then."""


def authorize(fleet: Fleet, ref: SessionRef, now: Now) -> Entry:
    """The entry that a ref may act for. Its epoch counts as used from now on.

    Raises:
        RegistryError: see `check_ref`.
    """
    entry = check_ref(fleet, ref)
    use_epoch(fleet, entry, ref.epoch, now)
    return entry


def check_ref(fleet: Fleet, ref: SessionRef) -> Entry:
    """The entry that a ref may act for; nothing changes.

    Raises:
        InvalidArgument: BAD_FIELD, the epoch was never given.
        NotFound: NO_SUCH_SERVICE.
        PermissionDenied: WRONG_SECRET.
        FailedPrecondition: STALE_EPOCH.
        Unavailable: STORE_DOWN, a claim or removal of it is on its way to the store.
    """
    entry = fleet.require(ref.service_id)
    if not secret_matches(ref.secret, entry.snapshot.record.secret_hash):
        message = f"ref.secret: not the secret that {ref.service_id!r} was registered with"
        raise PermissionDenied(Reason.WRONG_SECRET, message)
    if not fleet.epochs.was_given(ref.epoch):
        raise bad_field("ref.epoch", "an epoch that this registry gave", ref.epoch)
    if ref.epoch < entry.used_epoch:
        message = (
            f"ref.epoch: {ref.epoch} is stale, a session with epoch {entry.used_epoch} acts for {ref.service_id!r}"
        )
        raise FailedPrecondition(Reason.STALE_EPOCH, message)
    if entry.departing:
        message = f"{ref.service_id!r} is being claimed or removed, which is not stored yet"
        raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=DEPARTING_RETRY_S)
    return entry


def use_epoch(fleet: Fleet, entry: Entry, epoch: int, now: Now, by: HeartbeatSession | None = None) -> None:
    """Counts an epoch as used: streams that carry the service with a lower one, but for `by`, lose it."""
    entry.used_epoch = max(epoch, entry.used_epoch)
    if epoch > entry.epoch:  # given in an earlier life
        entry.epoch = epoch
        fleet.refresh(entry)
    superseded = [stream for stream, held in entry.streams.items() if held < epoch and stream is not by]
    for stream in superseded:
        del entry.streams[stream]
        stream.lose(entry, LostReason.SUPERSEDED)
        if not stream.services:
            message = f"a newer session acts for {entry.service_id!r}, the last service of this stream"
            stream.finish(Aborted(Reason.SUPERSEDED, message))
    if superseded and not entry.streams:
        fleet.happened(entry, Event.DETACHED, now)  # nobody would tell of its end
    elif superseded:
        fleet.rejudge(entry)


def void_streams(entry: Entry, reason: LostReason) -> None:
    """Takes a service off every stream, because it was removed or claimed anew."""
    streams, entry.streams = entry.streams, {}
    for stream in streams:
        stream.lose(entry, reason)
        if reason is LostReason.SUPERSEDED and not stream.services:
            message = f"{entry.service_id!r}, the last service of this stream, was claimed by another session"
            stream.finish(Aborted(Reason.SUPERSEDED, message))
