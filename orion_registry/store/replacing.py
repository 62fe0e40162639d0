"""Putting a snapshot in the place of a data directory's database while no daemon runs: the way out of a damaged one."""

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

from orion_registry.core.audit import AuditEntry
from orion_registry.core.auditing import whom
from orion_registry.core.facts import Audit, Fact, Put, PutOverlay, ReserveEpochs, Stored
from orion_registry.core.importing import SINCE_EXPORT
from orion_registry.core.model import Record
from orion_registry.core.overlay import Overlay
from orion_registry.store.base import StoreFailed
from orion_registry.store.data_dir import DATABASE, WITNESS, DataDirectory
from orion_registry.store.sqlite import SqliteStore

RESTORE = "snapshot restore"
"""Method of the audit records that a restored database begins with: who did it is known to its machine alone."""

PARTS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
"""Files of a database, in the order in which they are moved: a log without its database is never believed."""


async def replace_database(path: Path, stored: Stored, wall: float) -> Path | None:
    """Makes `stored`, which came out of an `Intake`, the data of a directory, whatever is there, or nothing.

    Nothing is deleted: what was there is moved into a directory beside it, which is returned; None = nothing was there.
    At whatever point this is interrupted, a daemon finds the old data, the new data, or refuses to start; then it can
    be done again. wall: seconds since 1970, for names.

    Raises:
        StoreFailed: the directory cannot be used, or a daemon uses it; nothing in it was changed.
    """
    bound = max(stored.epochs_below + SINCE_EXPORT, await _old_bound(path))
    directory = DataDirectory(path)
    try:
        stamp = datetime.fromtimestamp(wall, UTC).strftime("%Y%m%dT%H%M%SZ")
        made = _new_folder(directory.path, f"restoring-{stamp}")
        try:
            await _build(made, stored, bound, wall)
            return _swap(directory, made, stamp)
        except OSError as error:
            raise StoreFailed(
                f"{directory.path} cannot be written: {(error.strerror or str(error)).lower()}"
            ) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
    finally:
        directory.close()


async def _old_bound(path: Path) -> int:
    """The bound of epochs in the database that is there, so that they go on rising; 1 if nobody can tell."""
    if not (path / DATABASE).exists():
        return 1
    store = SqliteStore(path)
    try:
        return (await store.load()).epochs_below
    except StoreFailed:
        return 1
    finally:
        await store.close()


async def _build(folder: Path, stored: Stored, bound: int, wall: float) -> None:
    """A whole database in a directory of its own, closed, and safe on the disk. It begins an audit chain."""
    store = SqliteStore(folder)
    await store.load()
    try:
        facts: list[Fact] = [ReserveEpochs(below=bound), *(Put(record=record) for record in stored.records)]
        facts += (PutOverlay(overlay=overlay) for overlay in stored.overlays)
        restored: tuple[Record | Overlay, ...] = (*stored.records, *stored.overlays)
        facts += (_audit(one, wall) for one in restored)
        await store.commit(facts)
    finally:
        await store.close()


def _audit(restored: Record | Overlay, wall: float) -> Audit:
    namespace, target = whom(restored)
    entry = AuditEntry(
        wall=wall, history_id="", identity="", address="", method=RESTORE, namespace=namespace, target=target
    )
    return Audit(entry=entry, after=restored)


def _swap(directory: DataDirectory, made: Path, stamp: str) -> Path | None:
    """Puts the new files in place of the old ones.

    The new witness goes first: from then on the old database is not believed, and neither is none at all.
    """
    old = [name for name in PARTS if (directory.path / name).exists()]
    aside = _new_folder(directory.path, f"replaced-{stamp}") if old else None
    if aside is not None:
        shutil.copy2(directory.path / WITNESS, aside / WITNESS)
    (made / WITNESS).replace(directory.path / WITNESS)
    directory.sync()
    if aside is not None:
        for name in old:
            with contextlib.suppress(FileNotFoundError):
                (directory.path / name).rename(aside / name)
    directory.sync()
    (made / DATABASE).rename(directory.path / DATABASE)
    directory.sync()
    return aside


def _new_folder(parent: Path, name: str) -> Path:
    """A directory that was not there before."""
    for number in range(1, 1_000):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return folder
    raise StoreFailed(f"{parent} holds too many directories {name}")
