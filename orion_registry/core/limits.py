"""The one table of limits on what comes in. Configuration may not raise them: clients rely on them."""

import re
from typing import Final

ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""Form of service_id, agent_id, service_name, service_type, namespace, protocol."""
ID_RULE: Final = "1 to 128 of A-Z a-z 0-9 . _ : - and begin with a letter or digit"

TEXT: Final = 128
"""Characters of version, zone, request_id, instance_id, sdk, a feature, a load's name."""
LABEL: Final = 128
"""Characters of a capability or tag."""
PLAIN_LABEL: Final = re.compile(r"[!-~]{1,128}")
"""Labels in ASCII that are surely fine; others may be too."""
LABELS: Final = 64
"""Capabilities, tags or features of one service; terms of one kind in a selector."""

METADATA_KEYS: Final = 64
METADATA_DEPTH: Final = 8
METADATA_BYTES: Final = 16 * 1024
"""Of metadata as canonical JSON in UTF-8."""

HOST: Final = 253
"""Characters of a host name (RFC 1035 section 2.3.4, less the root dot and length octets)."""
URL: Final = 2048
PORT: Final = 65_535
WEIGHT: Final = 1000.0
COUNT: Final = 1_000_000
"""max_concurrency, in_flight, queue_depth."""
UTILIZATION: Final = 100.0
NAMED_LOADS: Final = 16

TTL_MIN_S: Final = 1.0
TTL_MAX_S: Final = 86_400.0
RETENTION_MAX_S: Final = 30 * 86_400.0
SILENCE_MIN_S: Final = 1.0
SILENCE_MAX_S: Final = 86_400.0
STUCK_MAX_S: Final = 86_400.0
RESPONSE_TIME_S: Final = 86_400.0
"""A call that lasts longer than a day is no call."""
TASK_AGE_MAX_S: Final = 10 * 366 * 86_400.0

SECRET_MIN: Final = 32
SECRET_MAX: Final = 256
"""Bytes of a secret in UTF-8."""

HASH: Final = re.compile(r"[0-9a-f]{64}")
COUNTER: Final = 2**53
"""Largest epoch or generation in a snapshot: beyond it text tools, which count in doubles, are wrong."""
WALL_MAX_S: Final = 253_402_300_799.0
"""31 December 9999: the last second that a Timestamp can say."""

SESSIONS: Final = 1000
"""Services in one frame, and on one heartbeat stream."""

COMMANDS: Final = 1000
"""Commands of one RouteRequest, and leases of one RenewSelectionsRequest."""

OVERLAYS: Final = 100_000
"""Overlays held: they outlive the services that they are for, so something must bound them."""
OVERLAYS_AT_ONCE: Final = 2_000
"""Services that one SetOverlay may concern: they are stored in one commit, and named in one answer."""
OVERLAYS_PAGE: Final = 500
NOTE: Final = 256
"""Characters of an operator's note."""
DRAIN_MAX_S: Final = 30 * 86_400.0

PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1000
PAGE_BYTES: Final = 1024 * 1024
"""Bytes of services in one DiscoverServices answer."""

CHECKS: Final = 8
"""Active checks of one service."""
FALLBACKS: Final = 3
"""Further probes of one check."""
CHECK_HEADERS: Final = 16
CHECK_RETRIES: Final = 5
CHECK_THRESHOLD: Final = 100
"""Runs in a row until a check falls, or rises."""
CHECK_INTERVAL_MIN_S: Final = 1.0
CHECK_INTERVAL_MAX_S: Final = 86_400.0
CHECK_TIMEOUT_MIN_S: Final = 0.01
CUSTOM_TIMEOUT_MIN_S: Final = 0.2
"""Of checks with a custom probe: each time-out costs the process that all who name it share."""
CHECK_TIMEOUT_MAX_S: Final = 60.0
"""Of one attempt: a run holds one of the few places that all share."""
HEADER_NAME: Final = 64
HEADER_VALUE: Final = 1024
"""Characters of a header that a check sends."""
