"""etcd as a reference: the system's own, one node, with its defaults, so with fsync. Its logs go to a file."""

import asyncio
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from orion_registry.wire.packing import blob
from tests.bench.processes import START_S, Process

PUT = "/etcdserverpb.KV/Put"
RANGE = "/etcdserverpb.KV/Range"
WATCH = "/etcdserverpb.Watch/Watch"
GRANT = "/etcdserverpb.Lease/LeaseGrant"
KEEP_ALIVE = "/etcdserverpb.Lease/LeaseKeepAlive"


def put_request(key: bytes, value: bytes) -> bytes:
    """A PutRequest, https://etcd.io/docs/v3.4/dev-guide/api_reference_v3: key = 1, value = 2."""
    return blob(1, key) + blob(2, value)


def etcd_version() -> str:
    """Its version as it tells it; empty where it is not installed."""
    command = shutil.which("etcd")
    if command is None:
        return ""
    with os.popen(f"{command} --version") as output:
        return output.readline().strip().replace(" Version:", "")


class Etcd(Process):
    """One node with its data in a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    async def __aenter__(self) -> "Etcd":
        client, peer = _free_ports()
        self.address, own, others = f"127.0.0.1:{client}", f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
        with (self._directory / "etcd.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                "etcd", "--data-dir", str(self._directory / "etcd"), "--name", "bench",
                "--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", others,
                "--initial-advertise-peer-urls", others, "--initial-cluster", f"bench={others}",
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        try:
            await self._ready()
        except BaseException:
            await super().__aexit__(None, None, None)
            raise
        return self

    async def _ready(self) -> None:
        """It has elected itself and takes writes."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            put: Any = channel.unary_unary(PUT)
            await put(put_request(b"ready", b"ready"), wait_for_ready=True, timeout=START_S)


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
