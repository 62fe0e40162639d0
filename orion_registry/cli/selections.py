"""`orion-registry leases` and `stats`: who holds what, and what selection does."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from orion_registry.cli.finding import ONE_HELP, find_one
from orion_registry.cli.outcome import ADDRESS, connect_insight, connect_registry, run
from orion_registry.cli.overlay_target import check_one
from orion_registry.cli.service_showing import name_of
from orion_registry.cli.showing import Paint, plural, show_span
from orion_registry.cli.table import table
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.wire.balancer_reports import OpenLease, ServicePerformance

_ENDS = """
\b
Exit codes: 0 it answered, 1 it failed (unreachable, refused, no such service), 2 wrong usage.
One line on stderr says why.
"""

_LEASES = f"""\
Show open leases, the oldest first: which caller holds a slot on which service, and for how long.

STREAM is `open` for a lease that lives on its caller's Route stream: it ends 10 s after that breaks, unless the caller
comes back. Others end by release or by time.

\b
Examples:
  orion-registry leases
  orion-registry leases --caller web-1
  orion-registry leases --service calc-1/calc --json | jq .age_s
{_ENDS}"""

_STATS = f"""\
Show what selection does: leases, waiting callers, strategies; or what the calls to one service have shown.

{ONE_HELP}
Numbers are of this life of the registry; docs/balancing.md says what they mean.

\b
Examples:
  orion-registry stats
  orion-registry stats calc-1/calc
  orion-registry stats --json | jq .waiting
{_ENDS}"""


@click.command(help=_LEASES, short_help="Show who holds which slots.")
@ADDRESS
@click.option("--service", metavar="WHOM", help="Only on this service: SERVICE_ID or AGENT/NAME.")
@click.option("--caller", metavar="NAME", default="", help="Only of callers that go by this name.")
@click.option("--json", "as_json", is_flag=True, help="Print each as a JSON object in a line.")
def leases(address: str | None, service: str | None, caller: str, as_json: bool) -> int:
    """See `_LEASES`."""
    if service is not None:
        check_one(service)
    return run(_leases(address or "", service or "", caller, as_json))


@click.command(help=_STATS, short_help="Show what selection does.")
@click.argument("whom", metavar="[WHOM]", required=False)
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def stats(whom: str | None, address: str | None, as_json: bool) -> int:
    """See `_STATS`."""
    if whom is not None:
        check_one(whom)
    return run(_performance(address or "", whom, as_json) if whom else _stats(address or "", as_json))


async def _id_of(address: str, whom: str) -> tuple[str, str]:
    """service_id and name."""
    async with connect_registry(address) as client:
        service = await find_one(client, whom)
    return service.service_id, name_of(service)


async def _leases(address: str, whom: str, caller: str, as_json: bool) -> None:
    service_id = (await _id_of(address, whom))[0] if whom else ""
    shown: list[OpenLease] = []
    async with connect_insight(address) as insight:
        async for lease in insight.leases(service_id, caller):
            if as_json:
                print(json.dumps(asdict(lease)))
            else:
                shown.append(lease)
    if as_json:
        return
    if not shown:
        print("no leases are open")
        return
    header = ("CALLER", "AGE", "LEFT", "STREAM", "SERVICE_ID", "SELECTION_ID")
    rows = [
        (
            lease.caller or "-",
            show_span(lease.age_s),
            show_span(lease.left_s),
            "open" if lease.on_stream else "-",
            lease.service_id,
            lease.selection_id,
        )
        for lease in shown
    ]
    for line in table(header, rows, Paint()):
        print(line)


async def _stats(address: str, as_json: bool) -> None:
    async with connect_insight(address) as insight:
        found, streams = await insight.stats()
    if not as_json:
        for line in _lines_of(found, streams, Paint()):
            print(line)
        return
    scopes = [
        {"service_name": scope.service_name, "capability": scope.capability, "strategy": name}
        for scope, name in found.scopes.items()
    ]
    plain = {name: getattr(found, name) for name in ("leases_open", "leases_expired", "waiting", "ejected", "pools")}
    strategies = {name: asdict(totals) for name, totals in found.strategies.items()}
    print(json.dumps(plain | {"streams": streams, "strategies": strategies, "scopes": scopes}))


def _lines_of(found: BalancerStats, streams: int, paint: Paint) -> Iterator[str]:
    expired = f"; {found.leases_expired:,} ended by time since the start" if found.leases_expired else ""
    yield _row("leases", f"{found.leases_open:,} open{expired}")
    yield _row("waiting", plural(found.waiting, "caller"))
    yield _row("ejected", plural(found.ejected, "service"))
    yield _row("streams", f"{plural(streams, 'caller')} on Route; {plural(found.pools, 'selector')} kept ranked")
    for scope, name in found.scopes.items():
        where = f"name {scope.service_name}" if scope.service_name else f"capability {scope.capability}"
        yield _row("strategy", f"{name} for {where if scope.service_name or scope.capability else 'everything else'}")
    used = [(name, totals) for name, totals in found.strategies.items() if totals != type(totals)()]
    if used:
        yield ""
        rows = [(name, f"{one.selections:,}", f"{one.switches:,}", f"{one.failures:,}") for name, one in used]
        yield from table(("STRATEGY", "SELECTIONS", "SWITCHES", "FAILURES"), rows, paint)


async def _performance(address: str, whom: str, as_json: bool) -> None:
    service_id, name = await _id_of(address, whom)
    async with connect_insight(address) as insight:
        found = await insight.performance(service_id)
    if as_json:
        print(json.dumps(asdict(found)))
        return
    for line in _lines_of_one(found, name, Paint()):
        print(line)


def _lines_of_one(found: ServicePerformance, name: str, paint: Paint) -> Iterator[str]:
    yield _row("service", f"{name}  {found.service_id}")
    most = f" of {found.max_concurrency:,}" if found.max_concurrency else ", no limit"
    yield _row("slots", f"{found.in_flight:,} taken{most}; {plural(found.leases, 'lease')}")
    yield _row("weight", f"{found.weight:g}")
    calls = found.succeeded + found.failed
    rate = f": {100 * found.success_rate:.4g}% succeeded" if calls else ""
    yield _row("calls", f"{calls:,}{rate}")
    times = (("average", found.average_s), ("min", found.min_s), ("p50", found.p50_s), ("p95", found.p95_s))
    known = [f"{what} {show_span(value)}" for what, value in (*times, ("max", found.max_s)) if value is not None]
    if known:
        yield _row("took", ", ".join(known))
    if found.ejected:
        yield paint(_row("ejected", "out of selection for a while: callers told of failures"), "red")


def _row(name: str, text: str) -> str:
    return f"{name:<10}{text}"
