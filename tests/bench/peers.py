"""Peers of the registry as references: where each is not installed, one line says so.

etcd is a durable store with leases, Redis a store in memory with expiry, NATS micro discovery by request among services
that are connected. Each does a part of what the registry does; the figures say what that part costs there.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from examples.demo.processes import free_port
from tests.bench.processes import START_S, Process


class Foreign(Process):
    """A server that is no Python; its log goes to a file beside its data."""

    def __init__(self, *command: str, directory: Path) -> None:
        super().__init__()
        self._command = command
        self._directory = directory

    async def __aenter__(self) -> "Foreign":
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        with (self._directory / "server.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, str(port), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._directory,
            )  # fmt: skip
        try:
            async with asyncio.timeout(START_S):
                while not await self._open(port):  # noqa: ASYNC110 - another process' port tells nobody
                    await asyncio.sleep(0.02)
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
        return self

    async def _open(self, port: int) -> bool:
        if self.process.returncode is not None:
            raise RuntimeError(f"{self._command[0]} did not start: {(self._directory / 'server.log').read_text()}")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True


COMMANDS = {
    "redis": ("redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port"),
    "nats": ("nats-server", "-a", "127.0.0.1", "-p"),
}
"""In memory, without persistence; the port follows."""

PACKAGES = {"redis": "redis-server", "nats": "nats-server"}


@asynccontextmanager
async def peer(name: str) -> AsyncIterator[Foreign | None]:
    """A server of its own, or None and a line that says what is missing."""
    command = COMMANDS[name]
    if shutil.which(command[0]) is None:
        print(f"peers: {command[0]} is not installed (Debian: apt-get install {PACKAGES[name]}): left out", flush=True)
        yield None
        return
    print(f"peers: beside {_version(command[0])}", flush=True)
    with tempfile.TemporaryDirectory(prefix="orion-bench-") as directory:
        async with Foreign(*command, directory=Path(directory)) as server:
            yield server


def _version(command: str) -> str:
    with os.popen(f"{command} --version") as output:
        return output.readline().strip()
