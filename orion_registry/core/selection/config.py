"""How selection behaves: every span and share, its meaning and its trade-off."""

from dataclasses import dataclass

from orion_registry.errors import bad_field


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerConfig:
    """Spans in seconds. Checked once, when made.

    Attributes:
        lease_ttl_s: how long a lease lasts that asks for nothing else. Longer forgives slow callers; shorter frees the
            slots of crashed ones earlier.
        stream_grace_s: how long the leases of a Route stream outlive it. Callers reconnect within 2 s (their back-off
            cap), and may renew then.
        queue: callers waiting for one pool at most; the next is refused, or the newest of the greediest caller.
        queue_window: waiters with which one caller may stand in line; its others wait behind. 1 = strictly in turn,
            caller by caller; more is nearer to first come first served, and lets a greedy caller go first with so many.
        leases: open at most, of all callers together; bounds the memory that callers can take who select and never
            release, from agents without a limit.
        pools: selectors whose candidates are kept ranked; more cost memory, and a little on every change.
        eject_consecutive: failures in a row that eject a service (Envoy: 5).
        eject_share: share of failures that ejects it, within two windows.
        eject_volume: outcomes in them below which the share says nothing.
        eject_window_s: length of a window (Envoy's interval: 10).
        eject_most: share of a service_name's replicas that may be ejected at once; one always may, if there are two.
        eject_base_s: the first ejection lasts so long, the next one twice, and so on (Envoy: 30).
        eject_max_s: and never longer than this (Envoy: 300).
        zone_ready_share: share of the candidates of a caller's zone that must be ready for the zone to go first; below
            it, all zones count alike (Envoy: 1 / 1.4 = 0.71). Lower keeps calls near for longer, on fewer services; 0 =
            always, 1 = only while all are ready.
        slow_start_s: how long a new or returned service takes to its full weight; 0 = at once. Helps agents with cold
            caches; costs capacity meanwhile.
    """

    lease_ttl_s: float = 60.0
    stream_grace_s: float = 10.0
    queue: int = 1_024
    queue_window: int = 8
    leases: int = 200_000
    pools: int = 256
    eject_consecutive: int = 5
    eject_share: float = 0.5
    eject_volume: int = 20
    eject_window_s: float = 10.0
    eject_most: float = 0.3
    eject_base_s: float = 30.0
    eject_max_s: float = 300.0
    zone_ready_share: float = 0.7
    slow_start_s: float = 0.0

    def __post_init__(self) -> None:
        """Checks every field; the message names it."""
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if not least <= value <= most:
                raise bad_field(name, f"{least:,.10g} to {most:,.10g}", value)


_BOUNDS = (
    ("lease_ttl_s", 1, 3_600),
    ("stream_grace_s", 0, 3_600),
    ("queue", 1, 1_000_000),
    ("queue_window", 1, 1_000_000),
    ("leases", 1, 100_000_000),
    ("pools", 1, 100_000),
    ("eject_consecutive", 1, 1_000_000),
    ("eject_share", 0.01, 1),
    ("eject_volume", 1, 1_000_000),
    ("eject_window_s", 0.1, 3_600),
    ("eject_most", 0, 1),
    ("eject_base_s", 0.1, 3_600),
    ("eject_max_s", 0.1, 86_400),
    ("zone_ready_share", 0, 1),
    ("slow_start_s", 0, 3_600),
)
