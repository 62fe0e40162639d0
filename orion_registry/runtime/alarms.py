"""What is wrong with the registry itself, now: raised and cleared by whoever notices, logged once each way."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from orion_registry.core.events import AlarmCleared, AlarmRaised
from orion_registry.runtime.clock import Clock

log = logging.getLogger("orion_registry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One thing that is wrong: its name, what was seen, and since when (wall clock, a label)."""

    name: str
    message: str
    since_wall: float


class Alarms:
    """The alarms that hold now, by name. `tell` hears of each change."""

    def __init__(self, clock: Clock, tell: Callable[[AlarmRaised | AlarmCleared], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._held: dict[str, Alarm] = {}

    @property
    def held(self) -> tuple[Alarm, ...]:
        """All that hold, the oldest first."""
        return tuple(self._held.values())

    def keep(self, name: str, trouble: str) -> None:
        """Makes an alarm hold while there is trouble, and clears it when `trouble` is empty. Told once each way."""
        held = self._held.get(name)
        if trouble and held is not None:
            self._held[name] = replace(held, message=trouble)
        elif trouble:
            self._held[name] = Alarm(name=name, message=trouble, since_wall=self._clock.now().wall)
            log.error("alarm", extra={"alarm": name, "error": trouble})
            self._tell(AlarmRaised(name=name, text=trouble))
        elif held is not None:
            del self._held[name]
            log.info("alarm cleared", extra={"alarm": name})
            self._tell(AlarmCleared(name=name))
