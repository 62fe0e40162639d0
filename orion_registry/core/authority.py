"""Who may act for a service: the right secret, and an epoch that no newer session has fenced off."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from orion_registry.core import limits
from orion_registry.core.access.rights import EVERYTHING, Role
from orion_registry.core.credentials import secret_matches
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import Fleet, require_visible
from orion_registry.core.frames import Hello, LostReason
from orion_registry.core.liveness import AWAITED, Event
from orion_registry.core.model import Actor, LivenessMode, Now, SessionRef
from orion_registry.errors import (
    Aborted,
    FailedPrecondition,
    Limit,
    PermissionDenied,
    Reason,
    RegistryError,
    ResourceExhausted,
    Unavailable,
    bad_field,
)

if TYPE_CHECKING:
    from orion_registry.core.sessions import HeartbeatSession

EPOCHS_KEPT = 2_048
"""Epochs left for registrations when hellos have used up the rest: more than can be in flight."""

LOOKED_AT = 8
"""Services of a hello that are looked at to know its sender: an agent may act for nearly all that it names."""

_AGENTS = frozenset({Role.AGENT})

DEPARTING_RETRY_S = 1.0
"""When to try again while a service is on its way out: a store that works is done by then."""


def authorize(fleet: Fleet, ref: SessionRef, identity: str, now: Now) -> Entry:
    """The entry that a ref may act for. Its epoch counts as used from now on.

    Raises:
        RegistryError: see `check_ref`.
    """
    entry = check_ref(fleet, ref, identity)
    use_epoch(fleet, entry, ref.epoch, now)
    return entry


def check_ref(fleet: Fleet, ref: SessionRef, identity: str) -> Entry:
    """The entry that a ref may act for, now; nothing changes.

    Raises:
        Unavailable: STORE_DOWN, a claim or removal of it is on its way to the store, or the member that had it before
            may be granting slots of it.
        RegistryError: see `check_right`.
    """
    entry = check_right(fleet, ref, identity)
    if entry.departing:
        message = f"{ref.service_id!r} is being claimed or removed, which is not stored yet"
        raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=DEPARTING_RETRY_S)
    if entry.held_off:
        message = f"the member that had {ref.service_id!r} before has not said yet which slots of it are taken"
        raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=DEPARTING_RETRY_S)
    return entry


def check_right(fleet: Fleet, ref: SessionRef, identity: str) -> Entry:
    """The entry that a ref may act for once nothing is in the way; nothing changes.

    Raises:
        InvalidArgument: BAD_FIELD, the epoch was never given.
        NotFound: NO_SUCH_SERVICE.
        PermissionDenied: WRONG_SECRET; NOT_OWNER, another identity registered it: a secret alone is worth nothing.
        FailedPrecondition: STALE_EPOCH.
    """
    entry = fleet.require(ref.service_id)
    if not secret_matches(ref.secret, entry.snapshot.record.secret_hash):
        message = f"ref.secret: not the secret that {ref.service_id!r} was registered with"
        raise PermissionDenied(Reason.WRONG_SECRET, message)
    refuse_others(entry, identity)
    if not fleet.epochs.was_given(ref.epoch):
        raise bad_field("ref.epoch", "an epoch that this registry gave", ref.epoch)
    if ref.epoch < entry.used_epoch:
        message = (
            f"ref.epoch: {ref.epoch} is stale, a session with epoch {entry.used_epoch} acts for {ref.service_id!r}"
        )
        raise FailedPrecondition(Reason.STALE_EPOCH, message)
    return entry


def refuse_others(entry: Entry, identity: str) -> None:
    """Lets only the identity that registered a service act for it. Where either has none, the secret alone counts.

    Raises:
        PermissionDenied: NOT_OWNER.
    """
    owner = entry.snapshot.record.identity
    if identity and owner and identity != owner:
        raise PermissionDenied(Reason.NOT_OWNER, f"{entry.service_id!r} was registered by another identity")


def admit(fleet: Fleet, session: HeartbeatSession, entry: Entry, ref: SessionRef, now: Now) -> None:
    """Lets a stream carry a service: the ref's epoch counts as used from now on.

    Raises:
        NotFound: NO_SUCH_SERVICE, its namespace is not one that the stream's opener may see.
        PermissionDenied: NOT_OWNER, it is another agent's; NOT_ALLOWED, its namespace is not the stream's to act in.
        FailedPrecondition: WRONG_MODE.
        Unavailable: STORE_DOWN, another member owns it still.
        ResourceExhausted: TOO_LARGE, the stream carries as many as it can, or its namespace has no room for a stream.
        RegistryError: see `check_ref`.
    """
    require_visible(session.actor, entry)
    if entry.spec.agent_id != session.agent_id:
        message = f"{entry.service_id!r} belongs to agent {entry.spec.agent_id!r}, hello named {session.agent_id!r}"
        raise PermissionDenied(Reason.NOT_OWNER, message)
    refuse_ungranted(session.actor, entry)
    check_ref(fleet, ref, session.actor.identity)
    if entry.owner is not None:
        message = f"{entry.service_id!r} belongs to another member, which could not be asked for it; try again"
        raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=DEPARTING_RETRY_S)
    if entry.spec.liveness is not LivenessMode.STREAM:
        raise FailedPrecondition(Reason.WRONG_MODE, f"streams need LIVENESS_MODE_STREAM, {mode_of(entry)}")
    if len(session.services) >= limits.SESSIONS and ref.service_id not in session.services:
        message = f"one stream carries at most {limits.SESSIONS:,} services; open another one for the rest"
        raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.STREAM_SERVICES)
    if entry.spec.namespace not in session.namespaces:
        fleet.usage.stream(entry.spec.namespace, replaces=bool(entry.streams))
    fleet.epochs.require(EPOCHS_KEPT)
    use_epoch(fleet, entry, ref.epoch, now, by=session)


def refuse_ungranted(actor: Actor, entry: Entry) -> None:
    """Lets a stream carry only what its opener may act for, now.

    Raises:
        PermissionDenied: NOT_ALLOWED, of a namespace that is not its to act in, or of a capability that it may not
            claim, or no more.
    """
    if actor.rights is EVERYTHING:
        return
    spec = entry.spec
    if not actor.rights.inside(spec.namespace, _AGENTS):
        message = f"{actor.identity!r} does not have the role agent in namespace {spec.namespace!r}"
        raise PermissionDenied(Reason.NOT_ALLOWED, message)
    if (capability := actor.rights.unclaimable(spec.namespace, spec.capabilities)) is not None:
        message = f"{actor.identity!r} may not claim {capability!r} in namespace {spec.namespace!r}"
        raise PermissionDenied(Reason.NOT_ALLOWED, message)


def require_role(actor: Actor, entry: Entry, role: Role) -> None:
    """Lets only those act on a service who have a role in its namespace.

    Raises:
        NotFound: NO_SUCH_SERVICE, they have none there at all: ids give nothing away.
        PermissionDenied: NOT_ALLOWED.
    """
    namespace = entry.spec.namespace
    if actor.rights.inside(namespace, frozenset({role})):
        return
    require_visible(actor, entry)
    message = f"{actor.identity!r} does not have the role {role} in namespace {namespace!r}"
    raise PermissionDenied(Reason.NOT_ALLOWED, message)


def is_known(fleet: Fleet, hello: Hello, identity: str) -> bool:
    """Whether a hello comes for at least one service that it may act for."""
    for request in hello.sessions[:LOOKED_AT]:
        entry = fleet.catalog.get(request.ref.service_id)
        if entry is not None and entry.spec.agent_id == hello.agent_id:
            with suppress(RegistryError):  # it may not act for this one
                check_ref(fleet, request.ref, identity)
                return True
    return False


def send_away(fleet: Fleet, hello: Hello, identity: str, wait_s: float, now: Now) -> None:
    """Gives the time that an agent has to wait to the services that it may act for, and to no others."""
    for request in hello.sessions:
        entry = fleet.catalog.get(request.ref.service_id)
        if entry is None or entry.liveness.code not in AWAITED or entry.spec.agent_id != hello.agent_id:
            continue
        with suppress(RegistryError):  # it may not act for this one
            check_ref(fleet, request.ref, identity)
            fleet.wait_for(entry, wait_s, now)


def mode_of(entry: Entry) -> str:
    """The end of a message that says which liveness mode a service has."""
    return f"{entry.service_id!r} has LIVENESS_MODE_{entry.spec.liveness.name}"


def use_epoch(fleet: Fleet, entry: Entry, epoch: int, now: Now, by: HeartbeatSession | None = None) -> None:
    """Counts an epoch as used: streams that carry the service with a lower one, but for `by`, lose it."""
    if epoch > entry.used_epoch:
        entry.used_epoch = epoch
        fleet.epoch_used(entry)
    if epoch > entry.epoch:  # given in an earlier life
        entry.epoch = epoch
        if by is None:  # else it gets a new one at once, and one edge with it
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
