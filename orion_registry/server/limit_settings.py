"""What an operator may set of how much one client, or one identity, may take: the part of `Settings` about limits."""

import resource
from dataclasses import dataclass

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rates import Hold, RateLimits
from orion_registry.server.security_settings import SecuritySettings
from orion_registry.server.setting_kinds import duration, size, whole
from orion_registry.server.setting_rows import setting

DESCRIPTORS_KEPT = 512
"""Open files that connections may not take: listeners, logs, the store, its journal, 256 runs of checks, some spare.
With none left a daemon lives on and answers nobody (references/reliability-security.md 3.1)."""

_GROUP = "Limits"
_RATE = whole(0, 1_000_000)
_IDENTITIES = "Only where callers have identities; others are not limited."


def open_files_limit() -> int:
    """Files that this process may have open; a million if there is no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else min(soft, 1_000_000)


def most_connections() -> int:
    """Connections that fit under the limit of open files; at least 16."""
    return max(16, open_files_limit() - DESCRIPTORS_KEPT)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings(SecuritySettings):
    """Fields of `Settings`; see there."""

    max_message_size: int = setting(
        size(64 * 1024, 64 * 1024**2),
        1024**2,
        group=_GROUP,
        meaning="Largest message taken from a client; above it RESOURCE_EXHAUSTED.",
        trade_off="Every open call of a hostile client may hold one of these in memory.",
    )
    max_metadata_size: int = setting(
        size(4 * 1024, 1024**2),
        16 * 1024,
        group=_GROUP,
        meaning="Largest metadata (HTTP/2 headers) of one call; above it RESOURCE_EXHAUSTED.",
        trade_off="Room for tokens, held in memory for each call.",
    )
    max_streams_per_connection: int = setting(
        whole(1, 100_000),
        256,
        group=_GROUP,
        meaning="Calls and streams open at once on one connection; the client's library queues more.",
        trade_off=(
            "An idle stream costs about 23 kB: this times max_connections bounds what clients can hold, and how long "
            "everybody waits behind one that resets its calls at once. Agents behind one proxy share its connection."
        ),
    )
    max_connections: int = setting(
        whole(1, 1_000_000),
        most_connections,
        group=_GROUP,
        default_text="limit of open files - 512, at least 16",
        meaning="Connections open at once, shared out evenly among the listen addresses; above it new ones are closed.",
        trade_off=(
            "Must stay below the limit of open files: with no descriptor left a daemon answers nobody. One costs "
            "about 40 kB."
        ),
    )
    handshake_timeout_s: float = setting(
        duration(0.1, 120.0),
        3.0,
        group=_GROUP,
        name="handshake_timeout",
        meaning="How long a new connection may take until it speaks HTTP/2; then it is closed.",
        trade_off="Shorter frees the sockets of the silent sooner; longer suits slow links.",
    )
    identity_read_rate: int = setting(
        _RATE,
        2_000,
        group=_GROUP,
        reloads=True,
        meaning=(
            "Calls a second that one identity may make of those that only read (get, discover, list, stats), twice as "
            "many at once; above it RESOURCE_EXHAUSTED with a turn. 0 = no limit."
        ),
        trade_off=f"Lower keeps more for the others, and stops a busy caller that polls: let it watch. {_IDENTITIES}",
    )
    identity_report_rate: int = setting(
        _RATE,
        0,
        group=_GROUP,
        reloads=True,
        meaning=(
            "The same for selections, their ends, outcomes, unary beats and self-reports. Commands of a Route stream "
            "and services named in frames of a heartbeat stream count like calls; beats on a stream do not. 0 = no "
            "limit."
        ),
        trade_off=(
            "No limit by default, because a fleet may share one identity, and one caller may honestly select 60,000 "
            f"times a second over Route. {_IDENTITIES}"
        ),
    )
    identity_write_rate: int = setting(
        _RATE,
        1_000,
        group=_GROUP,
        reloads=True,
        meaning="The same for calls that wait for the store: register, update, unregister, overlays. 0 = no limit.",
        trade_off=(
            "Agents that share an identity share it, when all of them start at once: they are told their turns. "
            f"{_IDENTITIES}"
        ),
    )
    identity_probe_rate: int = setting(
        _RATE,
        50,
        group=_GROUP,
        reloads=True,
        meaning="The same for checks that are asked for at once (CheckServiceHealth). 0 = no limit.",
        trade_off=f"Each knocks at an agent and holds a run of check_runs. {_IDENTITIES}",
    )
    identity_stream_rate: int = setting(
        _RATE,
        1_000,
        group=_GROUP,
        reloads=True,
        meaning="The same for opening streams: heartbeats, watches, Route, exports. 0 = no limit.",
        trade_off=f"Below admission_rate it slows down the return of a fleet that shares an identity. {_IDENTITIES}",
    )
    max_streams_per_identity: int = setting(
        whole(0, 1_000_000),
        16_384,
        group=_GROUP,
        reloads=True,
        meaning="Heartbeat, Route and other streams that one identity may have open, watches apart. 0 = no limit.",
        trade_off=f"One costs about 23 kB. A fleet that shares an identity shares them. {_IDENTITIES}",
    )
    max_watches_per_identity: int = setting(
        whole(0, 1_000_000),
        4_096,
        group=_GROUP,
        reloads=True,
        meaning="WatchServices and WatchEvents streams that one identity may have open. 0 = no limit.",
        trade_off=f"Every change is sent to each watch that shows it. {_IDENTITIES}",
    )


def rate_limits(settings: LimitSettings) -> RateLimits:
    """The part of the settings that is about identities."""
    return RateLimits(
        a_second={
            Cost.READ: settings.identity_read_rate,
            Cost.REPORT: settings.identity_report_rate,
            Cost.WRITE: settings.identity_write_rate,
            Cost.PROBE: settings.identity_probe_rate,
            Cost.STREAM: settings.identity_stream_rate,
        },
        at_once={Hold.STREAM: settings.max_streams_per_identity, Hold.WATCH: settings.max_watches_per_identity},
    )
