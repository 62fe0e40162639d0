"""python -m tests.security.matrix: asks every RPC of a real daemon as everybody, and prints who gets which answer.

The RPCs are those that the daemon names over reflection, so that a new one cannot be missed. Exit code 1 if a cell is
not as `table` says, an RPC has no row there, or a call that was refused changed the service it was about.
"""

import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc.aio

from orion_registry.core.access.rights import Role
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from tests.fuzz.schema import Rpc, learn
from tests.security.driving import OK, Metadata, code_of, drive
from tests.security.requests import NAMESPACE, Ground
from tests.security.table import COLUMNS, Row, rows
from tests.server.serving import OWN_CONNECTION
from tests.server.tls import EVERYBODY, Certs, running_tls, write_access
from tests.server.tokens import Tokens, bearer

OWNER: Final = "spiffe://fleet/owner"
NEIGHBOUR: Final = "spiffe://fleet/neighbour"
NOBODY: Final = "spiffe://fleet/nobody"
UNKNOWN: Final = ("no token", "garbage", "expired", "revoked")
CERTIFIED: Final = ("cert: no grant", "cert: other's token", "cert: right")
ALL_COLUMNS: Final = (*UNKNOWN, *COLUMNS, "right", *CERTIFIED)


@dataclass(slots=True)
class Found:
    """What came of it.

    Attributes:
        cells: by row and column: what came, and what was expected.
        unlisted: RPCs that are served and have no row. unserved: rows of RPCs that are not served.
        changed: cells that were refused and changed their service all the same.
    """

    cells: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    unserved: set[str] = field(default_factory=set)
    changed: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """All that is not as it should be, in words."""
        told = [
            f"{row} as {column}: {came}, not {expected}"
            for (row, column), (came, expected) in self.cells.items()
            if came != expected
        ]
        told += [f"{name} has no row" for name in sorted(self.unlisted)]
        told += [f"{name} is not served" for name in sorted(self.unserved)]
        return told + [f"{cell} was refused and changed its service" for cell in self.changed]

    def table(self) -> str:
        """For people."""
        names = list(dict.fromkeys(row for row, _ in self.cells))
        lines = ["  ".join(["RPC".ljust(46), *(column.ljust(15) for column in ALL_COLUMNS)])]
        for name in names:
            came = (self.cells[name, column][0] for column in ALL_COLUMNS)
            lines.append("  ".join([name.ljust(46), *(text.rpartition("/")[2].ljust(15) for text in came)]))
        counts = Counter(came for came, _ in self.cells.values())
        lines += ["", f"{len(names)} rows, {len(self.cells)} cells: "]
        lines[-1] += ", ".join(f"{text} {count}" for text, count in counts.most_common())
        return "\n".join(lines)


async def ask_all() -> Found:
    """Asks everything as everybody."""
    found = Found()
    with tempfile.TemporaryDirectory() as scratch:
        await _by_tokens(Path(scratch), found)
        await _by_certificates(Path(scratch), found)
    return found


async def _by_tokens(scratch: Path, found: Found) -> None:
    tokens = Tokens(scratch / "tokens")
    shown = shown_by(tokens)
    async with (
        running_daemon(tokens_file=str(tokens.path)) as daemon,
        grpc.aio.insecure_channel(daemon.address, options=OWN_CONNECTION) as channel,
    ):
        served = {short(rpc): rpc for rpc in await learn(channel, shown["right"])}
        named = {row.rpc for row in rows()}
        found.unlisted, found.unserved = served.keys() - named, named - served.keys()
        ground = Ground(channel, shown["right"])
        await ground.exported()
        for column, metadata in shown.items():
            for row in rows():
                if row.rpc in served:
                    await _cell(found, daemon, ground, served[row.rpc], row, column, channel, metadata)


async def _by_certificates(scratch: Path, found: Found) -> None:
    certs, tokens = Certs(scratch), Tokens(scratch / "tokens-too")
    stolen = bearer(tokens.add(OWNER))
    grants = write_access(scratch / "grants.toml", grant(OWNER))
    async with running_tls(certs, tokens_file=str(tokens.path), access_file=str(grants)) as daemon:
        opened = {name: certs.client(name).open_channel(daemon.address, OWN_CONNECTION) for name in (OWNER, NOBODY)}
        async with opened[OWNER] as right, opened[NOBODY] as other:
            served = {short(rpc): rpc for rpc in await learn(right)}
            ground = Ground(right, ())
            await ground.exported()
            ways: Mapping[str, tuple[grpc.aio.Channel, Metadata]] = dict(
                zip(CERTIFIED, ((other, ()), (other, stolen), (right, ())), strict=True)
            )
            for column, (channel, metadata) in ways.items():
                for row in rows():
                    if row.rpc in served:
                        await _cell(found, daemon, ground, served[row.rpc], row, column, channel, metadata)


async def _cell(
    found: Found,
    daemon: Daemon,
    ground: Ground,
    rpc: Rpc,
    row: Row,
    column: str,
    channel: grpc.aio.Channel,
    metadata: Metadata,
) -> None:
    ground.service_id = ""
    frames = [message.SerializeToString() for message in await row.make(ground)]
    before = _seen(daemon, ground.service_id)
    came = await drive(channel, rpc, frames, metadata, row.reads)
    if came != OK and before != _seen(daemon, ground.service_id):
        found.changed.append(f"{row.name} as {column}")
    found.cells[row.name, column] = came, expected(row, column)


def _seen(daemon: Daemon, service_id: str) -> Any:
    """A service as it is stored and shown, and the epoch that was used for it."""
    entry = daemon.coordinator.registry.find(service_id)
    return None if entry is None else (id(entry.snapshot), entry.used_epoch, len(entry.streams), entry.overlay)


def expected(row: Row, column: str) -> str:
    """OK, or CODE/REASON."""
    if row.is_open or column in {"right", "cert: right"}:
        return OK
    if column in UNKNOWN or column == "cert: other's token":
        reason = "NO_IDENTITY"
    elif column == "cert: no grant":
        reason = "NOT_ALLOWED"
    else:
        reason = row.expected[column]
    return OK if reason == OK else f"{code_of(reason)}/{reason}"


def shown_by(tokens: Tokens) -> dict[str, Metadata]:
    """What the callers of each column show."""
    revoked = tokens.add(OWNER)
    here = (NAMESPACE,)
    made = {
        "expired": tokens.add(OWNER, ttl_s=-1.0),
        "revoked": revoked,
        "neighbour": tokens.add(NEIGHBOUR, [Role.AGENT, Role.CALLER, Role.VIEWER], here),
        "foreign": tokens.add("spiffe://fleet/foreign", namespaces=("elsewhere",)),
        "viewer": tokens.add("spiffe://fleet/viewer", [Role.VIEWER], here),
        "caller": tokens.add(OWNER, [Role.CALLER], here),
        "agent": tokens.add(OWNER, [Role.AGENT], here),
        "operator": tokens.add("spiffe://fleet/operator", [Role.OPERATOR], here),
        "right": tokens.add(OWNER),
    }
    tokens.revoke(revoked)
    shown: dict[str, Metadata] = {"no token": (), "garbage": bearer("orion_garbage")}
    return shown | {column: bearer(text) for column, text in made.items()}


def grant(identity: str) -> str:
    """Of access_file: an identity may do everything."""
    return EVERYBODY.replace('"*"', f'"{identity}"', 1)


def short(rpc: Rpc) -> str:
    """An RPC's name in the table."""
    return rpc.name.replace("Service.", ".", 1)


def main() -> int:
    """Prints it; returns the exit code."""
    found = asyncio.run(ask_all())
    print(found.table())
    for line in found.wrong:
        print(f"WRONG: {line}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
