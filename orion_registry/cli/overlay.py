"""`orion-registry drain|maintenance|quarantine|weight|clear|overlays|remove`: services out of selection, and back."""

import asyncio
import json
import sys
from typing import Any

import click

from orion_registry.cli.outcome import ADDRESS, connect, run
from orion_registry.cli.overlay_target import TARGET_HELP, read_target
from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector
from orion_registry.errors import NotFound, Reason
from orion_registry.wire.overlay import OverlayState, SetOverlays

_NOBODY_THERE = "nobody is registered there, so there is nothing to wait for; it is set, and holds once one comes"
_ENDED = "{} drained no more before it was over: somebody cleared or changed what was set"
LOOK_S = 0.5
"""How often --wait looks."""

_ENDS = """
\b
Exit codes: 0 done, 1 it failed (unreachable, refused, nobody is meant), 2 wrong usage"""
_LINE = "One line on stderr says why.\n"
_CODES = f"{_ENDS}.\n{_LINE}"
_CODES_OF_DRAIN = f"{_ENDS},\n130 stopped with Ctrl-C (it drains on). {_LINE}"

_DRAIN = f"""\
Have services finish what they do and take nothing new, so that they can be stopped.

They are STOPPING(DRAINING) at once: nobody is sent to them any more, and their agents are told on their heartbeat
streams. STOPPING(DRAINED) means safe to stop: nothing is in flight any more, the agent has been gone for 30 s, or
--deadline has passed. An agent that never reports its load is waited for until the deadline.

It holds until `orion-registry clear`, over restarts of the agent and of the registry. --wait fails at once if nobody
whom it is for is registered: the name may be wrong; and when it loses the registry, while the services drain on.

{TARGET_HELP}
\b
Examples:
  orion-registry drain calc-1/calc --deadline 30s --wait && systemctl stop calc-1
  orion-registry drain agent=calc-1 --note "new disk"       its services in namespace default
  orion-registry drain capability=math.add,zone=b           all in zone b that can add
  orion-registry clear agent=calc-1                         back again
{_CODES_OF_DRAIN}"""

_MAINTENANCE = f"""\
Take services out of selection while somebody works on them: STOPPING(MAINTENANCE).

Their agents are not told; calls under way go on. It holds until `orion-registry clear`.

{TARGET_HELP}
\b
Examples:
  orion-registry maintenance zone=b --note "power works until noon"
  orion-registry clear zone=b
{_CODES}"""

_QUARANTINE = f"""\
Take services out of selection because they are not trusted: UNHEALTHY(QUARANTINED).

Their agents stay connected, and registering them again changes nothing; under another name or service_id an agent may
register further ones. It holds until `orion-registry clear`.

{TARGET_HELP}
\b
Examples:
  orion-registry quarantine calc-1/calc --note "wrong answers"
  orion-registry quarantine agent=calc-1
{_CODES}"""

_WEIGHT = f"""\
Set the share of calls that services get, whatever their agents say: above 0, at most 1000.

It changes nothing else that is set. `orion-registry clear` gives agents their own weight back.

{TARGET_HELP}
\b
Examples:
  orion-registry weight calc-1/calc 0.1        a tenth of what it got, to try a new version out
  orion-registry weight tag=old 0.5
{_CODES}"""

_CLEAR = f"""\
End what is set for services: drain, maintenance, quarantine and weight. They are what their agents make of them.

{TARGET_HELP}
agent, name and namespace alone find what is set for services that are away, too.

\b
Examples:
  orion-registry clear calc-1/calc
  orion-registry clear namespace=default       all in a namespace
{_CODES}"""

_OVERLAYS = f"""\
Show what is set for services, and how far they are.

\b
Examples:
  orion-registry overlays
  orion-registry overlays --agent calc-1
  orion-registry overlays --mode drain --json | jq -r 'select(.drained) | .agent_id'   safe to stop
{_CODES}"""

_REMOVE = f"""\
Remove a service whoever holds it. Its agent is told; one that lives may register it again.

To keep it out use `orion-registry quarantine`. What is set for the service stays.

\b
Examples:
  orion-registry remove 0b5c3a1e-6f0e-5d2a-9a53-0f7b5f6c2c11
{_CODES}"""

_WHOM = click.argument("whom", metavar="WHOM")
_NOTE = click.option("--note", metavar="TEXT", default="", help="Why, for others who look; at most 256 characters.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")


class _Span(click.ParamType):  # type: ignore[type-arg] # generic in newer versions alone
    """A span such as 30s."""

    name = "SPAN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Seconds."""
        from orion_registry.server.setting_kinds import read_duration

        try:
            return read_duration(value)
        except ValueError:
            self.fail(f"{value!r} is no span such as 500ms, 30s, 10m, 2h", param, ctx)


@click.command(help=_DRAIN, short_help="Have services finish, and take nothing new.")
@_WHOM
@ADDRESS
@click.option("--deadline", type=_Span(), help="When they are DRAINED whatever is left, such as 30s, 10m, 2h.")
@_NOTE
@click.option("--wait", is_flag=True, help="Return once all of them are DRAINED or not registered any more.")
@_JSON
def drain(whom: str, address: str | None, deadline: float | None, note: str, wait: bool, as_json: bool) -> int:
    """See `_DRAIN`."""
    target = read_target(whom)
    return run(_drain(target, address or "", deadline, note, wait, as_json))


@click.command(help=_MAINTENANCE, short_help="Take services out while somebody works on them.")
@_WHOM
@ADDRESS
@_NOTE
@_JSON
def maintenance(whom: str, address: str | None, note: str, as_json: bool) -> int:
    """See `_MAINTENANCE`."""
    return run(_set(read_target(whom), address or "", OverlayMode.MAINTENANCE, note=note, as_json=as_json))


@click.command(help=_QUARANTINE, short_help="Take services out that are not trusted.")
@_WHOM
@ADDRESS
@_NOTE
@_JSON
def quarantine(whom: str, address: str | None, note: str, as_json: bool) -> int:
    """See `_QUARANTINE`."""
    return run(_set(read_target(whom), address or "", OverlayMode.QUARANTINE, note=note, as_json=as_json))


@click.command(help=_WEIGHT, short_help="Set the share of calls that services get.")
@_WHOM
@click.argument("weight", metavar="WEIGHT", type=float)
@ADDRESS
@_NOTE
@_JSON
def weight(whom: str, weight: float, address: str | None, note: str, as_json: bool) -> int:
    """See `_WEIGHT`."""
    return run(_set(read_target(whom), address or "", None, weight=weight, note=note, as_json=as_json))


@click.command(help=_CLEAR, short_help="End what is set for services.")
@_WHOM
@ADDRESS
@_JSON
def clear(whom: str, address: str | None, as_json: bool) -> int:
    """See `_CLEAR`."""
    return run(_set(read_target(whom), address or "", OverlayMode.NONE, as_json=as_json))


@click.command(help=_OVERLAYS, short_help="Show what is set for services.")
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
    """See `_OVERLAYS`."""
    wanted = OverlayMode[mode.upper()] if mode else None
    return run(_list(address or "", wanted, {"namespace": namespace, "agent_id": agent, "service_name": name}, as_json))


@click.command(help=_REMOVE, short_help="Remove a service whoever holds it.")
@click.argument("service_id", metavar="SERVICE_ID")
@ADDRESS
@_JSON
def remove(service_id: str, address: str | None, as_json: bool) -> int:
    """See `_REMOVE`."""
    return run(_remove(service_id, address or "", as_json))


# Work.


async def _set(
    target: ServiceKey | Selector, address: str, mode: OverlayMode | None, *, as_json: bool, **fields: Any
) -> None:
    async with connect(address) as admin:
        done = await admin.set_overlay(target, mode, **fields)
    _told(done, mode, as_json=as_json)


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
            working += sum(_works(seen[one]) for one in over)
            left -= over
            if left:
                if len(left) < shown and sys.stderr.isatty():
                    print(f"waiting for {plural(len(left), 'service')}", file=sys.stderr, flush=True)
                shown = len(left)
                await asyncio.sleep(LOOK_S)
    _told(done, OverlayMode.DRAIN, waited=wait, working=working, as_json=as_json)


async def _list(address: str, mode: OverlayMode | None, wanted: dict[str, str], as_json: bool) -> None:
    paint, count = Paint(), 0
    async with connect(address) as admin:
        async for state in admin.overlays(mode, **wanted):
            count += 1
            print(json.dumps(as_plain(state)) if as_json else line_of(state, paint))
    if not count and not as_json:
        print("nothing is set")


async def _remove(service_id: str, address: str, as_json: bool) -> None:
    async with connect(address) as admin:
        revision = await admin.remove_service(service_id)
    print(json.dumps({"service_id": service_id, "revision": revision}) if as_json else f"removed {service_id}")


# Words.


def _told(
    done: SetOverlays, mode: OverlayMode | None, *, as_json: bool, waited: bool = False, working: int = 0
) -> None:
    """What was done; nobody meant is a failure, for a script would go on."""
    if not done.service_ids:
        raise NotFound(Reason.NO_MATCH, "no service matches")
    if as_json:
        plain: dict[str, object] = {"service_ids": done.service_ids, "registered": done.registered}
        plain |= {"changed": done.changed, "revision": done.revision}
        print(json.dumps(plain | ({"drained": True, "still_working": working} if waited else {})))
        return
    services = plural(len(done.service_ids), "service")
    away = len(done.service_ids) - done.registered
    match mode:
        case OverlayMode.NONE:
            text = f"cleared {done.changed:,} of {services}"
        case OverlayMode.DRAIN if working:
            text = f"drained {services}: the deadline has passed, and {working:,} still had work"
        case OverlayMode.DRAIN if waited:
            text = f"drained {services}: safe to stop"
        case OverlayMode.DRAIN:
            text = f"draining {services}; `orion-registry overlays --mode drain` tells when they are safe to stop"
        case None:
            text = f"set the weight of {services}"
        case _:
            text = f"{services} in {mode.name.lower()}"
    print(text + (f" ({away:,} not registered now)" if away else ""))


def _works(state: OverlayState) -> bool:
    """Whether there was something left when the deadline passed."""
    load = state.load
    return state.registered and bool(state.leases_left or (load and (load.in_flight or load.queue_depth)))


def as_plain(state: OverlayState) -> dict[str, Any]:
    """For JSON: enums by name, the time as text."""
    return {
        "namespace": state.key.namespace,
        "agent_id": state.key.agent_id,
        "service_name": state.key.service_name,
        "service_id": state.key.service_id,
        "mode": state.mode.name,
        "weight": state.weight,
        "deadline_s": state.deadline_s,
        "left_s": state.left_s,
        "note": state.note,
        "set_by": state.set_by,
        "set_at": show_time(state.set_wall),
        "registered": state.registered,
        "status": state.status.name if state.registered else None,
        "drained": state.drained,
        "leases_left": state.leases_left,
        "in_flight": None if state.load is None else state.load.in_flight,
        "queue_depth": None if state.load is None else state.load.queue_depth,
    }


def line_of(state: OverlayState, paint: Paint) -> str:
    """For people: what is set, for whom, how far it is, why."""
    key = state.key
    whom = f"{key.agent_id}/{key.service_name}"
    if key.namespace != "default":
        whom = f"{key.namespace}/{whom}"
    told = [paint(f"{state.mode.name:<11}", "green" if state.drained else "yellow"), whom, key.service_id]
    if not state.registered:
        told.append("not registered")
    elif state.mode is OverlayMode.DRAIN:
        told.append(paint("DRAINED, safe to stop", "green") if state.drained else _left(state))
    if state.weight is not None:
        told.append(f"weight {state.weight:g}")
    told.append(f"since {show_time(state.set_wall, 'seconds')}" + (f" by {state.set_by}" if state.set_by else ""))
    if state.note:
        told.append(state.note)
    return "  ".join(told)


def _left(state: OverlayState) -> str:
    if state.load is None:
        what = "no load reported"
    else:
        what = f"{state.load.in_flight:,} in flight, {state.load.queue_depth:,} waiting"
    if state.leases_left:
        what += f", {plural(state.leases_left, 'lease')}"
    return what if state.left_s is None else f"{what}, {show_span(state.left_s)} left"
