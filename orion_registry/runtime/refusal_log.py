"""Says in the log that limits turn somebody away: one line a second for each limit, however many there are."""

import logging
from collections.abc import Mapping

from orion_registry.core.access.refused import Refused
from orion_registry.errors import Limit

EVERY_S = 1.0

log = logging.getLogger("orion_registry")


class RefusalLog:
    """Looks at the counts again and again."""

    def __init__(self, refused: Refused) -> None:
        self._refused = refused
        self._told: Mapping[Limit, int] = {}
        self._told_at = float("-inf")

    def tick(self, mono: float) -> None:
        """Tells what was refused since the last time, if that is a second ago."""
        if mono - self._told_at < EVERY_S:
            return
        counts = self._refused.counts
        if counts == self._told:
            return
        for limit, count in counts.items():
            if more := count - self._told.get(limit, 0):
                log.info("refused", extra={"limit": limit.value, "refused": more, "in_all": count})
        self._told, self._told_at = counts, mono
