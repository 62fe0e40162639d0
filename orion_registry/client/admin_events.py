"""What events are asked for, and what comes: pages of the log, and news of it."""

from dataclasses import dataclass

from orion_registry.core.events import EventFilter, EventType, LoggedEvent

__all__ = ["EventFilter", "EventPage", "EventType", "LoggedEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Events that pass a filter, the oldest first.

    Attributes:
        events: what came; those of a type that this version does not know are left out.
        after_seq: everything up to it has been looked at; where to go on.
        history_id: the life of the registry that the numbers are of.
        oldest_seq: the oldest event that is kept, last_seq the latest one; both 0 in news of a watch.
    """

    events: tuple[LoggedEvent, ...]
    after_seq: int
    history_id: str
    oldest_seq: int = 0
    last_seq: int = 0
