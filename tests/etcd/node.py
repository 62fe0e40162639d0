"""Real etcd nodes for tests: Debian's etcd-server, one or several, killed, stopped and started again at will."""

import asyncio
import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orion_registry.etcd.client import Etcd
from orion_registry.etcd.config import EtcdConfig
from orion_registry.etcd.failures import EtcdError

START_S = 30.0

MISSING = "etcd is not installed (Debian: apt-get install etcd-server): nothing of the cluster is tested"


def has_etcd() -> bool:
    return shutil.which("etcd") is not None


needs_etcd = pytest.mark.skipif(not has_etcd(), reason=MISSING)
"""The one place that says so; .ci/packages installs it, and .ci/run fails if that does not work."""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Node:
    """One node. Its ports and its data stay over restarts."""

    def __init__(self, directory: Path, name: str = "n1", options: Sequence[str] = (), scheme: str = "http") -> None:
        self.name = name
        self.address = f"127.0.0.1:{free_port()}"
        self.peer_url = f"http://127.0.0.1:{free_port()}"
        self.cluster = f"{name}={self.peer_url}"
        self.options = tuple(options)
        self._scheme = scheme
        self._directory = directory
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        url = f"{self._scheme}://{self.address}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        with (self._directory / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "etcd", "--data-dir", str(self._directory / self.name), "--name", self.name,
                "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", self.cluster, *self.options,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def stop(self) -> None:
        """Returns once it stands still: on a busy machine it goes on for a moment after the signal."""
        os.kill(self.pid, signal.SIGSTOP)
        while not all(
            stat.read_text().rpartition(")")[2].split()[0] in "TtZ"
            for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")
        ):
            time.sleep(0.001)

    def cont(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    async def ready(self, **config: str) -> None:
        etcd = Etcd(EtcdConfig(endpoints=(self.address,), timeout_s=1.0, **config))  # type: ignore[arg-type]  # files
        try:
            async with asyncio.timeout(START_S):
                while True:
                    try:
                        await etcd.get("ready")
                    except EtcdError:
                        await asyncio.sleep(0.1)
                    else:
                        return
        finally:
            await etcd.close()

    async def ctl(self, *arguments: str, told: str = "") -> str:
        """etcdctl, as operators use it; told: what it reads from standard input."""
        command = ["etcdctl", "--endpoints", f"{self._scheme}://{self.address}", *arguments]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        done = await asyncio.to_thread(
            subprocess.run, command, input=told, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@asynccontextmanager
async def running_node(directory: Path, *options: str) -> AsyncIterator[Node]:
    node = Node(directory, options=options)
    await node.start()
    try:
        await node.ready()
        yield node
    finally:
        await node.kill()


@asynccontextmanager
async def running_nodes(directory: Path, count: int) -> AsyncIterator[list[Node]]:
    """An etcd cluster."""
    nodes = [Node(directory, f"n{number}") for number in range(1, count + 1)]
    for node in nodes:
        node.cluster = ",".join(f"{one.name}={one.peer_url}" for one in nodes)
    try:
        for node in nodes:
            await node.start()
        for node in nodes:
            await node.ready()
        yield nodes
    finally:
        for node in nodes:
            await node.kill()


@functools.cache
def shared_etcd() -> str:
    """Address of an etcd that lives as long as this process: each store has a prefix of its own there."""
    directory = tempfile.mkdtemp(prefix="orion-etcd-")
    address, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["etcd", "--data-dir", directory, "--name", "n1", "--listen-client-urls", f"http://{address}",
         "--advertise-client-urls", f"http://{address}", "--listen-peer-urls", peer,
         "--initial-advertise-peer-urls", peer, "--initial-cluster", f"n1={peer}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(process.wait)
    atexit.register(process.kill)
    give_up = time.monotonic() + 30
    command = ["etcdctl", "--endpoints", address, "endpoint", "health"]
    while subprocess.run(command, capture_output=True, env={"ETCDCTL_API": "3"}, check=False).returncode:
        assert time.monotonic() < give_up, "etcd did not start"
        time.sleep(0.05)
    return address
