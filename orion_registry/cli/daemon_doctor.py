"""Is the registry well? What it says of itself, judged."""

import os
import time
from collections.abc import Iterator

from orion_registry import __version__
from orion_registry.cli.certificate_options import given_credentials
from orion_registry.cli.findings import Finding, note, ok, problem
from orion_registry.cli.outcome import connect, connect_insight
from orion_registry.cli.showing import plural, show_counts, show_span, show_time
from orion_registry.core.model import ServiceStatus
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.errors import RegistryError
from orion_registry.wire.server_info import ServerInfo

TIMEOUT_S = 5.0
SLOW_S = 1.0
"""An answer that takes longer says that the daemon, its machine or the network is busy."""
LAG_S = 0.25
"""From here on the daemon itself takes its ticks for late (core's stall threshold)."""
LOOPBACK = ("127.", "localhost:", "[::1]:", "unix:")

ALARMS = {
    "ACCESS": "Mend tokens_file or access_file as the alarm says; no restart is needed.",
    "CERTIFICATE": "Put a new certificate into tls_cert_file and its key into tls_key_file; no restart is needed.",
    "STORE_DOWN": "Look at the disk of the data directory: full, hanging or read-only? Health and discovery go on.",
    "MASS_HOLD": "Look at the network between the registry and the agents; those not proven dead are held for 30 s.",
    "AUDIT": "Look at the disk, and at the directory of audit_file: it catches up by itself.",
    "ETCD_LOST": "Look at etcd and the network to it. Selection and discovery go on; nothing is registered.",
    "MEMBER_REPLACED": "Give each member a member_name of its own, and stop the daemon that is too many.",
}


async def look_at_daemon(address: str) -> list[Finding]:
    """Everything that there is to say of the registry at an address."""
    began = time.monotonic()
    try:
        async with connect(address, timeout_s=TIMEOUT_S) as admin:
            info = await admin.server_info()
            where = admin.address
    except RegistryError as error:
        return [problem("reachable", error.message, 'Compare --address with what `serve` logged as "ready".')]
    took_s = time.monotonic() - began
    stats: BalancerStats | None = None
    if info.serving:
        async with connect_insight(address) as insight:
            stats, _ = await insight.stats()
    return [*judge(info, where, took_s), *(_of_selection(stats) if stats is not None else ())]


def judge(info: ServerInfo, address: str, took_s: float) -> Iterator[Finding]:
    """What a registry says of itself, judged; took_s: how long it took to say it."""
    if took_s < SLOW_S:
        yield ok("reachable", f"{address} answers in {show_span(took_s)}")
    else:
        yield note("reachable", f"{address} took {show_span(took_s)} to answer", "The machine or the way is busy.")
    if info.serving:
        yield ok("serving", f"for {show_span(info.uptime_s)}")
    else:
        yield problem("serving", "it starts or stops, and serves nobody", "Wait; if it lasts, look at its log.")
    for alarm in info.alarms:
        todo = ALARMS.get(alarm.name, "Look at the log of the registry.")
        yield problem("alarm", f"{alarm.name} since {show_time(alarm.since_wall, 'seconds')}: {alarm.text}", todo)
    if not info.alarms:
        yield ok("alarms", "none")
    yield from _of_store(info)
    yield from _of_stalls(info)
    yield from _of_services(info)
    yield from _of_settings(info)


def _of_store(info: ServerInfo) -> Iterator[Finding]:
    if info.store_trouble:
        yield problem("store", info.store_trouble, "No registration is taken until the store can be written again.")
    elif info.store_kind == "memory":
        told = "registrations are kept in memory only (ephemeral): a restart forgets them"
        yield note("store", told, "Start it without --ephemeral to keep them.")
    else:
        yield ok("store", info.store_kind)


def _of_stalls(info: ServerInfo) -> Iterator[Finding]:
    if info.stalls:
        told = f"it stood still {info.stalls:,} times, for {show_span(info.credited_s)} together"
        yield note("stalls", told, "Was the machine suspended, swapping or overloaded? No agent is held to account.")
    elif info.worst_lag_s >= LAG_S:
        told = f"its clock tick came {show_span(info.worst_lag_s)} late in the last minute"
        yield note("stalls", told, "The machine has too little CPU for it now.")
    else:
        yield ok("stalls", f"none; worst lag of the last minute {show_span(info.worst_lag_s)}")
    if info.refused_hellos:
        told = f"{plural(info.refused_hellos, 'hello')} told to come back later since the start"
        yield note("admission", told, "Many agents came at once; admission_rate says how many a second are let in.")


def _of_services(info: ServerInfo) -> Iterator[Finding]:
    unready = info.services - info.by_status.get(ServiceStatus.HEALTHY, 0)
    told = f"{info.services:,}" + (f": {show_counts(info.by_status)}" if info.by_status else "")
    if not info.services:
        yield note(
            "services", "none is registered", "Do agents use this address? `orion-registry events` shows who came."
        )
    elif unready:
        todo = "`orion-registry services --all` shows which; `orion-registry doctor SERVICE_ID` says why."
        yield note("services", told, todo)
    else:
        yield ok("services", told)


def _of_settings(info: ServerInfo) -> Iterator[Finding]:
    """Settings that are meant for something else than what people mostly do."""
    open_to_others = [where for where in info.listen_addresses if not where.startswith(LOOPBACK)]
    if open_to_others and given_credentials().tls:
        told = f"{', '.join(open_to_others)} is open to other machines, over TLS"
        yield note("settings", told, "Whoever it lets in may do everything: tls_client_ca_file says who that is.")
    elif open_to_others:
        told = f"insecure_listen: {', '.join(open_to_others)} is open to other machines, in plaintext"
        yield note("settings", told, "Whoever reaches it may do everything: only for a network that you trust.")
    if info.profile == "dev":
        told = "profile dev: nothing times out for ten minutes, so the dead look alive"
        yield note("settings", told, "It is for debugging; use lan or wan elsewhere.")
    own = os.environ.get("ORION_PROFILE", "") or "lan"
    if info.profile and own != info.profile:
        told = f"the registry has profile {info.profile}, clients here have {own}"
        yield note(
            "settings", told, f"Set ORION_PROFILE={info.profile} for clients, or start the registry with the other."
        )
    if info.version != __version__:
        told = f"the registry has version {info.version}, this command line {__version__}"
        yield note("versions", told, "Update the older one if a call is refused as not supported.")


def _of_selection(stats: BalancerStats) -> Iterator[Finding]:
    if stats.ejected:
        told = f"{plural(stats.ejected, 'service')} out of selection for failures that callers told of"
        yield note("selection", told, "`orion-registry select CAPABILITY --explain` shows which.")
    if stats.waiting:
        told = f"{plural(stats.waiting, 'caller')} waiting for a slot"
        yield note("selection", told, "All slots of what they want are taken: `orion-registry leases` says by whom.")
    broken = [name for name, totals in stats.strategies.items() if totals.failures]
    if broken:
        told = f"{', '.join(broken)} failed; round robin stood in"
        yield problem("selection", told, "Look at the log of the registry.")
    if not (stats.ejected or stats.waiting or broken):
        yield ok("selection", plural(stats.leases_open, "lease"))
