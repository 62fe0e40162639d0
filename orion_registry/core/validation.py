"""Checks of values that come in: each returns the value, or raises `InvalidArgument` naming field, limit and what came.

Those of whole services are in `admissible`.
"""

import math
from collections.abc import Iterable

from orion_registry.core import limits
from orion_registry.core.model import Load
from orion_registry.errors import Said, bad_field

_NOT_IN_HOSTS = frozenset(" /@?#")


def check_id(field: str, value: str) -> str:
    """A name: see `limits.ID`."""
    if not limits.ID.fullmatch(value):
        raise bad_field(field, limits.ID_RULE, value)
    return value


def check_text(field: str, value: str, most: int = limits.TEXT) -> str:
    """A short printable text, possibly empty."""
    if len(value) > most:
        raise bad_field(field, f"at most {most:,} characters", value)
    if not value.isprintable():
        raise bad_field(field, "printable, without control characters", value)
    return value


def check_labels(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Capabilities or tags: returned without repeats, in their order."""
    labels = tuple(dict.fromkeys(values))
    if len(labels) > limits.LABELS:
        raise bad_field(field, f"at most {limits.LABELS} entries", len(labels))
    for index, label in enumerate(labels):
        if limits.PLAIN_LABEL.fullmatch(label):  # nearly always: no names are made for messages that nobody needs
            continue
        if not label or label != label.strip():
            raise bad_field(f"{field}[{index}]", "non-empty, without spaces around it", label)
        check_text(f"{field}[{index}]", label, limits.LABEL)
    return labels


def check_number(field: str, value: float, least: float, most: float) -> float:
    """A number within bounds, both included. NaN is within none."""
    if not least <= value <= most:
        raise bad_field(field, f"{_bound(least)} to {_bound(most)}", value)
    return value


def _bound(bound: float) -> str:
    """A limit, for a message: whole numbers in full, for a rounded one would be refused itself."""
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:,.10g}"


def check_host(field: str, value: str) -> str:
    """A host name or address, possibly empty; IPv6 may stand in brackets. Names of other letters than ASCII's go by
    their A-labels (RFC 5890 section 2.3.2.1): callers' resolvers read anything else each in its own way.
    """
    check_text(field, value, limits.HOST)
    if not value.isascii():
        raise bad_field(field, 'a host name in ASCII: give an international one by its A-labels ("xn--...")', value)
    if not _NOT_IN_HOSTS.isdisjoint(value) or value.count(":") == 1:  # IPv6 has two or more
        raise bad_field(field, "a host name or address, without scheme, port or path", value)
    return value


def check_secret(field: str, secret: str) -> str:
    """A secret of the agent's own making. Its value never enters a message."""
    size = len(secret.encode("utf-8", "surrogatepass"))
    if not limits.SECRET_MIN <= size <= limits.SECRET_MAX:
        raise bad_field(field, f"{limits.SECRET_MIN} to {limits.SECRET_MAX} bytes", Said(f"{size:,} bytes"))
    return secret


def check_load(field: str, load: Load) -> Load:
    """Load figures within their limits."""
    counts_fit = 0 <= load.in_flight <= limits.COUNT and 0 <= load.queue_depth <= limits.COUNT
    if counts_fit and 0 <= load.utilization <= limits.UTILIZATION and not load.named:
        return load  # nearly every beat: no field names are made for messages that nobody needs
    check_number(f"{field}.in_flight", load.in_flight, 0, limits.COUNT)
    check_number(f"{field}.queue_depth", load.queue_depth, 0, limits.COUNT)
    check_number(f"{field}.utilization", load.utilization, 0, limits.UTILIZATION)
    if len(load.named) > limits.NAMED_LOADS:
        raise bad_field(f"{field}.named", f"at most {limits.NAMED_LOADS} entries", len(load.named))
    for name, value in load.named.items():
        check_text(f"{field}.named key", name)
        if not math.isfinite(value):
            raise bad_field(f"{field}.named[{name!r}]", "finite", value)
    return load
