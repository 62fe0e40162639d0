"""`orion-registry members`: the daemons of a cluster, as one of them sees the others."""

import json
from collections.abc import Iterator
from typing import Any

import click

from orion_registry.cli.outcome import ADDRESS, connect, run
from orion_registry.cli.showing import Paint, show_span, show_time
from orion_registry.cli.table import Cell, table
from orion_registry.wire.server_info import MemberInfo, ServerInfo

TIMEOUT_S = 5.0

_HELP = """\
Show the members of a cluster: who is there, where, what each owns.

The one that is asked answers from what it knows: the members that etcd shows, how many services each owns, and the
streams that each told of. `unreachable` is one that etcd shows and that does not answer: it hangs, or the two are cut
off from each other. A daemon that is alone has no members.

\b
Examples:
  orion-registry members                             the cluster of the daemon on 127.0.0.1:6746
  orion-registry members --address 10.0.0.5:6746     as another member sees it
  orion-registry members --json | jq -r .name        one name a line

\b
Exit codes: 0 all of them can be reached, 1 one cannot, or the daemon is alone or gave no answer, 2 wrong usage.
"""

_HEADER = ("MEMBER", "STATE", "SERVICES", "STREAMS", "ADDRESSES", "VERSION", "SINCE")


@click.command(help=_HELP, short_help="Show the members of a cluster.")
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line, one for each member.")
def members(address: str | None, as_json: bool) -> int:
    """See `_HELP`."""
    return run(_members(address or "", as_json))


async def _members(address: str, as_json: bool) -> int:
    async with connect(address, timeout_s=TIMEOUT_S) as admin:
        info = await admin.server_info()
    if as_json:
        for member in info.members:
            print(json.dumps(as_plain(member)))
    else:
        for line in lines_of(info, Paint()):
            print(line)
    return 0 if info.members and all(member.reachable for member in info.members) else 1


def as_plain(member: MemberInfo) -> dict[str, Any]:
    """For JSON."""
    return {
        "name": member.name,
        "history_id": member.history_id,
        "addresses": list(member.addresses),
        "version": member.version,
        "started": show_time(member.started_wall),
        "answers": member.answers,
        "reachable": member.reachable,
        "services": member.services,
        "streams": member.streams,
    }


def lines_of(info: ServerInfo, paint: Paint) -> Iterator[str]:
    """For people."""
    if not info.members:
        yield "this daemon is alone: it was started without etcd_endpoints"
        return
    yield from table(_HEADER, [_row(member) for member in info.members], paint)
    if info.stale_for_s:
        yield paint(f"etcd has not answered for {show_span(info.stale_for_s)}: this may be old", "yellow")


def _row(member: MemberInfo) -> tuple[Cell, ...]:
    state: Cell = ("unreachable", "red")
    if member.reachable:
        state = ("answers" if member.answers else "there", "green")
    return (
        member.name,
        state,
        f"{member.services:,}",
        "" if member.streams is None else f"{member.streams:,}",
        ", ".join(member.addresses),
        member.version,
        show_time(member.started_wall, "seconds"),
    )
