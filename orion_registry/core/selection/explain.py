"""Why a selection goes where it goes: every candidate, its numbers, and what stands against it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.ranking import Ranking
from orion_registry.core.selection.request import SelectionRequest
from orion_registry.core.selection.slots import NEVER, Slots
from orion_registry.core.selection.strategy import Draw, StrategyName
from orion_registry.errors import shown


class Verdict(StrEnum):
    """What became of a candidate; the first that holds."""

    CHOSEN = "CHOSEN"
    NOT_READY = "NOT_READY"
    """Its status, its weight of 0 or its ejection keep it out."""
    EXCLUDED = "EXCLUDED"
    """The request does not want it."""
    FULL = "FULL"
    """No free slot."""
    LATER_TIER = "LATER_TIER"
    """An earlier tier has a free slot."""
    OTHER_ZONE = "OTHER_ZONE"
    """A candidate of the caller's zone has a free slot, and that goes first."""
    OUTRANKED = "OUTRANKED"
    """The strategy prefers the chosen one, or it was that one's turn or luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """One candidate with its numbers as they are now. cost is what the strategy goes by, None where it has none."""

    service_id: str
    verdict: Verdict
    tier: Tier
    zone: str
    weight: float
    warmth: float
    in_flight: int
    max_concurrency: int
    leases: int
    success_rate: float
    mean_s: float
    ejected: bool
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a selection would choose now, and why. Candidates come in the order in which they joined the pool.

    near is the caller's zone if it goes first now, else empty.
    """

    strategy: StrategyName
    chosen: str | None
    near: str
    reason: str
    candidates: tuple[Considered, ...]


def explain(
    pool: Pool, ranking: Ranking, name: StrategyName, near: str, request: SelectionRequest, now: float, draw: Draw
) -> Explanation:
    """Picks without taking. The same for the same state and the same draws: it changes nothing that a pick goes by."""
    chosen = ranking.pick(draw, now, request.key, request.excluded, request.last_tier)
    candidates = tuple(_considered(slots, chosen, ranking, near, request, now) for slots in pool.members)
    return Explanation(
        strategy=name,
        chosen=None if chosen is None else chosen.service_id,
        near=near,
        reason=_reason(name, chosen, ranking, now, candidates) + _nearness(pool, near, request.zone),
        candidates=candidates,
    )


def _verdict(slots: Slots, chosen: Slots | None, near: str, request: SelectionRequest) -> Verdict:
    if slots is chosen:
        return Verdict.CHOSEN
    if slots.standing > request.last_tier:
        return Verdict.NOT_READY
    if slots.service_id in request.excluded:
        return Verdict.EXCLUDED
    if not slots.free:
        return Verdict.FULL
    if chosen is not None and slots.standing > chosen.standing:
        return Verdict.LATER_TIER
    if near and chosen is not None and chosen.zone == near != slots.zone:
        return Verdict.OTHER_ZONE
    return Verdict.OUTRANKED


def _considered(
    slots: Slots, chosen: Slots | None, ranking: Ranking, near: str, request: SelectionRequest, now: float
) -> Considered:
    ranked = slots.standing != NEVER and slots.free
    return Considered(
        service_id=slots.service_id,
        verdict=_verdict(slots, chosen, near, request),
        tier=Tier(slots.standing),
        zone=slots.zone,
        weight=slots.weight,
        warmth=slots.warmth,
        in_flight=slots.in_flight,
        max_concurrency=slots.max_concurrency,
        leases=len(slots.leases),
        success_rate=slots.performance.success_rate,
        mean_s=slots.performance.mean_s,
        ejected=slots.ejected,
        cost=ranking.cost(slots, now) if ranked else None,
    )


def _reason(
    name: StrategyName, chosen: Slots | None, ranking: Ranking, now: float, candidates: tuple[Considered, ...]
) -> str:
    counts = {verdict: sum(one.verdict is verdict for one in candidates) for verdict in Verdict}
    against = ", ".join(
        f"{count} {verdict}" for verdict, count in counts.items() if count and verdict != Verdict.CHOSEN
    )
    if chosen is None:
        return f"none of {len(candidates)}: {against}" if candidates else "none of 0"
    stands_in = f" (round robin stands in: {ranking.fault})" if ranking.fault else ""
    rest = f"; {against}" if against else ""
    return f"{name}{stands_in}: {chosen.service_id} at {ranking.cost(chosen, now):.6g}{rest}"


def _nearness(pool: Pool, near: str, zone: str) -> str:
    if not zone:
        return ""
    count = f"{pool.zones.ready(zone)} of {pool.zones.members(zone)} ready, {len(pool.members)} candidates in all"
    return f"; zone {shown(zone)} {'goes first' if near else 'does not go first'}: {count}"
