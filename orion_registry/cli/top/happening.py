"""Events as lines of a screen. Pure."""

from orion_registry.cli.event_showing import colour_of_event, told_of
from orion_registry.cli.showing import Paint, show_time
from orion_registry.cli.top.line import Line, Piece, clean, padded
from orion_registry.cli.top.state import State
from orion_registry.core.events import LoggedEvent, ServiceEvent

_PLAIN = Paint(on=False)
_WHO, _WHO_NARROW = 26, 18
_WIDE = 100
"""Width from which there is room for the type of an event, which mostly the rest says, too; and for longer names."""


def event_lines(state: State, width: int, most: int) -> list[Line]:
    """The last events, the oldest first: at most so many."""
    events = list(state.events)[-most:] if most > 0 else []
    return [event_line(state, logged, width) for logged in events]


def event_line(state: State, logged: LoggedEvent, width: int) -> Line:
    """When, what, whose, and the rest."""
    event = logged.event
    told: list[Piece] = [(show_time(logged.wall, "seconds")[11:19] + " ", "dim")]
    if width >= _WIDE or not isinstance(event, ServiceEvent):
        told.append((padded(event.type.name, 18) + " ", colour_of_event(event) or "dim"))
    if isinstance(event, ServiceEvent):
        row = state.fleet.rows.get(event.service_id)
        told.append(
            (
                padded(row.name if row is not None else event.agent_id, _WHO if width >= _WIDE else _WHO_NARROW) + " ",
                "bold",
            )
        )
    return [*told, (clean(told_of(event, _PLAIN)), colour_of_event(event))]
