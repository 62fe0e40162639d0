"""Makes events of what the core counts about itself: stalls that it credited, hellos that it sent away."""

from collections.abc import Iterator

from orion_registry.core.events import HellosRefused, RegistryEvent, StallCredited
from orion_registry.core.registry import Registry

HELLOS_EVERY = 10
"""Ticks between two events about hellos at least: in a flood one a second says as much as ten."""


class VitalSigns:
    """Looks at a registry's counters again and again."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._credited_s = 0.0
        self._refused = 0
        self._asked = HELLOS_EVERY

    def news(self) -> Iterator[RegistryEvent]:
        """What has happened since it was asked last. Cheap: asked with every tick. Of hellos it tells now and then."""
        credited_s, refused = self._registry.self_health().credited_s, self._registry.refused_hellos
        if credited_s > self._credited_s:
            yield StallCredited(lag_s=credited_s - self._credited_s)
        self._credited_s = credited_s
        self._asked += 1
        if refused > self._refused and self._asked >= HELLOS_EVERY:
            yield HellosRefused(count=refused - self._refused)
            self._refused, self._asked = refused, 0
