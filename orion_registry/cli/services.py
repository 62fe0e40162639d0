"""`orion-registry services` and `get`: which services there are, and how one is."""

import json

import click

from orion_registry.cli.finding import ONE_HELP, find_one, with_unready
from orion_registry.cli.outcome import ADDRESS, connect_registry, run
from orion_registry.cli.overlay_target import WHICH_HELP, check_one, read_which
from orion_registry.cli.service_showing import HEADER, as_plain, details_of, row_of
from orion_registry.cli.showing import Paint, plural
from orion_registry.cli.table import table
from orion_registry.core.selector import Selector

_ENDS = """
\b
Exit codes: 0 it answered (whatever was found), 1 it failed (unreachable, refused), 2 wrong usage.
One line on stderr says why.
"""

_SERVICES = f"""\
Show the services that are ready: that a caller could be sent to now. --all shows the others, too, and why.

{WHICH_HELP}
Without it, all services of the namespace default.

\b
Examples:
  orion-registry services
  orion-registry services capability=math.add,zone=b
  orion-registry services --all agent=calc-1                what it has, ready or not
  orion-registry services --json tag=gpu | jq -r .address   a JSON object a line
{_ENDS}"""

_GET = f"""\
Show everything about one service, ready or not. `orion-registry doctor` tells why it is not ready.

{ONE_HELP}
\b
Examples:
  orion-registry get calc-1/calc
  orion-registry get 0b5c3a1e-6f0e-5d2a-9a53-0f7b5f6c2c11
  orion-registry get --json calc-1/calc | jq -r .status

\b
Exit codes: 0 shown, 1 it failed (no such service, unreachable, refused), 2 wrong usage.
One line on stderr says why.
"""


@click.command(help=_SERVICES, short_help="Show which services there are.")
@click.argument("which", metavar="[WHICH]", required=False)
@ADDRESS
@click.option("--all", "everything", is_flag=True, help="Those that are not ready, too.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def services(which: str | None, address: str | None, everything: bool, as_json: bool) -> int:
    """See `_SERVICES`."""
    selector = read_which(which)
    return run(_services(address or "", with_unready(selector) if everything else selector, as_json))


@click.command(help=_GET, short_help="Show one service.")
@click.argument("whom", metavar="WHOM")
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def get(whom: str, address: str | None, as_json: bool) -> int:
    """See `_GET`."""
    check_one(whom)
    return run(_get(whom, address or "", as_json))


async def _services(address: str, selector: Selector, as_json: bool) -> None:
    async with connect_registry(address) as client:
        found = await client.discover(selector)
    if as_json:
        for service in found.services:
            print(json.dumps(as_plain(service)))
        return
    if found.services:
        for line in table(HEADER, [row_of(service) for service in found.services], Paint()):
            print(line)
    if found.not_ready_count and not selector.include_not_ready:
        left_out = plural(found.not_ready_count, "service")
        match = "matches and is" if found.not_ready_count == 1 else "match and are"
        print(f"{left_out} {match} not ready; --all shows why")
    elif not found.services:
        print("no service matches")


async def _get(whom: str, address: str, as_json: bool) -> None:
    async with connect_registry(address) as client:
        service = await find_one(client, whom)
    if as_json:
        print(json.dumps(as_plain(service)))
        return
    for name, text in details_of(service, Paint()):
        print(f"{name:<18}{text}")
