"""Plays one row: a daemon, an honest client, an attacker between two quiet moments; and judges what was seen."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.demo.processes import Child, Nursery
from tests.e2e.abuse.attacks import Attack, Target
from tests.e2e.fleet import daemon_address
from tests.faults.memory import resident_mb
from tests.server.tls import Certs

WORST_S = 2.5
"""Most that an honest call may take at the 99th percentile. The attacker, the daemon and the honest client share two
cores here: what is judged is that answers come, not how fast."""
BACK_S = 2.0
"""After the attack a new connection must be answered within this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack.

    Attributes:
        number, name, what: as in the table.
        attack: what is done.
        grows_mb: most that the daemon's resident memory may grow meanwhile.
        options: of the daemon.
        files: its limit of open files; 0 = the machine's.
        tls: whether all speak TLS, and show certificates.
        shuts_out: new connections may be refused while it lasts.
        starves: gRPC itself spends its time on this, before the registry hears of it: while it lasts honest calls may
            fail. What is judged is memory, life, and that all is as before 2 s after it.
    """

    number: str
    name: str
    what: str
    attack: Attack
    grows_mb: float
    options: tuple[str, ...] = ()
    files: int = 0
    tls: bool = False
    shuts_out: bool = False
    starves: bool = False


@dataclass
class Played:
    """How it went. before, during, after: the honest client's figures."""

    row: Row
    grew_mb: float = 0.0
    seconds: float = 0.0
    seen: dict[str, int] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def latency(self, when: str) -> str:
        """Median and 99th percentile in ms, and how many calls failed."""
        figures = self.figures[when]
        failed = f" ({figures['failures']} of {figures['calls'] + figures['failures']} failed)"
        return self._latency(figures) + (failed if figures["failures"] else "")

    def _latency(self, figures: dict[str, Any]) -> str:
        return f"{figures['p50'] * 1e3:.1f}/{figures['p99'] * 1e3:.1f}"

    def line(self) -> str:
        """As it ends."""
        seen = ", ".join(f"{name} {count:,}" for name, count in self.seen.items() if count)
        latency = " ".join(f"{when} {self.latency(when)}" for when in ("before", "during", "after"))
        shut = self.figures["during"]["not_let_in"]
        text = (
            f"{'ok' if not self.faults else 'FAILED':7}{self.row.number:>4} {self.row.name:18} {self.seconds:5.1f} s  "
            f"+{self.grew_mb:.1f} MB (most {self.row.grows_mb:g})  honest p50/p99 ms: {latency}"
            + (f"; new connections refused {shut}" if shut else "")
        )
        return "\n             ".join([text, seen, *(f"fault: {fault}" for fault in self.faults)])


async def play(row: Row, seconds: float, quiet_s: float, directory: Path) -> Played:
    """One row, with processes of its own."""
    played = Played(row)
    began = time.monotonic()
    certs = Certs(directory / "certs") if row.tls else None
    async with Nursery(directory) as nursery:
        daemon, address = await _daemon(nursery, row, certs)
        credentials = certs.client("spiffe://fleet/honest") if certs else None
        shown = (credentials.ca_file, credentials.cert_file, credentials.key_file) if credentials else ()
        honest = await nursery.start_ready("honest", "-m", "tests.e2e.abuse.honest", address, *map(str, shown))
        target = Target(address, seconds, _attackers_tls(certs) if certs else None)
        await asyncio.sleep(quiet_s)
        played.figures["before"] = await _figures(honest)
        watching = asyncio.create_task(_most_mb(daemon, played))
        await row.attack(target)
        played.figures["during"] = await _figures(honest)
        watching.cancel()
        await asyncio.sleep(BACK_S if row.shuts_out or row.starves else 0.0)
        await _figures(honest)
        await asyncio.sleep(quiet_s)
        played.figures["after"] = await _figures(honest)
        played.seen = dict(target.seen)
        _judge(played, daemon, target)
    played.seconds = time.monotonic() - began
    return played


async def _daemon(nursery: Nursery, row: Row, certs: Certs | None) -> tuple[Child, str]:
    entry = ("-m", "tests.e2e.abuse.daemon", str(row.files)) if row.files else ("-m", "orion_registry")
    settings = certs.settings if certs else {}
    given = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    serve = ("serve", "--ephemeral", "--listen", "127.0.0.1:0", "--log-format", "json")
    child = await nursery.start("registry", *entry, *serve, *row.options, *given)
    return child, await daemon_address(child)


def _attackers_tls(certs: Certs) -> ssl.SSLContext:
    """An attacker that somebody certified."""
    shown = certs.client("spiffe://fleet/attacker")
    context = ssl.create_default_context(cafile=shown.ca_file)
    context.load_cert_chain(str(shown.cert_file), str(shown.key_file))
    context.set_alpn_protocols(["h2"])
    return context


async def _figures(honest: Child) -> dict[str, Any]:
    honest.write_json({})
    return await honest.read_json(30.0)


async def _most_mb(daemon: Child, played: Played) -> None:
    """Looks at the daemon's memory until it is cancelled."""
    first = resident_mb(daemon.pid)
    while daemon.exit_code is None:
        played.grew_mb = max(played.grew_mb, resident_mb(daemon.pid) - first)
        await asyncio.sleep(0.05)


def _judge(played: Played, daemon: Child, target: Target) -> None:
    row, faults = played.row, played.faults
    faults += target.faults
    if daemon.exit_code is not None:
        faults.append(f"the daemon ended with {daemon.exit_code}\n{daemon.log_tail()}")
    if tracebacks := daemon.log.read_text().count("Traceback"):
        faults.append(f"{tracebacks} tracebacks\n{daemon.log_tail()}")
    if played.grew_mb > row.grows_mb:
        faults.append(f"memory grew by {played.grew_mb:.1f} MB")
    for when, figures in played.figures.items():
        if when == "during" and row.starves:
            continue
        if figures["failures"] or not figures["calls"]:
            faults.append(
                f"{when}: {figures['failures']} honest calls failed of {figures['calls']}: {figures['failed']}"
            )
        if figures["not_ready"]:
            faults.append(f"{when}: the honest agent was not ready {figures['not_ready']} times")
        if figures["p99"] > WORST_S:
            faults.append(f"{when}: honest p99 was {figures['p99']:.2f} s")
        if figures["not_let_in"] and not (when == "during" and row.shuts_out):
            faults.append(f"{when}: {figures['not_let_in']} new honest connections were not let in")
    if not played.figures["after"]["fresh"]:
        faults.append("after: no new connection was answered")
