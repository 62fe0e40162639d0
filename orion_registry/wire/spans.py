"""Spans and wall time: float seconds in the core, Duration and Timestamp on the wire."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from orion_registry.errors import Said, bad_field

_SPAN_MAX_S = 315_576_000_000
"""Bound of google.protobuf.Duration: about 10,000 years."""
_NANOS = 1_000_000_000


def decode_span(field: str, span: Duration) -> float:
    """Seconds of a Duration.

    Raises:
        InvalidArgument: it is none by its own definition.
    """
    seconds, nanos = span.seconds, span.nanos
    if not -_SPAN_MAX_S <= seconds <= _SPAN_MAX_S or not -_NANOS < nanos < _NANOS or seconds * nanos < 0:
        got = Said(f"seconds {seconds:,}, nanos {nanos:,}")
        raise bad_field(field, "a google.protobuf.Duration within its bounds", got)
    return (seconds * _NANOS + nanos) / _NANOS


def decode_known_span(span: Duration) -> float:
    """Seconds of a Duration that the registry sent: never refused."""
    return (span.seconds * _NANOS + span.nanos) / _NANOS


def span_of(seconds: float) -> Duration:
    """A Duration, to the nanosecond."""
    nanos = round(seconds * _NANOS)
    if nanos < 0:
        return Duration(seconds=-(-nanos // _NANOS), nanos=-(-nanos % _NANOS))
    return Duration(seconds=nanos // _NANOS, nanos=nanos % _NANOS)


def timestamp_of(wall: float) -> Timestamp:
    """A Timestamp, to the microsecond: a float of seconds since 1970 holds no more."""
    timestamp = Timestamp()
    fill_timestamp(timestamp, wall)
    return timestamp


def fill_timestamp(target: Timestamp, wall: float) -> None:
    """Sets a Timestamp that is part of a message: half of what making one and copying it in costs."""
    micros = round(wall * 1_000_000)
    target.seconds, target.nanos = micros // 1_000_000, micros % 1_000_000 * 1_000


def wall_of(timestamp: Timestamp) -> float:
    """Seconds since 1970."""
    return (timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000) / 1_000_000
