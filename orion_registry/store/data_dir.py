"""The directory that a daemon keeps its data in: one daemon at a time, and nobody else may read it."""

import fcntl
import os
from pathlib import Path

from orion_registry.store.base import StoreFailed
from orion_registry.store.reserve import RESERVE_BYTES, Reserve
from orion_registry.store.witness import Witness

DATABASE, LOCK, RESERVE, WITNESS = "registry.db", "registry.lock", "registry.reserve", "registry.witness"


class DataDirectory:
    """An open data directory, locked until `close`.

    Files: the database (and SQLite's log beside it, `-wal`), the lock, the reserve, the witness.

    Attributes:
        path: the directory.
        database: the SQLite file, which may not exist yet.
        witness: see `Witness`.
        reserve: see `Reserve`.
    """

    def __init__(self, path: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        """Creates the directory if need be and locks it.

        Raises:
            StoreFailed: it cannot be made or written, or another daemon has it.
        """
        self.path = path.absolute()
        self.database = self.path / DATABASE
        try:
            _make(self.path)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.witness = Witness(self.path / WITNESS)
        except BlockingIOError as error:
            os.close(self._lock)
            raise StoreFailed(f"the data directory {self.path} is in use by another daemon") from error
        except OSError as error:
            os.close(self._lock)
            raise self._unusable(error) from error
        self.reserve = Reserve(self.path / RESERVE, reserve_bytes)

    def sync(self) -> None:
        """Makes the names in the directory durable."""
        _sync(self.path)

    def close(self) -> None:
        """Unlocks the directory. The lock's file stays: removing it would let two daemons hold two locks."""
        self.witness.close()
        os.close(self._lock)

    def _unusable(self, error: OSError) -> StoreFailed:
        return StoreFailed(f"the data directory {self.path} cannot be used: {(error.strerror or str(error)).lower()}")


def _make(path: Path) -> None:
    """Creates a directory whose name survives a power failure, and so do those of the parents it needed."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in missing:
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
