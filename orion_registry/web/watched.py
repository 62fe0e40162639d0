"""What the port counts itself: what became of services, out of the log of events, and its own requests."""

from collections import Counter
from collections.abc import Sequence

from orion_registry.core.events import EventType, LoggedEvent, ServiceRemoved, StatusChanged
from orion_registry.core.model import RemovalReason, ServiceStatus, StatusReasonCode


class Watched:
    """Counts since the port was opened.

    Attributes:
        changes: changes of status, by the new status and the worst reason.
        events: all events, by type.
        removals: services removed, by why.
        requests: answers, by path as in the table of paths ("other": there is none such) and HTTP status.
        streams: server-sent streams open.
        cuts: of these, ended because their reader took nothing.
    """

    def __init__(self) -> None:
        self.changes: Counter[tuple[ServiceStatus, StatusReasonCode]] = Counter()
        self.events: Counter[EventType] = Counter()
        self.removals: Counter[RemovalReason] = Counter()
        self.requests: Counter[tuple[str, int]] = Counter()
        self.streams = 0
        self.cuts = 0

    def take(self, events: Sequence[LoggedEvent]) -> None:
        """Takes events from the log; what was restored from the store (number 0) is no news."""
        for logged in events:
            event = logged.event
            if logged.seq == 0:
                continue
            self.events[event.type] += 1
            if isinstance(event, StatusChanged):
                if event.before is not event.after:
                    self.changes[event.after, event.reasons[0]] += 1
            elif isinstance(event, ServiceRemoved):
                self.removals[event.removal] += 1
