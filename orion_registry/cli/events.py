"""`orion-registry events`: what happened in a registry, and what happens."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import click

from orion_registry.cli.outcome import ADDRESS, connect, run
from orion_registry.cli.place import Place, read_place
from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.core import events as core
from orion_registry.core.events import EventFilter, EventType, LoggedEvent, RegistryEvent
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.errors import OutOfRange, Reason, Unavailable

if TYPE_CHECKING:
    from orion_registry.client.admin import AdminClient

Show = Callable[[LoggedEvent], None]

PAGE = 1_000
TYPES = tuple(kind.name for kind in EventType)

_HELP = """\
Show what happened in a registry since it started, the oldest first; with --follow go on with what happens.

The registry keeps the last 10,000 events. Each has a number (SEQ) that rises by one; after a restart they begin at 1
again. So a place to go on from names the life of the registry as well, HISTORY:SEQ; `orion-registry info` shows it
under history. A bare SEQ is taken to be of the present life. docs/events.md lists the types.

With --follow it ends with 1 when the registry stops or is out of reach; the line on stderr names the place to go on
from, if there is one. A registry that starts anew is another life: begin without --since.

\b
Examples:
  orion-registry events                                    all that are kept
  orion-registry events --follow                           these, then those that come
  orion-registry events --follow --type STATUS_CHANGED --type SERVICE_REMOVED
  orion-registry events --agent calc-1                     what became of one agent
  orion-registry events --namespace payments               what whoever may look there alone can see
  orion-registry events --since 1500 --json                after number 1500, a JSON object a line
  orion-registry events --follow --since 9f86d081884c7d65:1500    the same, unless the registry was started anew
  orion-registry events --json | jq -r .type | sort | uniq -c

\b
Exit codes: 0 done, or stdout was closed; 1 it failed (unreachable, refused, the followed registry stopped, events
after --since are lost or of another life); 2 wrong usage; 130 stopped with Ctrl-C. One line on stderr says why.
"""


@click.command(help=_HELP, short_help="Show what happened, and what happens.")
@ADDRESS
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C, or the registry stops.")
@click.option(
    "--type",
    "types",
    metavar="TYPE",
    multiple=True,
    type=click.Choice(TYPES, case_sensitive=False),
    help=f"Only events of this type; may be given several times. One of {', '.join(TYPES)}.",
)
@click.option("--service", metavar="ID", default="", help="Only events of the service with this service_id.")
@click.option("--agent", metavar="ID", default="", help="Only events of this agent's services.")
@click.option("--namespace", metavar="NAME", default="", help="Only events of this namespace's services.")
@click.option(
    "--since",
    metavar="[HISTORY:]SEQ",
    default="0",
    callback=read_place,
    help="Only events after this number; with HISTORY, of this life of the registry and no other.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def events(
    address: str | None,
    follow: bool,
    types: tuple[str, ...],
    service: str,
    agent: str,
    namespace: str,
    since: Place,
    as_json: bool,
) -> int:
    """See `_HELP`."""
    wanted = EventFilter(
        types=frozenset(EventType[name] for name in types), service_id=service, agent_id=agent, namespace=namespace
    )
    show = _show_json if as_json else _Lines()
    work = _follow if follow else _list
    return run(work(address or "", wanted, since, show))


async def _list(address: str, wanted: EventFilter, since: Place, show: Show) -> None:
    async with connect(address) as admin:
        await _check_life(admin, since)
        page = await admin.list_events(wanted, after_seq=since.seq, history_id=since.history_id, page_size=PAGE)
        end = page.last_seq  # those that come while it lists are for the next time
        while True:
            for logged in page.events:
                if logged.seq <= end:
                    show(logged)
            if page.after_seq >= end:
                return
            page = await admin.list_events(wanted, after_seq=page.after_seq, history_id=page.history_id, page_size=PAGE)


async def _follow(address: str, wanted: EventFilter, since: Place, show: Show) -> None:
    from orion_registry.client.failures import Unreachable  # see `connect`

    place = since
    async with connect(address) as admin:
        await _check_life(admin, since)
        try:
            async for page in admin.watch_events(wanted, after_seq=since.seq, history_id=since.history_id):
                for logged in page.events:
                    show(logged)
                place = Place(seq=page.after_seq, history_id=page.history_id)
        except Unreachable as error:
            advice = f"; go on with --since {place}" if place.seq else ""
            raise Unavailable(error.reason, error.message + advice) from None


async def _check_life(admin: "AdminClient", since: Place) -> None:
    """Refuses a place in another life in words that fit a command line; who restarts just now is refused all the same.

    Raises:
        OutOfRange: it is.
    """
    if not since.history_id:
        return
    present = (await admin.server_info()).history_id
    if since.history_id != present:
        message = (
            f"--since {since} is of another life of the registry: this one is {present}, and its events begin at 1; "
            "leave --since out to see them"
        )
        raise OutOfRange(Reason.OUT_OF_RANGE, message)


# For people.


class _Lines:
    """A line for each event."""

    def __init__(self) -> None:
        self._paint = Paint()

    def __call__(self, logged: LoggedEvent) -> None:
        """Prints it."""
        event = logged.event
        colour = "red" if event.type is EventType.ALARM_RAISED else "dim"
        when = self._paint(show_time(logged.wall), "dim")
        whose = ""
        if isinstance(event, core.ServiceEvent):
            whose = f"{event.agent_id}  {event.service_id}  "
        kind = self._paint(f"{event.type.name:<18}", colour)
        print(f"{logged.seq:>7}  {when}  {kind}  {whose}{self._told(event)}".rstrip(), flush=True)

    def _told(self, event: RegistryEvent) -> str:
        match event:
            case core.StatusChanged():
                change = self._paint.status(event.after)
                if event.before is not event.after:
                    change = f"{self._paint.status(event.before)} -> {change}"
                return f"{change} ({_reasons(event.reasons)}){_unready(event)}"
            case core.ServiceRegistered():
                place = f"{event.service_name} in {event.namespace}"
                return f"{place}: {self._paint.status(event.status)} ({_reasons(event.reasons)})"
            case core.ServiceUpdated():
                return f"generation {event.generation:,}"
            case core.ServiceRemoved():
                return f"{event.removal.name}, was {self._paint.status(event.status)}"
            case core.OverlaySet():
                return _told_of_overlay(event)
            case core.OverlayCleared():
                return f"by {event.cleared_by}" if event.cleared_by else ""
            case core.CheckNotRun():
                return f"{event.check}: {event.verdict.name}, {event.detail}"
            case _:
                return _told_of_registry(event)


def _told_of_overlay(event: core.OverlaySet) -> str:
    told = [event.mode.name]
    if event.weight is not None:
        told.append(f"weight {event.weight:g}")
    if event.deadline_s is not None:
        told.append(f"deadline {show_span(event.deadline_s)}")
    if event.set_by:
        told.append(f"by {event.set_by}")
    return ", ".join(told) + (f": {event.note}" if event.note else "")


def _told_of_registry(event: core.OwnEvent) -> str:
    match event:
        case core.StallCredited():
            return f"stood still for {show_span(event.lag_s)}"
        case core.AlarmRaised():
            return f"{event.name}: {event.text}"
        case core.AlarmCleared():
            return event.name
        case core.HellosRefused():
            return f"{plural(event.count, 'hello')} told to come back later"
        case core.SnapshotImported():
            return f"{plural(event.added, 'service')} added, {event.kept:,} kept"
        case core.RegistryStarted():
            return f"{plural(event.services, 'service')} restored"
        case core.RegistryStopping():
            return ""


def _unready(event: core.StatusChanged) -> str:
    healthy = event.after is ServiceStatus.HEALTHY
    return ", not ready" if healthy and not event.ready else ""


def _reasons(codes: Sequence[StatusReasonCode]) -> str:
    return ", ".join(code.name for code in codes)


# JSON.


def _show_json(logged: LoggedEvent) -> None:
    about = {"seq": logged.seq, "time": show_time(logged.wall), "type": logged.event.type.name}
    print(json.dumps(about | _fields(logged.event)), flush=True)


def _fields(event: RegistryEvent) -> dict[str, Any]:
    return {field.name: _plain(getattr(event, field.name)) for field in fields(event)}


def _plain(value: Any) -> Any:
    if isinstance(value, IntEnum | ServiceStatus):
        return value.name
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
