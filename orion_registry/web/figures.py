"""What changes too often for events, in a compact form: how busy services are, and what capabilities have left."""

import json
from collections.abc import Iterable
from typing import Any

from orion_registry.core.entry import Entry
from orion_registry.core.model import Now
from orion_registry.core.registry import Registry
from orion_registry.core.selection.slots import NO_LIMIT, Slots
from orion_registry.core.selector import Selector
from orion_registry.wire.json_service import json_time

IDS_MOST = 200
"""Services in one question about vitals."""

_PAGE = 1_000


def vitals(registry: Registry, entries: Iterable[Entry], now: Now) -> str:
    """How busy some services are, by id, and how long they have been silent (seconds)."""
    judged = registry.judged(now)
    told: dict[str, Any] = {}
    for entry in entries:
        slots, load, pulse = registry.balancing.slots_of(entry.service_id), entry.load, entry.pulse
        told[entry.service_id] = {
            "in_flight": slots.in_flight,
            "max_concurrency": entry.spec.max_concurrency,
            "queue_depth": load.queue_depth if load is not None else 0,
            "utilization": load.utilization if load is not None else 0.0,
            "beat_age": round(max(0.0, judged - pulse.mono), 3) if pulse is not None else None,
            "last_heartbeat": json_time(pulse.wall) if pulse is not None else None,
        }
    return json.dumps({"services": told}, separators=(",", ":"))


class _Supply:
    """What one capability has."""

    __slots__ = ("free", "ready", "services", "slots", "unlimited")

    def __init__(self) -> None:
        self.services = self.ready = self.slots = self.free = self.unlimited = 0

    def add(self, ready: bool, slots: Slots) -> None:
        """One more service that offers it. Only those that are ready have slots to give."""
        self.services += 1
        if not ready:
            return
        self.ready += 1
        if slots.limit >= NO_LIMIT:
            self.unlimited += 1
        else:
            self.slots += slots.limit
            self.free += max(0, slots.limit - slots.in_flight)


def capabilities(registry: Registry, selector: Selector) -> str:
    """Of each capability: services that offer it, those that are ready, and their slots, in all and free.

    unlimited counts the ready ones that take any number of calls; their slots are in neither figure.
    """
    supplies: dict[str, _Supply] = {}
    for entry in all_of(registry, selector):
        slots, ready = registry.balancing.slots_of(entry.service_id), entry.snapshot.ready
        for name in entry.spec.capabilities:
            supplies.setdefault(name, _Supply()).add(ready, slots)
    told = [
        {
            "capability": name,
            "services": supply.services,
            "ready": supply.ready,
            "slots": supply.slots,
            "free": supply.free,
            "unlimited": supply.unlimited,
        }
        for name, supply in sorted(supplies.items())
    ]
    return json.dumps({"capabilities": told}, ensure_ascii=False, separators=(",", ":"))


def all_of(registry: Registry, selector: Selector) -> Iterable[Entry]:
    """All services that a query finds. Raises InvalidArgument."""
    token = ""
    while True:
        page = registry.discover(selector, _PAGE, token)
        yield from page.entries
        token = page.token_after(len(page.entries) - 1)
        if not token:
            return
