"""What a busy service works on, as its beats tell it: without progress for too long it is STUCK.

News comes only when something changes, so that nothing changes is found by a timer. Of an agent nothing but its own
words is known: `since` is never earlier than the age that it gives its task, so a new task needs no name.
"""

from orion_registry.core.entry import Entry


class Task:
    """The task of one service, and the timer until it is STUCK (see `Deadlines`).

    Attributes:
        since: judged seconds of the last progress, or of the task's beginning; None = idle.
        progress: the counter as told last.
        suspended: the session that told of it is over, and the one after it has told of none.
    """

    __slots__ = ("armed", "deadline", "entry", "ordinal", "progress", "since", "suspended")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.ordinal = entry.ordinal
        self.deadline: float | None = None
        self.armed: float | None = None
        self.since: float | None = None
        self.progress = 0
        self.suspended = False

    def told(self, progress: int, age_s: float | None, mono: float) -> None:
        """A beat told of it: the counter, and how old the task is; no age = idle."""
        self.suspended = False
        if age_s is None:
            self.since = None
        elif self.since is not None and progress != self.progress:
            self.since = mono
        else:  # one not seen before, the same one, or another that began since
            began = mono if self.since is None and progress else mono - age_s  # it got on: when is not known
            self.since = began if self.since is None else max(self.since, began)
        self.progress = progress

    def stuck_at(self, stuck_after_s: float) -> float | None:
        """Judged seconds from which it is STUCK unless it gets on; None = never."""
        if self.since is None or self.suspended or not stuck_after_s:
            return None
        return self.since + stuck_after_s
