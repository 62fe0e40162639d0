"""`orion-registry snapshot save|restore|inspect`: a registry as one file, out, in, and looked at."""

import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click

from orion_registry.cli.group import Group
from orion_registry.cli.outcome import ADDRESS, CannotBegin, connect, opened, run
from orion_registry.cli.snapshot_file import Progress, SnapshotTarget, read_pieces, show_size
from orion_registry.core.facts import Stored
from orion_registry.runtime.clock import SystemClock
from orion_registry.store.snapshot import SnapshotReader, write_snapshot

COUNTS_SHOWN = 20

_CODES = """\
\b
Exit codes: 0 done, 1 it failed (unreachable, refused, damaged), 2 it could not begin
(wrong usage, FILE or DIR cannot be used, or a daemon uses DIR). One line on stderr says why.
"""

_SAVE = """\
Save everything that a registry stores into FILE ('-': stdout).

Registrations with all that agents wrote, who they are (secrets as hashes alone), what operators set, and how far epochs
have come; no liveness, load or leases. What looks like a secret in metadata and in checks is masked ("***"), and stays
out when FILE is restored; --with-secrets keeps it, and the audit chain tells. FILE is written whole or not at all,
readable by its owner alone, and checked on the way.

\b
Examples:
  orion-registry snapshot save orion.snapshot                    from the daemon on 127.0.0.1:6746
  orion-registry snapshot save --with-secrets backup.snapshot    all of it, to restore from
  orion-registry snapshot save - | gzip > orion.snapshot.gz      to another program
  orion-registry snapshot save FILE --address 10.0.0.5:6746      from another machine's
  orion-registry snapshot save FILE --data-dir DIR               while no daemon runs on DIR

"""

_RESTORE = """\
Bring the services of a snapshot FILE ('-': stdin) back. All of it, or nothing.

Into a running registry: services that are not registered there are added, UNKNOWN(RESTORED) until they beat; those
that are registered stay as they are, so doing it again is safe. What operators set is added where nothing is set for
a service that is not registered.

Into a data directory (--data-dir), while no daemon runs on it, even if its database is damaged or missing: the
snapshot takes the database's place. What was there is moved aside, under a name that is printed, and never deleted.

\b
Examples:
  orion-registry snapshot restore orion.snapshot                 into the daemon on 127.0.0.1:6746
  gunzip -c orion.snapshot.gz | orion-registry snapshot restore -
  orion-registry snapshot restore FILE --data-dir DIR            the way out of a damaged database

"""

_INSPECT = """\
Check a snapshot FILE ('-': stdin) and tell what it holds, by namespace, type and liveness.

\b
Examples:
  orion-registry snapshot inspect orion.snapshot
  orion-registry snapshot inspect --json orion.snapshot | jq .by_type
  jq -r 'select(.spec) | .spec.agent_id' orion.snapshot          every line of a snapshot is JSON

"""


@click.group(cls=Group)
def snapshot() -> None:
    """Save a registry to one file, bring it back, or look into the file.

    The file is lines of JSON; docs/snapshots.md describes it.
    """


_FILE = click.argument("file", metavar="FILE")
_DATA_DIR = click.option(
    "--data-dir", metavar="DIR", type=click.Path(path_type=Path), help="A data directory that no daemon runs on."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the outcome as one JSON object.")


# Saving.


@snapshot.command("save", help=_SAVE + _CODES, short_help="Save a registry to FILE.")
@_FILE
@ADDRESS
@_DATA_DIR
@click.option("--with-secrets", is_flag=True, help="Keep what looks like a secret, so that all can be restored.")
@_JSON
def save(file: str, address: str | None, data_dir: Path | None, with_secrets: bool, as_json: bool) -> int:
    """See `_SAVE`."""
    _one_of(address, data_dir)
    return run(
        _save(file, address or "", data_dir, with_secrets, as_json),
        whole=file == "-",
        writes="stdout" if file == "-" else file,
    )


async def _save(file: str, address: str, data_dir: Path | None, with_secrets: bool, as_json: bool) -> None:
    if data_dir is None:
        async with connect(address) as admin:
            origin = admin.address
            reader = await _write(file, admin.export_snapshot(with_secrets=with_secrets))
    else:
        origin = str(data_dir)
        reader = await _write(file, _stored_pieces(await _load(data_dir), with_secrets))
    outcome = {"file": file, "from": origin, "services": reader.services, "bytes": reader.size}
    outcome["masked"] = reader.masked
    size = show_size(reader.size)
    text = f"saved {_services(reader.services)} ({size}) from {origin} to {file}"
    if reader.masked:
        text += f"; {_values(reader.masked)} masked: --with-secrets keeps them"
    _tell(outcome if as_json else text, sys.stderr if file == "-" else sys.stdout)


async def _write(file: str, pieces: AsyncIterator[bytes]) -> SnapshotReader:
    """Writes the pieces to FILE; it is there only once all of them are, and are sound."""
    reader = SnapshotReader(limit=None)
    with opened(lambda: SnapshotTarget(file)) as target, Progress("saved") as progress:
        async for piece in pieces:
            reader.feed(piece)
            target.write(piece)
            progress.show(reader.services, reader.size)
        reader.finish()
        target.keep()
    return reader


async def _load(data_dir: Path) -> Stored:
    from orion_registry.store.data_dir import DATABASE
    from orion_registry.store.sqlite import SqliteStore

    if not (data_dir / DATABASE).exists():
        raise CannotBegin(f"{data_dir} holds no database of a registry ({DATABASE})")
    store = SqliteStore(data_dir)
    try:
        return await store.load()
    finally:
        await store.close()


async def _stored_pieces(stored: Stored, with_secrets: bool) -> AsyncIterator[bytes]:
    for piece in write_snapshot(stored, SystemClock().now().wall, with_secrets=with_secrets):
        yield piece


# Restoring.


@snapshot.command("restore", help=_RESTORE + _CODES, short_help="Bring the services of FILE back.")
@_FILE
@ADDRESS
@_DATA_DIR
@_JSON
def restore(file: str, address: str | None, data_dir: Path | None, as_json: bool) -> int:
    """See `_RESTORE`."""
    _one_of(address, data_dir)
    if data_dir is None:
        return run(_restore_online(file, address or "", as_json))
    return run(_restore_offline(file, data_dir, as_json))


async def _restore_online(file: str, address: str, as_json: bool) -> None:
    with opened(lambda: read_pieces(file)) as pieces, Progress("sent") as progress:
        async with connect(address) as admin:
            done = await admin.import_snapshot(progress.counting(pieces))
            target = admin.address
    outcome = {"file": file, "to": target, "added": done.added, "kept": done.kept, "revision": done.revision}
    outcome["masked"] = done.masked
    text = f"added {_services(done.added)} to {target}; {done.kept:,} were registered there and stay as they are"
    text += _left_out(done.masked)
    _tell(outcome if as_json else text)


async def _restore_offline(file: str, data_dir: Path, as_json: bool) -> None:
    from orion_registry.store.replacing import replace_database

    reader, stored = await _read(file)
    aside = await replace_database(data_dir, stored, SystemClock().now().wall)
    outcome = {
        "file": file,
        "to": str(data_dir),
        "services": reader.services,
        "moved_to": None if aside is None else str(aside),
        "masked": reader.masked,
    }
    text = f"restored {_services(reader.services)} into {data_dir}{_left_out(reader.masked)}"
    text += "; there was nothing there" if aside is None else f"\nwhat was there is in {aside}"
    _tell(outcome if as_json else text)


# Looking.


@snapshot.command("inspect", help=_INSPECT + _CODES, short_help="Check FILE and tell what it holds.")
@_FILE
@_JSON
def inspect(file: str, as_json: bool) -> int:
    """See `_INSPECT`."""
    return run(_inspect(file, as_json))


async def _inspect(file: str, as_json: bool) -> None:
    reader, stored = await _read(file)
    header = reader.header
    assert header is not None  # a sound snapshot has one
    specs = [record.spec for record in stored.records]
    counts = {
        "namespace": Counter(spec.namespace for spec in specs),
        "type": Counter(spec.service_type for spec in specs),
        "liveness": Counter(spec.liveness.name for spec in specs),
    }
    if as_json:
        about = {"file": file, "created": header.created, "services": header.services, "bytes": reader.size}
        about["overlays"] = header.overlays
        about["masked"] = reader.masked
        _tell(about | {"epochs_below": header.epochs_below} | {f"by_{by}": dict(c) for by, c in counts.items()})
        return
    _tell(f"{file}: a sound snapshot of {_services(header.services)}, {show_size(reader.size)}")
    _tell(f"  created    {header.created}\n  epochs     below {header.epochs_below:,}")
    if header.overlays:
        _tell(f"  overlays   {header.overlays:,}")
    if reader.masked:
        _tell(f"  masked     {reader.masked:,}: they stay out when it is restored")
    for by, counter in counts.items():
        shown = [f"{name} {count:,}" for name, count in counter.most_common(COUNTS_SHOWN)]
        more = len(counter) - len(shown)
        _tell(f"  {by:<10} {', '.join(shown) or 'none'}" + (f", and {more:,} more" if more > 0 else ""))


async def _read(file: str) -> tuple[SnapshotReader, Stored]:
    """Reads FILE to its end."""
    reader = SnapshotReader(limit=None)
    with opened(lambda: read_pieces(file)) as pieces, Progress("read") as progress:
        async for piece in progress.counting(pieces):
            reader.feed(piece)
        return reader, reader.finish()


# What all share.


def _one_of(address: str | None, data_dir: Path | None) -> None:
    if address is not None and data_dir is not None:
        raise click.UsageError("give --address (a running daemon) or --data-dir (no daemon runs on it), not both")


def _tell(outcome: object, where: Any = None) -> None:
    print(outcome if isinstance(outcome, str) else json.dumps(outcome), file=where or sys.stdout)


def _left_out(masked: int) -> str:
    """What a restore has to say of values that were masked."""
    return f"; {_values(masked)} masked in the file, and left out" if masked else ""


def _values(count: int) -> str:
    return "1 value was" if count == 1 else f"{count:,} values were"


def _services(count: int) -> str:
    return f"{count:,} service" + ("" if count == 1 else "s")
