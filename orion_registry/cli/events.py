"""`orion-registry events`: what happened in a registry, and what happens."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from orion_registry.cli.event_showing import colour_of_event, event_plain, told_of, whose
from orion_registry.cli.outcome import ADDRESS, connect, run
from orion_registry.cli.place import Place, read_place
from orion_registry.cli.showing import Paint, show_time
from orion_registry.core.events import EventFilter, EventType, LoggedEvent
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
  orion-registry events -f -n 20                           the last 20, then those that come
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
@click.option("--last", "-n", metavar="N", type=click.IntRange(0), help="Begin with the last N that happened.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def events(
    address: str | None,
    follow: bool,
    types: tuple[str, ...],
    service: str,
    agent: str,
    namespace: str,
    since: Place,
    last: int | None,
    as_json: bool,
) -> int:
    """See `_HELP`."""
    if last is not None and since != Place():
        raise click.UsageError("--since and --last both say where to begin: leave one out")
    wanted = EventFilter(
        types=frozenset(EventType[name] for name in types), service_id=service, agent_id=agent, namespace=namespace
    )
    show = _show_json if as_json else _Lines()
    work = _follow if follow else _list
    return run(work(address or "", wanted, since, last, show))


async def _list(address: str, wanted: EventFilter, since: Place, last: int | None, show: Show) -> None:
    async with connect(address) as admin:
        since = await _begin(admin, since, last)
        page = await admin.list_events(wanted, after_seq=since.seq, history_id=since.history_id, page_size=PAGE)
        end = page.last_seq  # those that come while it lists are for the next time
        while True:
            for logged in page.events:
                if logged.seq <= end:
                    show(logged)
            if page.after_seq >= end:
                return
            page = await admin.list_events(wanted, after_seq=page.after_seq, history_id=page.history_id, page_size=PAGE)


async def _follow(address: str, wanted: EventFilter, since: Place, last: int | None, show: Show) -> None:
    from orion_registry.client.failures import Unreachable  # see `connect`

    async with connect(address) as admin:
        place = since = await _begin(admin, since, last)
        try:
            async for page in admin.watch_events(wanted, after_seq=since.seq, history_id=since.history_id):
                for logged in page.events:
                    show(logged)
                place = Place(seq=page.after_seq, history_id=page.history_id)
        except Unreachable as error:
            advice = f"; go on with --since {place}" if place.seq else ""
            raise Unavailable(error.reason, error.message + advice) from None


async def _begin(admin: "AdminClient", since: Place, last: int | None) -> Place:
    """Where to begin. A place in another life is refused in words that fit a command line; who restarts just now is
    refused all the same.

    Raises:
        OutOfRange: it is in another life.
    """
    if last is not None:
        info = await admin.server_info()
        return Place(seq=max(0, info.event_seq - last), history_id=info.history_id)
    if not since.history_id:
        return since
    present = (await admin.server_info()).history_id
    if since.history_id != present:
        message = (
            f"--since {since} is of another life of the registry: this one is {present}, and its events begin at 1; "
            "leave --since out to see them"
        )
        raise OutOfRange(Reason.OUT_OF_RANGE, message)
    return since


# For people.


class _Lines:
    """A line for each event."""

    def __init__(self) -> None:
        self._paint = Paint()

    def __call__(self, logged: LoggedEvent) -> None:
        """Prints it."""
        event = logged.event
        when = self._paint(show_time(logged.wall), "dim")
        kind = self._paint(f"{event.type.name:<18}", colour_of_event(event) or "dim")
        print(f"{logged.seq:>7}  {when}  {kind}  {whose(event)}{told_of(event, self._paint)}".rstrip(), flush=True)


# JSON.


def _show_json(logged: LoggedEvent) -> None:
    print(json.dumps(event_plain(logged)), flush=True)
