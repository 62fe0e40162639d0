"""Mass hold: many agents that fall silent together are cut off rather than dead, so they are not buried at once.

A cut (a switch, a NAT box, a paused host) makes agents fall silent without a word, all after the same silence; crashed
processes are told of by their kernels at any point between two beats. So a fall is a *suspect* of a cut if it came by a
passed deadline, or if the stream ended only after a silence as long as PING takes to give up; else it is *proven*.
Measured: of 240 cuts 240 look suspect, of 60 kills at beats of 5 s 28 (references/reliability-security.md 1.4).
"""

from collections import deque

from orion_registry.core.census import AgentKey
from orion_registry.core.entry import Entry
from orion_registry.core.model import Now

WINDOW_S = 3.0
"""Falls within this are one event: two detectors, of which the slower needs 3 s, tell of the same cut."""
AGENTS = 5
"""Fewer are no mass: three crashed agents of four are three crashed agents."""
SHARE = 0.3
"""More than this share of the agents that lived, unless the configuration says otherwise (`hold_share`)."""
SUSPECT_SHARE = 0.95
"""At least this share of the falls must be suspect: kills are spread evenly over the interval, cuts are not."""
HOLD_S = 30.0
"""How long the suspects are held. Longer calls the dead ready for longer; shorter empties a registry behind a cut."""


class Fall:
    """One agent's fall.

    Attributes:
        at: judged seconds of its first service's fall.
        suspect: nothing proves it dead.
        gone: nothing is heard of it any more; False = it is back, or another service of it lives.
        services: those that fell.
    """

    __slots__ = ("agent", "at", "gone", "services", "suspect")

    def __init__(self, agent: AgentKey, at: float) -> None:
        self.agent = agent
        self.at = at
        self.suspect = True
        self.gone = False
        self.services: list[Entry] = []


class MassHold:
    """The falls of the last seconds, and the hold that they brought about. Every call costs the same for any fleet.

    Attributes:
        until: judged seconds until which the suspects are held; before the first hold, the distant past.
        story: what happened, for the alarm; empty while nothing is held.
    """

    __slots__ = ("_by_agent", "_falls", "_gone", "_share", "_suspects", "story", "until")

    def __init__(self, share: float = SHARE) -> None:
        self._share = share
        self._falls: deque[Fall] = deque()
        self._by_agent: dict[AgentKey, Fall] = {}
        self._suspects = 0
        self._gone = 0
        self.until = float("-inf")
        self.story = ""

    def __len__(self) -> int:
        """Agents that fell within the window, as of the last call."""
        return len(self._falls)

    def lasts(self, mono: float) -> bool:
        """Whether suspects are held now."""
        return mono < self.until

    def fell(self, agent: AgentKey, service: Entry, mono: float, *, suspect: bool, gone: bool) -> None:
        """A service of an agent fell; `gone`: nothing else of the agent is heard of. Proven stays proven."""
        self._forget(mono)
        fall = self._by_agent.get(agent)
        if fall is None:
            fall = self._by_agent[agent] = Fall(agent, mono)
            self._falls.append(fall)
            self._suspects += 1
        if fall.suspect and not suspect:
            fall.suspect = False
            self._suspects -= 1
        fall.services.append(service)
        self.seen(agent, lives=not gone)

    def seen(self, agent: AgentKey, *, lives: bool) -> None:
        """Whether an agent is heard of now. Those that never fell do not matter."""
        fall = self._by_agent.get(agent)
        if fall is not None and fall.gone is lives:
            fall.gone = not lives
            self._gone += -1 if lives else 1

    def judge(self, now: Now, living: int) -> list[Entry]:
        """The services to hold from now on: those of the suspects, if the window makes a mass.

        Args:
            now: in judged time.
            living: agents that are heard of now.
        """
        self._forget(now.mono)
        lived, fallen = living + self._gone, len(self._falls)
        if self.lasts(now.mono) or not _is_mass(fallen, self._suspects, lived, self._share):
            return []
        self.until = now.mono + HOLD_S
        self.story = (
            f"{fallen} of {lived} agents fell silent together at {_clock(now.wall)}; "
            f"those not proven dead, and such as follow them, are held for up to {HOLD_S:g} s"
        )
        return [service for fall in self._falls if fall.suspect for service in fall.services]

    def end(self) -> None:
        """Nobody is held any more."""
        self.until, self.story = float("-inf"), ""

    def _forget(self, mono: float) -> None:
        falls = self._falls
        while falls and falls[0].at <= mono - WINDOW_S:
            fall = falls.popleft()
            del self._by_agent[fall.agent]
            self._suspects -= fall.suspect
            self._gone -= fall.gone


def _is_mass(fallen: int, suspects: int, lived: int, share: float) -> bool:
    return fallen >= AGENTS and fallen > share * lived and suspects >= SUSPECT_SHARE * fallen


def _clock(wall: float) -> str:
    """Time of day, for people."""
    minutes, seconds = divmod(int(wall) % 86_400, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02} UTC"
