"""What happened, for people to read when a rule breaks, and as one number for replays to compare."""

import zlib
from collections import deque

KEPT_EACH = 40
"""Events kept of each agent."""


class Trace:
    """The last events of each agent and of the daemon, and a sum over all of them. Beats are not noted."""

    def __init__(self) -> None:
        self.sum = 0
        self._of: dict[str, deque[tuple[float, str, str]]] = {}

    def note(self, at: float, who: str, what: str) -> None:
        """Notes an event; `who` is an agent, or empty for the daemon and the whole fleet."""
        item = (at, who, what)
        self.sum = zlib.crc32(f"{at!r} {who} {what}".encode(), self.sum)
        own = self._of.get(who)
        if own is None:
            own = self._of[who] = deque(maxlen=KEPT_EACH)
        own.append(item)

    def told(self, who: str) -> list[str]:
        """The last events of an agent, mixed with those of the daemon, in order."""
        items = sorted([*self._of.get(who, ()), *(self._of.get("", ()) if who else ())], key=lambda item: item[0])
        return [f"{at:12.4f}  {name or 'daemon'}: {what}" for at, name, what in items[-2 * KEPT_EACH :]]
