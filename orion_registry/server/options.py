"""Channel options of the gRPC server: each is here because its default bites (references/grpc-xds-balancing.md 2)."""

from collections.abc import Sequence

from orion_registry.server.settings import Settings

ChannelOptions = Sequence[tuple[str, int]]

PENDING = 4_096
"""Calls that may wait for Python before gRPC begins to refuse some: half a second's worth, 16 connections full."""


def server_options(settings: Settings) -> ChannelOptions:
    """What `grpc.aio.server(options=...)` gets."""
    keepalive_time_ms = _ms(settings.keepalive_time_s)
    ping_timeout_ms = _ms(settings.ping_timeout_s)
    return (
        # On by default: a second daemon on the port would start silently and take half of the connections.
        ("grpc.so_reuseport", 0),
        # Failure detection. keepalive_timeout alone is ignored since grpc#34647: ping_timeout (60 s by default) rules;
        # the former still sets TCP_USER_TIMEOUT (gRFC A18), so both say the same.
        ("grpc.keepalive_time_ms", keepalive_time_ms),
        ("grpc.keepalive_timeout_ms", ping_timeout_ms),
        ("grpc.http2.ping_timeout_ms", ping_timeout_ms),
        # Connections without a call are watched too; 0 = any number of pings in silence
        # (gRFC L116: else throttled to one a minute).
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # Half of the SDK's own keepalive (2 s): the default of 300 s answers it with GOAWAY too_many_pings. C++ calls
        # this MIN_RECV_PING_INTERVAL, its text has no "recv"; a name that gRPC does not know is silently ignored.
        ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
        # Bandwidth probing pings on every message: 137 us a beat with it, 97 us without; it also lets a reader that
        # stopped reading hold 5.4 MB in flight instead of 98 kB.
        ("grpc.http2.bdp_probe", 0),
        # Limits (references/reliability-security.md 3.1). By default streams are unlimited, a message may have 4 MiB,
        # silent sockets stay for 120 s, and one client can take every file descriptor.
        ("grpc.max_concurrent_streams", settings.max_streams_per_connection),
        # Calls that came in and wait for Python. Beyond the first figure (1,000 by default) gRPC cancels calls at
        # random, whosever they are, with CANCELLED or INTERNAL; four connections that reset their requests at once were
        # enough (measured: tests.e2e.abuse). One waiting call costs about 20 kB and 0.15 ms.
        ("grpc.server.max_pending_requests", PENDING),
        ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING),
        ("grpc.max_receive_message_length", settings.max_message_size),
        # Soft and hard limit the same: between the two gRPC refuses by chance (gRFC L109).
        ("grpc.max_metadata_size", settings.max_metadata_size),
        ("grpc.absolute_max_metadata_size", settings.max_metadata_size),
        ("grpc.server_handshake_timeout_ms", _ms(settings.handshake_timeout_s)),
        ("grpc.max_allowed_incoming_connections", connections_per_listener(settings)),
    )


def connections_per_listener(settings: Settings) -> int:
    """gRPC counts connections for each listener apart (measured with 1.85.1), so they share what is allowed."""
    return max(1, settings.max_connections // len(settings.listen))


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
