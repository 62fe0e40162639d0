"""What an operator may set of selection: the part of `Settings` that becomes a `BalancerConfig`."""

from dataclasses import dataclass

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.server.setting_kinds import duration, share, whole
from orion_registry.server.setting_rows import by_profile, setting

_GROUP = "Selection"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionSettings:
    """Fields of `Settings`; see there. The rest of `BalancerConfig` is for those who build upon the core."""

    lease_ttl_s: float = setting(
        duration(1.0, 3_600.0),
        by_profile(60.0, dev=3_600.0),
        group=_GROUP,
        reloads=True,
        name="lease_ttl",
        meaning="How long a slot stays reserved if the caller neither releases nor renews it and names no span itself.",
        trade_off="Longer forgives slow callers; shorter frees the slots of crashed ones sooner.",
    )
    max_leases: int = setting(
        whole(1, 100_000_000),
        200_000,
        group=_GROUP,
        reloads=True,
        meaning="Slots reserved at once, of all callers together; above it RESOURCE_EXHAUSTED.",
        trade_off=(
            "Bounds what callers can hold who select and never release, from agents without a limit. One costs about "
            "1 kB."
        ),
    )
    max_waiting: int = setting(
        whole(1, 1_000_000),
        1_024,
        group=_GROUP,
        meaning=(
            "Callers that wait for a slot of the same selector at most; then the newest of the greediest caller makes "
            "room, or the new one is refused."
        ),
        trade_off="A longer queue refuses less and lets callers wait for longer than they may want to.",
    )
    zone_ready_share: float = setting(
        share(),
        0.7,
        group=_GROUP,
        reloads=True,
        meaning=(
            "Share of the candidates of a caller's zone that must be ready for them to go first; below it all zones "
            "count alike."
        ),
        trade_off=(
            "Lower keeps calls near for longer, on the few services that are left there; 0 = always, 1 = only while "
            "all are ready."
        ),
    )
    eject_consecutive: int = setting(
        whole(1, 1_000_000),
        5,
        group=_GROUP,
        reloads=True,
        meaning="Failures in a row, as callers tell, that take a service out of selection for a while.",
        trade_off="Fewer find a broken service sooner, and take working ones out for the faults of a few calls.",
    )
    eject_most: float = setting(
        share(),
        0.3,
        group=_GROUP,
        reloads=True,
        meaning=(
            "Share of a service_name's replicas that callers' outcomes may take out at once; one always may, of two or "
            "more."
        ),
        trade_off="More trusts callers further: with 1, an outage behind all agents, or a lying caller, leaves none.",
    )
    eject_base_s: float = setting(
        duration(0.1, 300.0),
        30.0,
        group=_GROUP,
        reloads=True,
        name="eject_base",
        meaning="How long the first ejection of a service lasts, the second twice as long, and so on, up to 300s.",
        trade_off="Longer spares callers a broken service, and a mended one stays unused.",
    )
    slow_start_s: float = setting(
        duration(0.0, 3_600.0),
        0.0,
        group=_GROUP,
        name="slow_start",
        meaning="How long a new or returned service takes to get its full share of calls; 0s = at once.",
        trade_off="Helps agents with cold caches; the others carry the load meanwhile.",
    )


def balancer_config(settings: SelectionSettings) -> BalancerConfig:
    """The part of the settings that selection needs."""
    return BalancerConfig(
        lease_ttl_s=settings.lease_ttl_s,
        leases=settings.max_leases,
        queue=settings.max_waiting,
        zone_ready_share=settings.zone_ready_share,
        eject_consecutive=settings.eject_consecutive,
        eject_most=settings.eject_most,
        eject_base_s=settings.eject_base_s,
        slow_start_s=settings.slow_start_s,
    )
