"""Room kept aside on the disk, so that a full one can still take removals and epochs: even a DELETE needs room."""

import os
from pathlib import Path

RESERVE_BYTES = 8 * 1024 * 1024
"""Twice SQLite's log between two checkpoints (1,000 pages of 4 KiB)."""


class Reserve:
    """A file of `size` bytes that holds nothing.

    Attributes:
        held: whether the room is set aside at present.
    """

    def __init__(self, path: Path, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._size = size
        self.held = False

    def keep(self) -> bool:
        """Sets the room aside unless it is; returns whether it is now."""
        if not self.held:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                try:
                    os.posix_fallocate(file, 0, self._size)
                finally:
                    os.close(file)
                self.held = True
            except OSError:
                self.release()
        return self.held

    def release(self) -> bool:
        """Gives the room to whoever writes next; returns whether there was any."""
        self.held = False
        try:
            self._path.unlink()
        except OSError:  # there is none, or a disk that takes no unlink either
            return False
        return True
