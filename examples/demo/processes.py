"""Child processes that leave nothing behind."""

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Child:
    """One child process: its first line of output says that it is ready; its stderr goes to a file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        self.ready: dict[str, Any] = {}
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL, at once."""
        os.kill(self.pid, signal.SIGKILL)

    async def read_json(self, timeout_s: float) -> dict[str, Any]:
        """The next line of its output. Raises RuntimeError with the end of its log if none comes."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            line = b""
        if not line:
            raise RuntimeError(f"{self.name} did not answer within {timeout_s:g} s\n{self.log_tail()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def write_json(self, message: dict[str, Any]) -> None:
        """One line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def stop(self, grace_s: float = 4.0) -> int:
        """SIGTERM, and SIGKILL if that takes longer than grace_s. Returns the exit code. Idempotent."""
        if self._process.returncode is None:
            # Not asyncio's terminate(): it reaps a child that has just died, and then warns that somebody did.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(grace_s):
                    await self._process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self.kill()
        return await self._process.wait()

    def log_tail(self, lines: int = 25) -> str:
        """The end of its log, for a person who looks for the fault."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        return "\n".join([f"--- the end of {self.log}", *text]) if text else f"--- {self.log} is empty"


class Nursery:
    """All children; leaving it takes every one of them down, whatever happened."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.children: list[Child] = []

    async def start(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> Child:
        """Starts `python ARGUMENTS` from the project's root."""
        path = self._directory / f"{name}.log"
        with path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}", **(env or {})},
                start_new_session=True,  # Ctrl-C is for the parent, which takes them down in order
            )
        child = Child(name, process, path)
        self.children.append(child)
        return child

    async def start_ready(self, name: str, *arguments: str, timeout_s: float = 15.0) -> Child:
        """Starts a child and waits for the line that says it is ready."""
        child = await self.start(name, *arguments)
        child.ready = await child.read_json(timeout_s)
        return child

    async def start_daemon(self, port: int) -> Child:
        """Starts the registry; it may not answer yet."""
        listen = f"127.0.0.1:{port}"
        return await self.start("daemon", "-m", "orion_registry", "serve", "--ephemeral", "--listen", listen)

    async def stop_all(self) -> None:
        """Stops all at once, the daemon last."""
        daemons = [child for child in self.children if child.name == "daemon"]
        others = [child for child in self.children if child.name != "daemon"]
        await asyncio.gather(*(child.stop() for child in others))
        await asyncio.gather(*(child.stop() for child in daemons))

    async def __aenter__(self) -> "Nursery":
        return self

    async def __aexit__(self, *_: object) -> None:
        stopping = asyncio.ensure_future(self.stop_all())
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:  # a second Ctrl-C: no more patience
            for child in self.children:
                if child.exit_code is None:
                    with suppress(ProcessLookupError):
                        child.kill()
            await asyncio.wait({stopping})
            raise
