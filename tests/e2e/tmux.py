"""A program on a real terminal: tmux holds it, keys go in, the screen comes out."""

import asyncio
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

STEP_S = 0.05


class Screen:
    """A tmux server of its own with one window of some size; it leaves nothing behind."""

    def __init__(self, name: str, directory: Path, width: int, height: int) -> None:
        self._socket = str(directory / f"{name}.tmux")
        self.name, self.width, self.height = name, width, height

    def start(self, command: str, environment: Mapping[str, str]) -> None:
        """Runs a line of sh; the window stays when it has ended."""
        given = [part for pair in environment.items() for part in ("-e", "=".join(pair))]
        size = ("-x", str(self.width), "-y", str(self.height))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, *given, f"{command}; exec sleep 600")
        self._tmux("set", "-g", "status", "off")
        self._tmux("resize-window", *size)

    def keys(self, *keys: str) -> None:
        """Presses keys by tmux's names; what is no name is typed."""
        self._tmux("send-keys", *keys)

    def text(self) -> str:
        """What the screen shows."""
        return self._tmux("capture-pane", "-p")

    def styled(self) -> str:
        """The same with escape sequences for colours."""
        return self._tmux("capture-pane", "-p", "-e", "-N")

    def resize(self, width: int, height: int) -> None:
        """As if somebody dragged the window."""
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    async def until(self, holds: Callable[[str], object], what: str, timeout_s: float = 20.0) -> float:
        """Waits until the text satisfies something; returns how long that took, in seconds.

        Raises:
            AssertionError: it never did.
        """
        began = time.monotonic()
        while not holds(text := self.text()):
            if time.monotonic() - began > timeout_s:
                raise AssertionError(f"{self.name}: not within {timeout_s:g} s: {what}\n{text}")
            await asyncio.sleep(STEP_S)
        return time.monotonic() - began

    def close(self) -> None:
        """Ends what runs in it."""
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], capture_output=True, check=False)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", self._socket, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"tmux {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
