"""The audit chain as a file of lines of JSON, which is renamed when it is large, and begun anew. See `core.audit`."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from orion_registry.core.audit import AuditHead, AuditRecord, line_of, record_of_line
from orion_registry.core.audit_verification import Unreadable

BEGINNING = b'{"address":"'
"""What a file of records begins with."""
TAIL = 64 * 1024
"""Bytes at a file's end among which the last line is; a record at all its limits has 8 KiB."""


class AuditFile:
    """A file that records are appended to, and those that it was before. For one thread at a time.

    Args:
        path: of the file; `path.1` is what it was before, `path.2` before that, up to `kept`.
        size: bytes at which it is renamed.
        kept: renamed files to keep.
    """

    def __init__(self, path: Path, size: int, kept: int) -> None:
        self._path = path.absolute()
        self._size = size
        self._kept = kept
        self._file: int | None = None

    def open(self) -> AuditHead | None:
        """Opens or makes the file, for its owner alone; returns the place of the last record in it or before it.

        The rest of a line, left by a crash, is cut off. None: nothing was written yet.

        Raises:
            OSError: it cannot be opened or mended, or it, or the one before, holds something else or ends in a line
                that is no record; that is left as it is.
        """
        self.close()
        new = not self._path.exists()
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if new:
            self._sync_names()
        _refuse_others(self._file)
        whole = self._cut_torn_line(self._file)
        if whole:
            return _head(self._file, whole, "the file there")
        with contextlib.suppress(FileNotFoundError), self._beside(1).open("rb") as before:
            return _head(before.fileno(), os.fstat(before.fileno()).st_size, repr(self._beside(1).name))
        return None

    def append(self, records: Sequence[AuditRecord]) -> None:
        """Appends and syncs; renames the file before if it would get too large, or if somebody else has moved it.

        Raises:
            OSError: the disk does not take it; `open` mends what was written of it.
        """
        data = b"".join(line_of(record).encode("ascii") + b"\n" for record in records)
        held = self._own_size()
        if held and held + len(data) > self._size:
            self.rotate()
        assert self._file is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)

    def rotate(self) -> None:
        """Renames the file, and begins a new one.

        Raises:
            OSError: a name cannot be changed, or no file made; or one of the names is somebody else's file: then none
                is changed.
        """
        for number in range(1, self._kept + 1):
            with contextlib.suppress(FileNotFoundError), self._beside(number).open("rb") as before:
                _refuse_others(before.fileno(), repr(self._beside(number).name))
        self.close()
        for number in range(self._kept - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._beside(number).replace(self._beside(number + 1))
        with contextlib.suppress(FileNotFoundError):
            self._path.replace(self._beside(1))
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        self._sync_names()

    def close(self) -> None:
        """Closes the file. Idempotent."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _own_size(self) -> int:
        """Bytes in the file that has the name; it is opened anew if that is another one by now."""
        assert self._file is not None
        own = os.fstat(self._file)
        try:
            named = self._path.stat()
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino):
            self.open()
            own = os.fstat(self._file)
        return own.st_size

    def _beside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _cut_torn_line(self, file: int) -> int:
        """Cuts off what stands behind the last end of a line; returns the size then."""
        size = os.fstat(file).st_size
        start = max(0, size - TAIL)
        tail = os.pread(file, size - start, start)
        whole = start + tail.rfind(b"\n") + 1 if b"\n" in tail or start == 0 else size
        if whole < size:
            os.ftruncate(file, whole)
            os.fsync(file)
        return whole

    def _sync_names(self) -> None:
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _refuse_others(file: int, name: str = "the file there") -> None:
    """Raises OSError if a file is somebody else's: a wrong path must cost nobody what stands there.

    What it begins with is not told: the alarm goes to all who may ask, and the file may be a key.
    """
    found = os.pread(file, len(BEGINNING), 0)
    if not BEGINNING.startswith(found):
        raise OSError(f"{name} does not begin with an audit record: move it, or name another")


def _head(file: int, size: int, name: str) -> AuditHead | None:
    """The place of a file's last record; None if it is empty.

    To go on behind a line that cannot be read would write all that the store holds again.

    Raises:
        OSError: the last line is no record.
    """
    last = _last_line(file, size)
    try:
        record = None if last is None else record_of_line(last)
    except ValueError:
        raise OSError(f"{name} ends in a line that is no audit record: move it, or name another") from None
    return None if record is None else AuditHead(seq=record.seq, hash=record.hash)


def _last_line(file: int, size: int) -> str | None:
    """The last line of a file that ends with one."""
    tail = os.pread(file, min(size, TAIL), max(0, size - TAIL))
    lines = tail.decode("ascii", "replace").splitlines()
    return lines[-1] if lines else None


def read_lines(path: Path) -> Iterator[AuditRecord | Unreadable]:
    """The records of a file, and what stands where one should.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            where = f"{path}, line {number}"
            if not raw.endswith(b"\n"):
                yield Unreadable(where=where, why="the line has no end")
                return
            try:
                yield record_of_line(raw[:-1].decode("ascii"))
            except ValueError as error:
                yield Unreadable(where=where, why=str(error))
