"""FILE of the snapshot commands: written whole or not at all, read in pieces, with progress on a terminal."""

import asyncio
import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from orion_registry.runtime.clock import SystemClock

PIECE_BYTES = 64 * 1024
SHOW_EVERY_S = 0.1


class SnapshotTarget(AbstractContextManager["SnapshotTarget"]):
    """Where a snapshot is written: a file that comes into being, mode 0600, when `keep` is called; or stdout for '-'.

    Raises:
        OSError: it cannot be written there.
    """

    def __init__(self, name: str) -> None:
        self._path: Path | None = None
        self._kept = False
        if name == "-":
            self._file: BinaryIO = sys.stdout.buffer
            return
        self._path = Path(name).resolve()  # a link keeps pointing there
        if self._path.exists() and not stat.S_ISREG(self._path.stat().st_mode):
            raise FileExistsError(0, "not a regular file; use - for stdout", name)
        try:
            handle, made = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".tmp", dir=self._path.parent)
        except OSError as error:
            raise OSError(error.errno, error.strerror, name) from None
        self._made = Path(made)
        self._file = os.fdopen(handle, "wb")

    def write(self, data: bytes) -> None:
        """Writes on."""
        self._file.write(data)

    def keep(self) -> None:
        """All is written: from now on the file is there, and survives a power failure."""
        self._file.flush()
        if self._path is not None:
            os.fsync(self._file.fileno())
            self._made.replace(self._path)
            self._kept = True
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def __exit__(self, *_: object) -> Literal[False]:
        if self._path is not None:
            with contextlib.suppress(OSError):  # what could not be written was told of already
                self._file.close()
            if not self._kept:
                self._made.unlink(missing_ok=True)
        return False


@contextmanager
def _closing(file: BinaryIO, ours: bool) -> Iterator[AsyncIterator[bytes]]:
    async def pieces() -> AsyncIterator[bytes]:
        while data := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield data

    try:
        yield pieces()
    finally:
        if ours:
            file.close()


def read_pieces(name: str) -> AbstractContextManager[AsyncIterator[bytes]]:
    """What stands in a file, or comes on stdin for '-', in pieces.

    Raises:
        OSError: it cannot be read.
    """
    if name == "-":
        return _closing(sys.stdin.buffer, ours=False)
    file = open(name, "rb")  # noqa: SIM115 - closed by the context manager
    return _closing(file, ours=True)


class Progress(AbstractContextManager["Progress"]):
    """One line on stderr that keeps up, if that is a terminal."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._shown = sys.stderr.isatty()
        self._next = 0.0
        self._wiped = True

    def show(self, services: int | None, size: int) -> None:
        """How far it is."""
        now = SystemClock().now().mono
        if self._shown and now >= self._next:
            self._next, self._wiped = now + SHOW_EVERY_S, False
            what = show_size(size) if services is None else f"{services:,} services, {show_size(size)}"
            print(f"\r\x1b[K{self._verb} {what}", end="", file=sys.stderr, flush=True)

    async def counting(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces, with progress told as they pass."""
        size = 0
        async for piece in pieces:
            size += len(piece)
            self.show(None, size)
            yield piece

    def __exit__(self, *_: object) -> Literal[False]:
        if not self._wiped:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        return False


def show_size(size: int) -> str:
    """Bytes for people: 812 bytes, 8.4 kB, 2.1 MB."""
    if size < 1_000:
        return f"{size} bytes"
    if size < 1_000_000:
        return f"{size / 1_000:.1f} kB"
    return f"{size / 1_000_000:.1f} MB"
