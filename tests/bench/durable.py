"""Registrations a second, each acknowledged once it is synced to disk, beside etcd's puts of as many bytes.

Each round has a daemon and an etcd of its own, with empty directories on the same file system; they take turns at being
first. Every registration is a new service with its agent's own secret, every put a new key, and the same client sends
both as raw bytes: etcd's value is as long as the registry's whole request.
"""

import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from orion_registry.core.model import ServiceSpec
from orion_registry.wire.requests import encode_spec
from orion_registry_pb.v1 import registry_pb2
from tests.bench.etcd import PUT, Etcd, etcd_version, put_request
from tests.bench.figures import Figure
from tests.bench.fleet import METADATA
from tests.bench.numbers import NUMBER
from tests.bench.processes import Server, registry
from tests.bench.setting import Setting

REGISTER = "/orion.registry.v1.RegistryService/RegisterService"
CONCURRENCIES = (64, 256)
CONNECTIONS = 8
DISK = "/var/tmp"
"""Not /tmp, which may be in memory. A directory of its own is made there."""


async def measure(setting: Setting) -> list[Figure]:
    """The figures of durable writes, for each number of calls in flight."""
    version = etcd_version()
    print(f"durable: beside {version}" if version else "durable: etcd is not installed, so the registry alone")
    with tempfile.TemporaryDirectory(prefix="orion-bench-", dir=DISK) as directory:
        print(
            f"durable: fsync of 4 KiB in {directory}: {_fsync_ms(Path(directory)):.2f} ms (median of 100)", flush=True
        )
        concurrencies = CONCURRENCIES[-1:] if setting.quick else CONCURRENCIES
        return [
            figure
            for concurrency in concurrencies
            for figure in await _compare(setting, Path(directory), concurrency, beside_etcd=bool(version))
        ]


async def _compare(setting: Setting, directory: Path, concurrency: int, *, beside_etcd: bool) -> list[Figure]:
    name, what = f"durable-{concurrency}", f"durable, {concurrency} in flight"
    figures = {
        "per_s": Figure(name=name, what=f"{what}: speed", unit="writes/s", beside="etcd"),
        "p50_ms": Figure(name=f"{name}-p50", what=f"{what}: p50", unit="ms", beside="etcd"),
        "p99_ms": Figure(name=f"{name}-p99", what=f"{what}: p99", unit="ms", beside="etcd"),
        "cpu_us": Figure(name=f"{name}-cpu", what=f"{what}: CPU", unit="us a write", beside="etcd"),
    }
    for number in range(setting.rounds):
        with tempfile.TemporaryDirectory(dir=directory) as empty:
            async with contextlib.AsyncExitStack() as stack:
                servers: list[Server | Etcd] = [await stack.enter_async_context(registry(Path(empty) / "registry"))]
                if beside_etcd:
                    servers.append(await stack.enter_async_context(Etcd(Path(empty))))
                took = {}
                for server in servers if number % 2 == 0 else reversed(servers):
                    took[server] = await _write(setting, server, concurrency)
        for key, figure in figures.items():
            ours, *theirs = (took[server][key] for server in servers)
            figure.add(ours, theirs[0] if theirs else None)
    return list(figures.values())


async def _write(setting: Setting, server: Server | Etcd, concurrency: int) -> dict[str, float]:
    register = registration()
    if isinstance(server, Etcd):
        path, request = PUT, put_request(b"/services/" + NUMBER, b"v" * len(register))
    else:
        path, request = REGISTER, register
    before = server.cpu_s
    done = await setting.load.do(
        do="numbered", address=server.address, path=path, request=request.hex(), connections=CONNECTIONS,
        concurrency=concurrency, seconds=setting.seconds,
    )  # fmt: skip
    cpu_s = server.cpu_s - before
    if done["refused"]:  # not counted, nor are they to happen: the machine, or its disk, stood still
        print(f"durable: {path} refused {done['refused']:.0f} writes beside {done['calls']:.0f}", flush=True)
    return done | {"per_s": done["calls"] / done["seconds"], "cpu_us": cpu_s * 1e6 / done["calls"]}


def registration() -> bytes:
    """A request of the size that agents have; the number makes it another agent with another secret."""
    number = NUMBER.decode()
    spec = ServiceSpec(
        agent_id=f"agent-{number}", service_name="worker", port=7000, protocol="grpc", zone="eu-1a",
        capabilities=("search", "summarise", "translate"), tags=("prod", "gpu", "v2"), metadata_json=METADATA,
        max_concurrency=8,
    )  # fmt: skip
    secret = f"{number:x<64}"
    return registry_pb2.RegisterServiceRequest(service=encode_spec(spec), secret=secret).SerializeToString()


def _fsync_ms(directory: Path) -> float:
    """What the disk needs for one small synced write: no lone caller can be faster."""
    took = []
    with (directory / "probe").open("wb", buffering=0) as file:
        for _ in range(100):
            began = time.perf_counter()
            file.write(bytes(4_096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3
