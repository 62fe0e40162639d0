"""`orion-registry watch` and `wait`: services as they come, change and go; and until enough of them are there."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from orion_registry.cli.finding import with_unready
from orion_registry.cli.outcome import ADDRESS, EXIT_FAILED, connect_registry, run
from orion_registry.cli.overlay_target import WHICH_HELP, read_which
from orion_registry.cli.service_showing import as_plain, name_of, status_of
from orion_registry.cli.showing import Paint, plural, show_span
from orion_registry.cli.span import SPAN
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from orion_registry.wire.service import Service

if TYPE_CHECKING:
    from orion_registry.client.client import RegistryClient
    from orion_registry.client.fold import WatchEvent
    from orion_registry.client.watch import Watch

NAMED = 5
"""Services that are named when too few are ready."""

_WATCH = f"""\
Show the services that are ready now, then each that comes, changes or goes, until Ctrl-C.

It goes on by itself when the registry was away, with what changed meanwhile; stderr tells of both. `removed` is for
services out of view, too: without --all those that are not ready any more.

{WHICH_HELP}
Without it, all services of the namespace default.

\b
Examples:
  orion-registry watch
  orion-registry watch capability=math.add
  orion-registry watch --all --json agent=calc-1 | jq -r '.event + " " + (.service.status // "")'

With --json each line is {{"event": "added"|"modified"|"removed"|"synced", "service": ..., "removal": ...}}; `synced`
says that everything up to it has been shown.

\b
Exit codes: 0 stdout was closed, 1 it failed (unreachable at the start, refused), 2 wrong usage,
130 stopped with Ctrl-C. One line on stderr says why.
"""

_WAIT = f"""\
Wait until enough services are ready: for scripts, tests and CI. The registry itself may come up meanwhile.

{WHICH_HELP}
\b
Examples:
  orion-registry wait --capability math.add --count 3 --timeout 1m && run-the-tests
  orion-registry wait agent=calc-1
  orion-registry wait --capability math.add --timeout 0s      look once

\b
Exit codes: 0 that many are ready, 1 not in time (stderr says what is missing) or refused, 2 wrong usage,
130 stopped with Ctrl-C.
"""


@click.command(help=_WATCH, short_help="Show services as they come, change and go.")
@click.argument("which", metavar="[WHICH]", required=False)
@ADDRESS
@click.option("--all", "everything", is_flag=True, help="Those that are not ready, too.")
@click.option("--json", "as_json", is_flag=True, help="Print each event as a JSON object in a line.")
def watch(which: str | None, address: str | None, everything: bool, as_json: bool) -> int:
    """See `_WATCH`."""
    selector = read_which(which)
    return run(_watch(address or "", with_unready(selector) if everything else selector, as_json))


@click.command(help=_WAIT, short_help="Wait until enough services are ready.")
@click.argument("which", metavar="[WHICH]", required=False)
@ADDRESS
@click.option(
    "--capability", "capabilities", metavar="NAME", multiple=True, help="Only with this; may be given several times."
)
@click.option("--count", metavar="N", type=click.IntRange(1, 1_000_000), default=1, show_default=True, help="How many.")
@click.option(
    "--timeout", type=SPAN, default="30s", show_default=True, help="How long, such as 30s or 5m; 0s: look once."
)
@click.option("--json", "as_json", is_flag=True, help="Print the ready ones as one JSON object, also if too few are.")
def wait(
    which: str | None, address: str | None, capabilities: Sequence[str], count: int, timeout: float, as_json: bool
) -> int:
    """See `_WAIT`."""
    selector = read_which(which)
    selector = replace(selector, capabilities=(*selector.capabilities, *capabilities))
    return run(_wait(address or "", selector, count, timeout, as_json))


async def _watch(address: str, selector: Selector, as_json: bool) -> None:
    paint = Paint()
    async with connect_registry(address) as client:
        await client.discover_page(selector, page_size=1)  # who cannot be reached, or refuses, is told of at once
        async with client.watch(selector) as watching:
            telling = asyncio.create_task(_tell_state(watching, client.address))
            try:
                async for event in watching:
                    print(_json_of(event) if as_json else _line_of(event, len(watching.services), paint), flush=True)
            finally:
                telling.cancel()


async def _tell_state(watching: "Watch", address: str) -> None:
    """Says on stderr that the registry is away, and that it is back."""
    from orion_registry.client.state import ConnectionState

    while True:
        await watching.wait_for(ConnectionState.RECONNECTING)
        print(f"orion-registry: {address} is away; what is shown may be old", file=sys.stderr, flush=True)
        await watching.wait_for(ConnectionState.CONNECTED)
        print("orion-registry: it is back", file=sys.stderr, flush=True)


def _json_of(event: "WatchEvent") -> str:
    plain: dict[str, object] = {"event": event.kind.value}
    if event.service is not None:
        plain["service"] = as_plain(event.service)
    if event.removal is not None:
        plain["removal"] = event.removal.name
    return json.dumps(plain)


def _line_of(event: "WatchEvent", shown: int, paint: Paint) -> str:
    service = event.service
    if service is None:
        return paint(f"-- {plural(shown, 'service')}", "dim")
    colour = {"added": "green", "removed": "red"}.get(event.kind.value, "yellow")
    told = f"{paint(f'{event.kind.value:<9}', colour)} {name_of(service)}  "
    told += event.removal.name if event.removal is not None else status_of(service)
    return f"{told}  {service.address}  {service.service_id}"


# Until enough are there.


async def _wait(address: str, selector: Selector, count: int, timeout_s: float, as_json: bool) -> int:
    async with connect_registry(address) as client:
        ready: Sequence[Service] = ()
        trouble = ""
        try:
            if timeout_s:
                ready = await _until(client, selector, count, timeout_s)
            else:
                ready = (await client.discover(selector)).services
        except TimeoutError:
            try:
                ready = (await client.discover(selector, timeout_s=2.0)).services
            except RegistryError as error:
                trouble = error.message
        enough = len(ready) >= count
        if as_json:
            print(json.dumps({"ready": enough, "wanted": count, "services": [as_plain(one) for one in ready]}))
        elif enough:
            for service in ready:
                print(f"{name_of(service)}  {service.address}  {service.service_id}")
        if not enough:
            why = trouble or await _missing(client, selector, len(ready))
            print(f"orion-registry: {len(ready):,} of {count:,} ready{_after(timeout_s)}: {why}", file=sys.stderr)
    return 0 if enough else EXIT_FAILED


async def _until(client: "RegistryClient", selector: Selector, count: int, timeout_s: float) -> Sequence[Service]:
    """The services in view once there are as many as wanted.

    Raises:
        TimeoutError: there were not, in time.
        RegistryError: the registry refuses.
    """
    async with asyncio.timeout(timeout_s), client.watch(selector) as watching:
        async for _ in watching:
            if len(watching.services) >= count:
                return tuple(watching.services.values())
    raise TimeoutError


def _after(timeout_s: float) -> str:
    return f" after {show_span(timeout_s)}" if timeout_s else ""


async def _missing(client: "RegistryClient", selector: Selector, ready: int) -> str:
    """Why there are not more, in words."""
    found = (await client.discover(with_unready(selector))).services
    unready = [service for service in found if not service.ready]
    if unready:
        named = ", ".join(f"{name_of(one)} {status_of(one)}" for one in unready[:NAMED])
        more = f" and {len(unready) - NAMED:,} more" if len(unready) > NAMED else ""
        return f"not ready: {named}{more}; `orion-registry doctor {name_of(unready[0])}` says what to do"
    if ready:
        return "no others that match are registered"
    return "nothing that matches is registered; `orion-registry services --all` lists what is"
