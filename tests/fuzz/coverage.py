"""How often each field of each request was set, counted on what was really sent."""

from collections import Counter
from typing import Any

from tests.fuzz.schema import Fields, Rpc

ENTRIES_LOOKED_AT = 3
"""Of a repeated field: enough to see what is set in it, whatever its size."""


class Coverage:
    """Counts, for each way into a request, the messages that had a value there."""

    def __init__(self, rpcs: tuple[Rpc, ...]) -> None:
        self._counts: dict[str, Counter[tuple[str, ...]]] = {rpc.path: Counter() for rpc in rpcs}
        self._rpcs = rpcs

    def note(self, rpc: Rpc, message: Any) -> None:
        """Counts the fields that are set in a message."""
        seen: set[tuple[str, ...]] = set()
        _collect(message, (), (), seen)
        self._counts[rpc.path].update(seen)

    def least(self, rpc: Rpc) -> Fields | None:
        """The way that was taken least so far; None if the request has no field."""
        counts = self._counts[rpc.path]
        return min(rpc.fields, key=lambda way: counts[tuple(field.name for field in way)], default=None)

    def lowest(self) -> list[tuple[int, str, str]]:
        """Count, RPC and field of all, the lowest first."""
        return sorted(
            (self._counts[rpc.path][tuple(field.name for field in way)], rpc.name, ".".join(f.name for f in way))
            for rpc in self._rpcs
            for way in rpc.fields
        )


def _collect(message: Any, way: tuple[str, ...], types: tuple[str, ...], seen: set[tuple[str, ...]]) -> None:
    for field, value in message.ListFields():
        here = (*way, field.name)
        seen.add(here)
        inner = field.message_type
        if inner is None or inner.full_name in types:
            continue
        below = (*types, inner.full_name)
        if inner.GetOptions().map_entry:
            _collect_map(inner, value, here, below, seen)
        elif field.is_repeated:
            for item in value[:ENTRIES_LOOKED_AT]:
                _collect(item, here, below, seen)
        else:
            _collect(value, here, below, seen)


def _collect_map(entry: Any, value: Any, way: tuple[str, ...], types: tuple[str, ...], seen: set[Any]) -> None:
    """A map's entries always have both key and value."""
    seen.update(((*way, "key"), (*way, "value")))
    inner = entry.fields_by_name["value"].message_type
    if inner is not None and inner.full_name not in types:
        for key in list(value)[:ENTRIES_LOOKED_AT]:
            _collect(value[key], (*way, "value"), (*types, inner.full_name), seen)
