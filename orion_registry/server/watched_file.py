"""A file that is read again when it changes on disk. What is broken never takes the place of what works."""

import logging
import os
from collections.abc import Callable
from typing import Generic, TypeVar

from orion_registry.server.start_error import StartError

T = TypeVar("T")

log = logging.getLogger("orion_registry")

_Mark = tuple[int, int, int]
"""What tells a file that was written anew: inode, size, time of change."""


class WatchedFile(Generic[T]):
    """What a file says, as it was last found whole.

    Attributes:
        name: of the setting.
        value: what it says.
        trouble: why what is there now is refused; empty = it is not.
    """

    def __init__(self, name: str, path: str, read: Callable[[str], T]) -> None:
        """Reads it. name: of the setting, for the log; read: raises StartError for what is broken.

        Raises:
            StartError: it is broken.
        """
        self.name = name
        self._path = path
        self._read = read
        self._mark = self._seen()  # before it is read: if it changes meanwhile it is looked at again
        self.value = read(path)
        self._doubted: _Mark | None = None
        self.trouble = ""

    def look(self) -> bool:
        """Takes it anew if it has changed and is whole; returns whether it did.

        An editor may write it in pieces: what is wrong is told once it still is at the next look.
        """
        mark = self._seen()
        if mark == self._mark:
            self._doubted, self.trouble = None, ""
            return False
        try:
            value = self._read(self._path)
        except StartError as error:
            if mark == self._doubted and not self.trouble:
                self.trouble = str(error)
                log.warning("new file refused, the old one goes on", extra={"setting": self.name, "error": str(error)})
            elif mark != self._doubted:
                self._doubted, self.trouble = mark, ""
            return False
        if mark != self._seen():  # it changes right now
            return False
        self._mark, self.value = mark, value
        self._doubted, self.trouble = None, ""
        log.info("file taken", extra={"setting": self.name, "file": self._path})
        return True

    def _seen(self) -> _Mark:
        try:
            found = os.stat(self._path)
        except OSError as error:
            return (0, 0, error.errno or -1)  # as good as any other mark: reading it tells what is wrong
        return (found.st_ino, found.st_size, found.st_mtime_ns)
