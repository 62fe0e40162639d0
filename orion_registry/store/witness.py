"""The witness: a small file beside the database that knows how many commits to it were acknowledged.

SQLite stops reading its log at the first frame that does not add up, and opens what it has by then without a word. The
witness is written after each commit and before its acknowledgement, so a database that knows of fewer commits has lost
some. It is not synced, and need not be: it outlives a killed daemon, and after a power failure it can only be behind.
"""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

_ID = 16
_SIZE = 8 + _ID + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What the witness says: how many commits to the database of this id were acknowledged."""

    store_id: bytes
    commits: int


class Witness:
    """An open witness file."""

    def __init__(self, path: Path) -> None:
        """Opens or creates it.

        Raises:
            OSError: it cannot be written.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written."""
        return os.fstat(self._file).st_size == 0

    def read(self) -> Testimony | None:
        """What it says; None if it is empty or damaged itself: such a witness says nothing."""
        raw = os.pread(self._file, _SIZE + 1, 0)
        body, checksum = raw[:-4], raw[-4:]
        if len(raw) != _SIZE or zlib.crc32(body).to_bytes(4, "big") != checksum:
            return None
        return Testimony(commits=int.from_bytes(body[:8], "big"), store_id=body[8:])

    def write(self, store_id: bytes, commits: int) -> None:
        """So many commits are about to be acknowledged.

        Raises:
            OSError: the disk does not take it. Then it stays behind, which is harmless.
        """
        body = commits.to_bytes(8, "big") + store_id
        os.pwrite(self._file, body + zlib.crc32(body).to_bytes(4, "big"), 0)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)
