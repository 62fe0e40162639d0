"""`orion-registry select`: what a caller would be given now; with --explain why, with --hold a slot for a while."""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from orion_registry.cli.certificate_options import given_credentials
from orion_registry.cli.outcome import ADDRESS, connect_insight, connect_registry, made, run
from orion_registry.cli.overlay_target import read_which
from orion_registry.cli.reachable import reachable_first
from orion_registry.cli.service_showing import as_plain, name_of
from orion_registry.cli.showing import Paint, plural, show_span
from orion_registry.cli.span import SPAN
from orion_registry.cli.table import Cell, table
from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.explain import Considered, Verdict
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from orion_registry.wire.balancer_reports import Explained
from orion_registry.wire.service import Service

if TYPE_CHECKING:
    from orion_registry.client.selection import Selection

CALLER = "orion-registry-select"
"""The name that it goes by in `orion-registry leases`, unless another is given."""
LOOK_S = 0.5
"""How often a held slot is looked after."""

_HELP = """\
Select a service that has all of these capabilities, as a caller would: ready, with a free slot, least loaded.

Shows the one chosen and gives its slot back at once; with --hold when you press Ctrl-C. --explain selects nothing: it
shows every candidate with its numbers, and what stands against each.

\b
Examples:
  orion-registry select math.add
  orion-registry select math.add --wait 5s                  all slots are taken: wait for one
  orion-registry select math.add --explain                  why that one, and why not the others
  orion-registry select --where name=calc,zone=b --strategy random
  curl "http://$(orion-registry select math.add --json | jq -r .service.address)/"

A script that wants its slot kept while it calls uses --hold, or the SDK: without it nothing is reserved any more when
the line is printed.

\b
Exit codes: 0 selected (or explained, whatever it shows), 1 it failed (nothing matches, none is ready,
no slot is free, unreachable; with --hold: the slot was lost), 2 wrong usage, 130 a held slot was given
back after Ctrl-C (0 after SIGTERM). One line on stderr says why.
"""

_AGAINST = {
    Verdict.CHOSEN: "chosen",
    Verdict.NOT_READY: "not ready",
    Verdict.EXCLUDED: "not wanted (--exclude)",
    Verdict.FULL: "no free slot",
    Verdict.LATER_TIER: "second choice, and a first one is free",
    Verdict.OTHER_ZONE: "in another zone",
    Verdict.OUTRANKED: "the strategy prefers the chosen one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be selected, and how."""

    selector: Selector
    strategy: StrategyName | None
    exclude: tuple[str, ...]
    affinity_key: str
    allow_degraded: bool
    zone: str

    def arguments(self) -> dict[str, Any]:
        """As `BalancerClient.acquire` and `InsightClient.explain` take them."""
        return {name: getattr(self, name) for name in ("strategy", "exclude", "affinity_key", "allow_degraded")}


@click.command(help=_HELP, short_help="Select a service, as a caller would.")
@click.argument("capabilities", metavar="[CAPABILITY]...", nargs=-1)
@ADDRESS
@click.option("--where", metavar="TERM=VALUE", help="Only these, as in `orion-registry services`.")
@click.option("--explain", is_flag=True, help="Show what would be chosen and why; select nothing.")
@click.option(
    "--strategy",
    type=click.Choice([name.lower() for name in StrategyName], case_sensitive=False),
    metavar="NAME",
    help=f"How to choose: {', '.join(name.lower() for name in StrategyName)}.  [default: as the registry is set]",
)
@click.option("--wait", type=SPAN, default="0s", help="How long to wait for a free slot, such as 5s.")
@click.option("--hold", is_flag=True, help="Keep the slot until Ctrl-C.")
@click.option("--exclude", metavar="SERVICE_ID", multiple=True, help="Not this one; may be given several times.")
@click.option("--affinity-key", metavar="TEXT", default="", help="The same key goes to the same service.")
@click.option("--allow-degraded", is_flag=True, help="Take ejected and unknown ones when nothing better is free.")
@click.option("--zone", metavar="NAME", default="", help="The caller's zone: services there go first.")
@click.option("--caller", metavar="NAME", default=CALLER, show_default=True, help="The name to go by.")
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def select(
    capabilities: Sequence[str],
    address: str | None,
    where: str | None,
    explain: bool,
    strategy: str | None,
    wait: float,
    hold: bool,
    exclude: tuple[str, ...],
    affinity_key: str,
    allow_degraded: bool,
    zone: str,
    caller: str,
    as_json: bool,
) -> int:
    """See `_HELP`."""
    if not capabilities and not where:
        raise click.UsageError("name a CAPABILITY, or what is wanted with --where")
    if explain and (hold or wait):
        raise click.UsageError("--explain selects nothing: leave --hold and --wait out")
    selector = read_which(where)
    wish = Wish(
        selector=replace(selector, capabilities=(*selector.capabilities, *capabilities)),
        strategy=None if strategy is None else StrategyName(strategy.upper()),
        exclude=exclude,
        affinity_key=affinity_key,
        allow_degraded=allow_degraded,
        zone=zone,
    )
    if explain:
        return run(_explain(address or "", wish, as_json))
    return run(_select(address or "", caller, wish, wait, hold, as_json), on_sigterm=hold)


async def _select(address: str, caller: str, wish: Wish, wait_s: float, hold: bool, as_json: bool) -> int:
    from orion_registry.client.balancer import BalancerClient  # see `connect`

    def of_command_line() -> BalancerClient:
        return BalancerClient(reachable_first(address), caller=caller, zone=wish.zone, credentials=given_credentials())

    async with made(of_command_line) as balancer:
        selection = await balancer.acquire(wish.selector, wait_s=wait_s, **wish.arguments())
        service = selection.service
        if as_json:
            about = {"selection_id": selection.selection_id, "ttl_s": selection.ttl_s, "held": hold}
            print(json.dumps(about | {"service": as_plain(service)}), flush=True)
        else:
            print(f"{name_of(service)}  {service.address}  {service.service_id}", flush=True)
        if hold:
            return await _hold(selection, as_json)
        await balancer.release(selection, Outcome.UNKNOWN)
    return 0


async def _hold(selection: "Selection", as_json: bool) -> int:
    """Until it is cancelled, or the slot is gone: leaving the client's block gives it back."""
    if not as_json:
        print(f"held as {selection.selection_id} until Ctrl-C", file=sys.stderr, flush=True)
    while selection.holds and not selection.lost.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await selection.lost.wait()
    if selection.lost.is_set():
        why = "it was removed" if selection.why_lost is None else StatusReasonCode(selection.why_lost).name
        print(f"orion-registry: the service is lost: {why}", file=sys.stderr)
    else:
        print("orion-registry: the registry has given the slot away: it was restarted, or away", file=sys.stderr)
    return 1


# Why.


async def _explain(address: str, wish: Wish, as_json: bool) -> None:
    async with connect_insight(address) as insight:
        told = await insight.explain(wish.selector, zone=wish.zone, **wish.arguments())
    if as_json:
        print(json.dumps(_plain(told)))
        return
    names = await _names(address, told)
    for line in _lines(told, names, Paint()):
        print(line)


async def _names(address: str, told: Explained) -> dict[str, Service]:
    """The services among the candidates that are still there: an explanation knows their ids alone."""
    found: dict[str, Service] = {}
    async with connect_registry(address) as client:
        for one in told.candidates[:50]:
            try:
                found[one.service_id] = await client.get(one.service_id)
            except RegistryError:  # it has gone since; its id says enough
                continue
    return found


def _plain(told: Explained) -> dict[str, Any]:
    plain = asdict(told)
    for shown, one in zip(plain["candidates"], told.candidates, strict=True):
        shown["tier"] = one.tier.name
    return plain


def _lines(told: Explained, names: dict[str, Service], paint: Paint) -> Iterator[str]:
    if told.candidates:
        header = ("CANDIDATE", "VERDICT", "SLOTS", "COST", "WEIGHT", "SUCCESS", "MEAN", "SERVICE_ID")
        yield from table(header, [_row(one, names) for one in told.candidates], paint)
    if told.candidate_count > len(told.candidates):
        yield f"and {told.candidate_count - len(told.candidates):,} more"
    if told.waiting:
        yield f"{plural(told.waiting, 'caller')} waiting"
    yield told.reason if told.candidates else "no service matches; `orion-registry services --all` lists what there is"


def _row(one: Considered, names: dict[str, Service]) -> tuple[Cell, ...]:
    service = names.get(one.service_id)
    against = _AGAINST[one.verdict]
    if one.ejected:
        against = "ejected: callers told of failures"
    elif one.verdict is Verdict.NOT_READY and service is not None and service.reasons:
        against = f"not ready: {', '.join(reason.code.name for reason in service.reasons)}"
    colour = {Verdict.CHOSEN: "green", Verdict.NOT_READY: "red"}.get(one.verdict, "yellow")
    return (
        name_of(service) if service is not None else "?",
        (against, colour),
        f"{one.in_flight:,}/{one.max_concurrency:,}" if one.max_concurrency else f"{one.in_flight:,}",
        "" if one.cost is None else f"{one.cost:.4g}",
        f"{one.weight:g}" if one.warmth == 1.0 else f"{one.weight:g} x {one.warmth:.2f}",
        f"{100 * one.success_rate:.4g}%",
        show_span(one.mean_s) if one.mean_s else "-",
        one.service_id,
    )
