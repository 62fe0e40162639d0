"""`orion-registry info`: how a registry is, at a glance or as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from orion_registry.cli.outcome import ADDRESS, connect, run
from orion_registry.cli.showing import Paint, plural, show_counts, show_span, show_time
from orion_registry.wire.server_info import ServerInfo

TIMEOUT_S = 5.0

_HELP = """\
Show how a registry is: alarms first, then its state, its own health, and what it holds.

It answers while it starts and stops, too. `lag` is how late the registry's own clock tick came; a `stall` is a moment
in which it stood still, which no agent is held to account for. `refused` is how often each limit turned somebody away
since it started (docs/security.md, "Limits").

\b
Examples:
  orion-registry info                                   the daemon on 127.0.0.1:6746
  orion-registry info --address 10.0.0.5:6746           another machine's
  orion-registry info --json | jq '.alarms[].name'      what is wrong, for a script
  orion-registry info --json | jq .by_status.UNHEALTHY  how many are down
  orion-registry info --json | jq .refusals             which limits turn callers away

\b
Exit codes: 0 it answered (alarms or not), 1 it did not (unreachable, refused), 2 wrong usage.
One line on stderr says why.
"""


@click.command(help=_HELP, short_help="Show how a registry is.")
@ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def info(address: str | None, as_json: bool) -> int:
    """See `_HELP`."""
    return run(_info(address or "", as_json))


async def _info(address: str, as_json: bool) -> None:
    async with connect(address, timeout_s=TIMEOUT_S) as admin:
        found = await admin.server_info()
        if as_json:
            print(json.dumps({"address": admin.address, **as_plain(found)}))
            return
        for line in lines_of(found, admin.address, Paint()):
            print(line)


def as_plain(info: ServerInfo) -> dict[str, Any]:
    """For JSON: enums by name, times as text."""
    plain = asdict(info)
    plain["started"] = show_time(plain.pop("started_wall"))
    plain["by_status"] = {status.name: count for status, count in info.by_status.items()}
    plain["by_reason"] = {reason.name: count for reason, count in info.by_reason.items()}
    plain["members"] = [member.name for member in info.members]
    plain["alarms"] = [
        {"name": alarm.name, "text": alarm.text, "since": show_time(alarm.since_wall)} for alarm in info.alarms
    ]
    return plain


def lines_of(info: ServerInfo, address: str, paint: Paint) -> Iterator[str]:
    """For people."""
    for alarm in info.alarms:
        since = show_time(alarm.since_wall, "seconds")
        yield paint(f"ALARM {alarm.name} since {since}: {alarm.text}", "red")
    state = paint("serving", "green") if info.serving else paint("starting or stopping", "yellow")
    up = f"up {show_span(info.uptime_s)}, since {show_time(info.started_wall, 'seconds')}"
    yield _row("registry", f"{state} on {address}, {up}")
    yield _row("health", _health(info))
    yield _row("services", f"{info.services:,}" + _among(show_counts(info.by_status)))
    if info.by_reason:
        yield _row("reasons", show_counts(info.by_reason))
    streams = f"{plural(info.agents, 'agent')} on {plural(info.streams, 'stream')}"
    watches = f"{plural(info.watchers, 'watch')} of services, {info.event_watchers:,} of events"
    yield _row("connected", f"{streams}; {watches}")
    if info.refusals:
        yield _row("refused", ", ".join(f"{limit} {count:,}" for limit, count in sorted(info.refusals.items())))
    if info.members:
        names = ", ".join(member.name for member in info.members if not member.answers) or "nobody else"
        old = f"; etcd silent for {show_span(info.stale_for_s)}" if info.stale_for_s else ""
        yield _row("member", f"{info.member_name}, with {names}{old}")
    yield _row("store", info.store_kind + (f": {info.store_trouble}" if info.store_trouble else ""))
    lost = f"; {plural(info.audit_lost, 'record')} lost" if info.audit_lost else ""
    yield _row("audit", f"record {info.audit_head_seq:,}{lost}")
    yield _row("history", f"{info.history_id}, revision {info.revision:,}, event {info.event_seq:,}")
    yield _row("listens on", ", ".join(info.listen_addresses))
    if info.profile:
        yield _row("profile", info.profile)
    versions = f"orion-registry {info.version}, Python {info.python_version}, grpcio {info.grpcio_version}"
    yield _row("versions", versions)


def _health(info: ServerInfo) -> str:
    text = f"lag {show_span(info.lag_s)} (worst of the last minute {show_span(info.worst_lag_s)}), "
    text += plural(info.stalls, "stall")
    if info.stalls:
        text += f" of {show_span(info.credited_s)} together, the last one {show_span(info.last_stall_s)}"
    return text + (f"; {plural(info.refused_hellos, 'hello')} refused" if info.refused_hellos else "")


def _row(name: str, text: str) -> str:
    return f"{name:<12}{text}"


def _among(counts: str) -> str:
    return f": {counts}" if counts else ""
