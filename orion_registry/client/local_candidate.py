"""A service of a local view as selection sees it. Pure."""

from orion_registry.core.candidates import Selectable
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.status import effective
from orion_registry.wire.service import Service


def candidate_of(service: Service, *, vouched: bool) -> Selectable:
    """A `Candidate`: what the registry's own balancer would make of it.

    Args:
        service: as last known.
        vouched: its status is older than the registry's answer, which is not sure of it: second choice at best.
    """
    tier = _tier(service)
    if vouched:
        tier = max(tier, Tier.SECOND)
    replicas = f"{service.namespace}/{service.service_name}"
    weight = service.weight if service.overlay_weight is None else service.overlay_weight
    return Selectable(service.service_id, replicas, service.zone, tier, weight, service.max_concurrency)


def _tier(service: Service) -> Tier:
    """From its reasons; `ready` is the registry's word where it has reasons that this version does not know."""
    if not service.reasons:
        return Tier.FIRST if service.ready else Tier.NEVER
    # What was reported is told only as the effective status, so only where nothing else is worse.
    own = service.reasons[0].code is StatusReasonCode.SELF_REPORTED
    reported = service.status if own else ServiceStatus.STOPPING
    tier = Tier(effective(service.reasons, reported).selection_tier)
    if service.ready:
        return min(tier, Tier.SECOND)
    return tier if tier > Tier.SECOND else Tier.NEVER
