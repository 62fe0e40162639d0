"""The terminal: its whole screen, its keys, and leaving it as it was."""

import asyncio
import os
import shutil
import signal
import sys
import termios
from collections.abc import Callable, Sequence
from typing import Any, Literal

from orion_registry.cli.top.keys import KeyReader
from orion_registry.cli.top.line import Pen, Piece

ESCAPE_S = 0.05
"""After an Esc, how long the rest of a key's sequence may take; then it was the key."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"  # the other screen, no cursor, no wrapping
_LEAVE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_STDIN, _STDOUT = 0, 1


class Terminal:
    """Use it inside `async with`; belongs to one event loop.

    Args:
        pressed: hears of each key.
        changed: hears that the screen has another size, or must be drawn again.
    """

    def __init__(self, pressed: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._pressed, self._changed = pressed, changed
        encoding = (sys.stdout.encoding or "").lower().replace("-", "")
        self._pen = Pen(colours=not os.environ.get("NO_COLOR"), unicode=encoding.startswith("utf"))
        self._reader = KeyReader()
        self._escape: asyncio.TimerHandle | None = None
        self._before: list[Any] | None = None
        self._drawn: list[str] = []

    async def __aenter__(self) -> "Terminal":
        loop = asyncio.get_running_loop()
        self._enter()
        loop.add_reader(_STDIN, self._read)
        loop.add_signal_handler(signal.SIGWINCH, self._again)
        loop.add_signal_handler(signal.SIGTSTP, self._pause)
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        loop = asyncio.get_running_loop()
        loop.remove_reader(_STDIN)
        for number in (signal.SIGWINCH, signal.SIGTSTP):
            loop.remove_signal_handler(number)
        if self._escape is not None:
            self._escape.cancel()
        self._leave()
        return False

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        return shutil.get_terminal_size()

    def draw(self, screen: Sequence[Sequence[Piece]]) -> None:
        """Shows a screen: only lines that are not there already are sent."""
        lines = [self._pen(line) for line in screen]
        told = ""
        for at, line in enumerate(lines):
            if at >= len(self._drawn) or self._drawn[at] != line:
                told += f"\x1b[{at + 1};1H{line}"
        self._drawn = lines
        if told:
            _write(told)

    def redraw(self) -> None:
        """The next screen is sent whole."""
        self._drawn = []
        _write("\x1b[2J")

    def _enter(self) -> None:
        self._before = termios.tcgetattr(_STDIN)
        mode = termios.tcgetattr(_STDIN)
        mode[0] &= ~termios.IXON  # Ctrl-S must not seem to hang it
        mode[3] &= ~(termios.ICANON | termios.ECHO)  # Ctrl-C and Ctrl-Z stay signals
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, mode)
        _write(_ENTER)
        self._drawn = []

    def _leave(self) -> None:
        if self._before is None:
            return
        try:
            _write(_LEAVE)
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, self._before)
        except (OSError, termios.error):
            return  # the terminal itself has gone: there is nothing to put back

    def _pause(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, and `fg` brings this back."""
        self._leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._enter()
        self._changed()

    def _again(self) -> None:
        self.redraw()
        self._changed()

    def _read(self) -> None:
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None
        try:
            data = os.read(_STDIN, 4096)
        except OSError:
            data = b""
        if not data:  # the terminal has gone
            asyncio.get_running_loop().remove_reader(_STDIN)
            self._pressed("gone")
            return
        for key in self._reader.feed(data):
            self._pressed(key)
        if self._reader.waits:
            self._escape = asyncio.get_running_loop().call_later(ESCAPE_S, self._flush)

    def _flush(self) -> None:
        self._escape = None
        for key in self._reader.flush():
            self._pressed(key)


def _write(text: str) -> None:
    data = text.encode("utf-8", "replace")
    while data:
        data = data[os.write(_STDOUT, data) :]
