"""The kinds of "none": why a selection is refused, in words and with what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orion_registry.errors import InvalidArgument, Limit, NotFound, Reason, ResourceExhausted, Unavailable, shown

if TYPE_CHECKING:
    from orion_registry.core.selection.pool import Pool
    from orion_registry.core.selection.request import SelectionRequest

RETRY_S = 1.0
"""When to ask again for a slot: calls last seconds."""


def check_possible(pool: Pool, request: SelectionRequest) -> None:
    """Returns if waiting may help a request that found no slot.

    Raises:
        NotFound: NO_MATCH: nothing matches, or the request excludes all that do.
        Unavailable: NO_READY_SERVICE: none that matches may be selected now.
    """
    wanted = [slots for slots in pool.members if slots.service_id not in request.excluded]
    if not wanted:
        excluded = f" but {len(pool.members):,} that the request excludes" if pool.members else ""
        raise NotFound(Reason.NO_MATCH, f"selector: no service matches{excluded}")
    if all(slots.standing > request.last_tier for slots in wanted):
        message = f"selector: of {len(wanted):,} matching services none is ready"
        raise Unavailable(Reason.NO_READY_SERVICE, message, retry_after_s=RETRY_S)


def reused(request_id: str) -> InvalidArgument:
    """Another payload under a request_id that is in use."""
    return InvalidArgument(Reason.REQUEST_ID_REUSED, f"request_id: {shown(request_id)} was used for another selection")


def asked_again() -> ResourceExhausted:
    """The same request came again while it waited: the newer one waits on."""
    message = "request_id: asked again meanwhile; the newer request waits on"
    return ResourceExhausted(Reason.NO_FREE_SLOT, message, retry_after_s=RETRY_S)


def too_many(most: int) -> ResourceExhausted:
    """As many leases are open as may be."""
    message = f"count: {most:,} leases may be open at once, of all callers together"
    return ResourceExhausted(Reason.RATE_LIMITED, message, retry_after_s=RETRY_S, limit=Limit.LEASES)


def not_free(pool: Pool) -> ResourceExhausted:
    """All slots are taken, and there is no wait, or it is over."""
    message = (
        f"selector: all slots of {len(pool.members):,} matching services are taken, {len(pool.line):,} callers wait"
    )
    return ResourceExhausted(Reason.NO_FREE_SLOT, message, retry_after_s=RETRY_S)
