"""`orion-registry drain|maintenance|quarantine|weight|clear|overlays|remove`: services out of selection, and back."""

import asyncio
import json
import sys
from typing import Any

import click

from orion_registry.cli import overlay_help as texts
from orion_registry.cli.finding import find_one
from orion_registry.cli.outcome import ADDRESS, connect, connect_registry, run
from orion_registry.cli.overlay_showing import as_plain, has_work, line_of, tell
from orion_registry.cli.overlay_target import check_one, read_target
from orion_registry.cli.showing import Paint, plural
from orion_registry.cli.span import SPAN
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason

_NOBODY_THERE = "nobody is registered there, so there is nothing to wait for; it is set, and holds once one comes"
_ENDED = "{} drained no more before it was over: somebody cleared or changed what was set"
LOOK_S = 0.5
"""How often --wait looks."""

_WHOM = click.argument("whom", metavar="WHOM")
_NOTE = click.option("--note", metavar="TEXT", default="", help="Why, for others who look; at most 256 characters.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")


@click.command(help=texts.DRAIN, short_help="Have services finish, and take nothing new.")
@_WHOM
@ADDRESS
@click.option("--deadline", type=SPAN, help="When they are DRAINED whatever is left, such as 30s, 10m, 2h.")
@_NOTE
@click.option("--wait", is_flag=True, help="Return once all of them are DRAINED or not registered any more.")
@_JSON
def drain(whom: str, address: str | None, deadline: float | None, note: str, wait: bool, as_json: bool) -> int:
    """See `overlay_help.DRAIN`."""
    target = read_target(whom)
    return run(_drain(target, address or "", deadline, note, wait, as_json))


@click.command(help=texts.MAINTENANCE, short_help="Take services out while somebody works on them.")
@_WHOM
@ADDRESS
@_NOTE
@_JSON
def maintenance(whom: str, address: str | None, note: str, as_json: bool) -> int:
    """See `overlay_help.MAINTENANCE`."""
    return run(_set(read_target(whom), address or "", OverlayMode.MAINTENANCE, note=note, as_json=as_json))


@click.command(help=texts.QUARANTINE, short_help="Take services out that are not trusted.")
@_WHOM
@ADDRESS
@_NOTE
@_JSON
def quarantine(whom: str, address: str | None, note: str, as_json: bool) -> int:
    """See `overlay_help.QUARANTINE`."""
    return run(_set(read_target(whom), address or "", OverlayMode.QUARANTINE, note=note, as_json=as_json))


@click.command(help=texts.WEIGHT, short_help="Set the share of calls that services get.")
@_WHOM
@click.argument("weight", metavar="WEIGHT", type=float)
@ADDRESS
@_NOTE
@_JSON
def weight(whom: str, weight: float, address: str | None, note: str, as_json: bool) -> int:
    """See `overlay_help.WEIGHT`."""
    return run(_set(read_target(whom), address or "", None, weight=weight, note=note, as_json=as_json))


@click.command(help=texts.CLEAR, short_help="End what is set for services.")
@_WHOM
@ADDRESS
@_JSON
def clear(whom: str, address: str | None, as_json: bool) -> int:
    """See `overlay_help.CLEAR`."""
    return run(_set(read_target(whom), address or "", OverlayMode.NONE, as_json=as_json))


@click.command(help=texts.OVERLAYS, short_help="Show what is set for services.")
@ADDRESS
@click.option(
    "--mode",
    type=click.Choice([mode.name.lower() for mode in OverlayMode], case_sensitive=False),
    help="Only those with this mode; none: a weight alone.",
)
@click.option("--namespace", metavar="NAME", default="", help="Only those of this namespace.")
@click.option("--agent", metavar="ID", default="", help="Only those for this agent's services.")
@click.option("--name", metavar="NAME", default="", help="Only those for services of this name.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def overlays(address: str | None, mode: str | None, namespace: str, agent: str, name: str, as_json: bool) -> int:
    """See `overlay_help.OVERLAYS`."""
    wanted = OverlayMode[mode.upper()] if mode else None
    return run(_list(address or "", wanted, {"namespace": namespace, "agent_id": agent, "service_name": name}, as_json))


@click.command(help=texts.REMOVE, short_help="Remove a service whoever holds it.")
@_WHOM
@ADDRESS
@_JSON
def remove(whom: str, address: str | None, as_json: bool) -> int:
    """See `overlay_help.REMOVE`."""
    check_one(whom)
    return run(_remove(whom, address or "", as_json))


# Work.


async def _set(
    target: ServiceKey | Selector, address: str, mode: OverlayMode | None, *, as_json: bool, **fields: Any
) -> None:
    async with connect(address) as admin:
        done = await admin.set_overlay(target, mode, **fields)
    tell(done, mode, as_json=as_json)


async def _drain(
    target: ServiceKey | Selector, address: str, deadline_s: float | None, note: str, wait: bool, as_json: bool
) -> None:
    async with connect(address) as admin:
        done = await admin.set_overlay(target, OverlayMode.DRAIN, deadline_s=deadline_s, note=note)
        if wait and done.service_ids and not done.registered:
            raise NotFound(Reason.NO_SUCH_SERVICE, _NOBODY_THERE)
        left = frozenset(done.service_ids) if wait else frozenset[str]()
        shown, working = len(left) + 1, 0
        while left:
            seen = {state.key.service_id: state async for state in admin.overlays(OverlayMode.DRAIN)}
            if ended := left - seen.keys():
                raise NotFound(Reason.NO_MATCH, _ENDED.format(plural(len(ended), "service")))
            over = frozenset(one for one in left if seen[one].drained or not seen[one].registered)
            working += sum(has_work(seen[one]) for one in over)
            left -= over
            if left:
                if len(left) < shown and sys.stderr.isatty():
                    print(f"waiting for {plural(len(left), 'service')}", file=sys.stderr, flush=True)
                shown = len(left)
                await asyncio.sleep(LOOK_S)
    tell(done, OverlayMode.DRAIN, waited=wait, working=working, as_json=as_json)


async def _list(address: str, mode: OverlayMode | None, wanted: dict[str, str], as_json: bool) -> None:
    paint, count = Paint(), 0
    async with connect(address) as admin:
        async for state in admin.overlays(mode, **wanted):
            count += 1
            print(json.dumps(as_plain(state)) if as_json else line_of(state, paint))
    if not count and not as_json:
        print("nothing is set")


async def _remove(whom: str, address: str, as_json: bool) -> None:
    async with connect_registry(address) as client:
        service_id = (await find_one(client, whom)).service_id
    async with connect(address) as admin:
        revision = await admin.remove_service(service_id)
    print(json.dumps({"service_id": service_id, "revision": revision}) if as_json else f"removed {service_id}")
