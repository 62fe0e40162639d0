"""Makes events of what the core counts about itself: stalls that it credited, hellos that it sent away."""

from collections.abc import Iterator

from orion_registry.core.events import HellosRefused, RegistryEvent, StallCredited
from orion_registry.core.registry import Registry


class VitalSigns:
    """Looks at a registry's counters again and again."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._credited_s = 0.0
        self._refused = 0

    def news(self) -> Iterator[RegistryEvent]:
        """What has happened since it was asked last. Cheap: asked with every tick."""
        credited_s, refused = self._registry.self_health().credited_s, self._registry.refused_hellos
        if credited_s > self._credited_s:
            yield StallCredited(lag_s=credited_s - self._credited_s)
        if refused > self._refused:
            yield HellosRefused(count=refused - self._refused)
        self._credited_s, self._refused = credited_s, refused
