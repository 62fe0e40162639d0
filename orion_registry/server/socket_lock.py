"""Who owns a Unix socket: gRPC silently replaces the file of a daemon that lives, so `flock` on PATH.lock decides.

A stale socket, left by a daemon that was killed, is removed under the lock only, and never if somebody answers there.
"""

import contextlib
import fcntl
import os
import socket
import stat

from orion_registry.server.start_error import StartError


class SocketLock:
    """Ownership of a Unix socket's path: `flock` on PATH.lock, for as long as the object is not released.

    Raises:
        StartError: another daemon holds it, something else listens there, or the path cannot be used.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock_path = path + ".lock"
        self._fd: int | None = self._take()
        try:
            self._remove_stale()
        except BaseException:
            self._unlock()
            raise

    def _take(self) -> int:
        while True:
            try:
                fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StartError(f"cannot listen on unix:{self.path}: {self._lock_path}: {_text(error)}") from None
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same_file(fd, self._lock_path):
                    return fd
            except OSError:
                os.close(fd)
                raise StartError(
                    f"{self.path} is in use: another daemon holds {self._lock_path}; use --listen unix:PATH"
                ) from None
            os.close(fd)  # its owner removed the file between open and lock: a lock on a ghost guards nothing

    def _remove_stale(self) -> None:
        try:
            mode = os.lstat(self.path).st_mode
        except FileNotFoundError:
            return
        except OSError as error:
            raise StartError(f"cannot listen on unix:{self.path}: {_text(error)}") from None
        if not stat.S_ISSOCK(mode):
            raise StartError(f"cannot listen on unix:{self.path}: the file exists and is not a socket")
        if _answers(self.path):
            raise StartError(f"{self.path} is in use: another program listens there; use --listen unix:PATH")
        try:
            os.unlink(self.path)
        except OSError as error:
            raise StartError(f"cannot remove the stale socket {self.path}: {_text(error)}") from None

    def release(self) -> None:
        """Removes the socket and the lock, in this order. Idempotent."""
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self._unlock()

    def _unlock(self) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._lock_path)  # while still locked: who opened it before finds a ghost and tries again
        os.close(self._fd)
        self._fd = None


def _same_file(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:  # its queue is full: alive
            return True
        except OSError:
            return False
    return True


def _text(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
