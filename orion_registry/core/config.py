"""How the registry behaves in time: every span, its meaning and its trade-off."""

import math
from dataclasses import dataclass

from orion_registry.core import limits
from orion_registry.errors import bad_field


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """Spans in seconds. Checked once, when made.

    Attributes:
        retention_s: how long a dead service stays listed for those who ask why; 0 = until unregistered. Longer shows
            more history, and keeps more garbage in view of `include_not_ready`.
        not_seen_s: how long a registered, detached or restored service may take to its first beat before it is
            UNHEALTHY(NOT_SEEN). Promise 7 needs at least 10.
        admission_rate: hellos a second that are let in when all agents come back at once, twice as many in the first
            moment; the others are told their turn. A restored service may take as long as all of them need, and 5 s
            more, before it is NOT_SEEN. More is sooner done, and leaves less time for those who are in.
        registration_rate: registrations a second that are let in; above what stores take, so it is there for floods.
        reconnect_grace_s: how long a service whose stream ended with an announced return, or right after a stall of
            the daemon, stays UNKNOWN. Agents come back within 2 s (their back-off cap) plus a handshake;
            references/reliability-security.md 1.3.
        go_away_s: how long agents are told to stay away when the registry shuts down.
        beat_budget: beats a second that all agents together may send; the interval widens to stay below. One beat
            costs about 100 us of CPU with grpc.aio, so 2,000 is a fifth of a core.
        beats_missed: silence, in intervals, until a service is SILENT; LATE at half of it. Fewer find a blocked agent
            sooner, and cut the living on a bad link.
        silence_floor_s: no service is SILENT before so many seconds, however short the interval. Longer suits links
            that lose packets: at 1 % loss the longest silence measured was 1.3 s, at 10 % 3.6 s
            (references/reliability-security.md 1.3).
        cut_silence_s: an end after this much silence may be a cut link's as well as a crash's. The transport knows it:
            keepalive_time + ping_timeout, less 0.2 s for timers. Longer calls a cut proven death and holds nobody.
        late_tick_s: how late the registry may look before it takes that for a stall of its own and credits it to all;
            inf = never: for a registry in the process of its agents, which looks when it is asked.
        hold_share: more than this share of the live agents fell silent together: they were cut off, and are held. 1 =
            never: where agents are no network away, who is silent is silent. Precedents: Eureka 0.15, Kubernetes 0.55,
            Envoy 0.5.
        stuck_after_s: how long a busy service may take without progress until it is STUCK; 0 = never. Shorter spares
            callers the ones that hang, and puts slow but honest work second.
        flaps: falls within flap_window_s after which a service is not trusted at once when it comes back.
        flap_window_s: the window of that.
        probation_s: how long it is PROBATION then; 0 = never. Longer keeps callers off a crash loop for longer.
        epoch_block: epochs reserved in the store at a time. A crash skips the rest of a block.
        history: revisions kept for resuming watches.
        check_runs: runs of active checks at once. More need more sockets; fewer are late while many targets hang.
        check_runs_per_target: of these at one host and port. More look like an attack to it; with fewer, services that
            share it wait for each other.
        custom_checks: names of the custom checks that there are.
        views: selectors whose answer is kept up to date; more cost memory and a little on every edge.
    """

    retention_s: float = 60.0
    not_seen_s: float = 10.0
    admission_rate: float = 500.0
    registration_rate: float = 10_000.0
    reconnect_grace_s: float = 6.0
    go_away_s: float = 0.5
    beat_budget: float = 2_000.0
    beats_missed: int = 3
    silence_floor_s: float = 3.0
    cut_silence_s: float = 2.5
    late_tick_s: float = 0.25
    hold_share: float = 0.3
    stuck_after_s: float = 0.0
    flaps: int = 3
    flap_window_s: float = 60.0
    probation_s: float = 10.0
    epoch_block: int = 1_048_576
    history: int = 16_384
    views: int = 256
    check_runs: int = 256
    check_runs_per_target: int = 4
    custom_checks: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Checks every field; the message names it."""
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if not least <= value <= most:
                raise bad_field(name, f"{least:,.10g} to {most:,.10g}", value)
        for name in sorted(self.custom_checks):
            if not limits.ID.fullmatch(name):
                raise bad_field("custom_checks", limits.ID_RULE, name)


_BOUNDS = (
    ("retention_s", 0, 30 * 86_400),
    ("not_seen_s", 10, 3_600),
    ("admission_rate", 1, 1_000_000),
    ("registration_rate", 1, 1_000_000),
    ("reconnect_grace_s", 1, 3_600),
    ("go_away_s", 0, 60),
    ("beat_budget", 1, 1_000_000),
    ("beats_missed", 2, 100),
    ("silence_floor_s", 1, 86_400),
    ("cut_silence_s", 0, 86_400),
    ("late_tick_s", 0.25, math.inf),
    ("hold_share", 0, 1),
    ("stuck_after_s", 0, 86_400),
    ("flaps", 1, 1_000),
    ("flap_window_s", 1, 86_400),
    ("probation_s", 0, 86_400),
    ("epoch_block", 16_384, 2**40),
    ("history", 1, 10_000_000),
    ("views", 1, 100_000),
    ("check_runs", 1, 10_000),
    ("check_runs_per_target", 1, 10_000),
)
