"""Must-show 1: checks of every kind against real targets that are healthy, then broken, then mended.

An HTTP server, a TCP listener, a gRPC server with grpc.health.v1, an address that answers pings, and a custom check,
each the target of a service whose agent keeps a perfect heartbeat stream; and a third-party HTTP service that keeps
none (LIVENESS_MODE_CHECK by its health_check_url). The daemon is a process of its own. For each it prints when it was
ready, when it was out of selection after its target broke, and when it was back after that was mended. Exit code 1
unless

  healthy   ready, within one interval
  broken    UNHEALTHY(CHECK_FAILED) with the stream still open, not found by callers, within fall * 1.1 intervals + 1 s
  mended    ready again by itself, within 2 intervals

Run by root it moves into a network of its own (unshare --net), where pings can be broken: echoes are ignored there.
Others leave ping out, and it says so.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from grpc_health.v1 import health_pb2

from examples.demo.processes import Nursery
from orion_registry import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    LivenessMode,
    RegistryClient,
    Selector,
    ServiceSpec,
    ServiceStatus,
    TcpProbe,
)
from orion_registry.core.checks.spec import Probe
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.wire.monitor import ServiceHealth
from tests.e2e.fleet import start_daemon
from tests.probes import targets

FALL, RISE = 2, 1
IGNORE_PINGS = Path("/proc/sys/net/ipv4/icmp_echo_ignore_all")
OWN_NETWORK = "ORION_TEST_OWN_NETWORK"
LOOK_S = 0.01

Switch = Callable[[bool], Awaitable[None]]
"""Mends a target, or breaks it."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something to check."""

    name: str
    probe: Probe | None
    port: int
    switch: Switch
    url: str = ""


@dataclass(slots=True)
class Row:
    """What was seen of one target. Spans in seconds."""

    name: str
    ready_s: float = 0.0
    broken_s: float = 0.0
    broken: str = ""
    mended_s: float = 0.0
    faults: str = ""


# Targets.


@contextlib.asynccontextmanager
async def http_target(name: str, probe: HttpProbe | None, url: str = "") -> AsyncIterator[Target]:
    """Answers 200, or 503."""
    status = "200 OK"

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: targets.Seen) -> None:
        await targets.answer(status)(reader, writer, seen)

    async def switch(good: bool) -> None:
        nonlocal status
        status = "200 OK" if good else "503 Service Unavailable"

    async with targets.http(behave) as target:
        yield Target(name, probe, target.port, switch, url.format(port=target.port))


@contextlib.asynccontextmanager
async def tcp_target() -> AsyncIterator[Target]:
    """Takes connections, or nobody listens."""
    port = targets.refusing()
    server: asyncio.Server | None = None

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def switch(good: bool) -> None:
        nonlocal server
        if server is not None:
            server.close()
        server = await asyncio.start_server(greet, "127.0.0.1", port) if good else None

    await switch(True)
    try:
        yield Target("tcp", TcpProbe(), port, switch)
    finally:
        await switch(False)


@contextlib.asynccontextmanager
async def grpc_target() -> AsyncIterator[Target]:
    """SERVING, or NOT_SERVING."""
    async with targets.grpc_health() as (port, servicer):

        async def switch(good: bool) -> None:
            told = health_pb2.HealthCheckResponse
            await servicer.set("calc", told.SERVING if good else told.NOT_SERVING)

        await switch(True)
        yield Target("grpc", GrpcProbe(service="calc"), port, switch)


@contextlib.asynccontextmanager
async def icmp_target() -> AsyncIterator[Target]:
    """Pings are answered, or ignored: in the network that this process has for itself."""

    async def switch(good: bool) -> None:
        IGNORE_PINGS.write_text("0" if good else "1")  # noqa: ASYNC240 - a setting of the kernel, no disk

    yield Target("icmp", IcmpProbe(), 0, switch)


@contextlib.asynccontextmanager
async def custom_target() -> AsyncIterator[Target]:
    """Tells the length of its queue."""
    length = 3

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{length}\n".encode())
        writer.close()

    async def switch(good: bool) -> None:
        nonlocal length
        length = 3 if good else 99

    server = await asyncio.start_server(tell, "127.0.0.1", 0)
    async with server:
        yield Target("custom", CustomProbe(name="queue"), server.sockets[0].getsockname()[1], switch)


# The story of one target.


class Story:
    """One target, from its registration to its recovery."""

    def __init__(self, client: RegistryClient, target: Target, interval_s: float) -> None:
        self._client = client
        self._target = target
        self._interval_s = interval_s
        self._service_id = ""
        self.row = Row(target.name)

    async def tell(self) -> Row:
        """Plays it."""
        try:
            if self._target.probe is None:
                self._service_id = (await self._client.register(self._spec(LivenessMode.CHECK))).ref.service_id
                await self._play()
            else:
                async with self._client.session(self._target.name, [self._spec(LivenessMode.STREAM)]) as session:
                    self._service_id = session.ref().service_id
                    await self._play()
        except TimeoutError:
            self.row.faults = self.row.faults or "took too long"
        return self.row

    def _spec(self, liveness: LivenessMode) -> ServiceSpec:
        target = self._target
        name, timeout_s = target.name, min(1.0, 0.4 * self._interval_s)
        probe = target.probe or HttpProbe()  # without host, port and path: its health_check_url
        check = CheckSpec(
            name=name, probes=(probe,), interval_s=self._interval_s, timeout_s=timeout_s, fall=FALL, rise=RISE
        )
        return ServiceSpec(
            agent_id=name,
            service_name="target",
            host="127.0.0.1",
            port=target.port,
            tags=(name,),
            liveness=liveness,
            health_check_url=target.url,
            checks=(check,),
        )

    async def _play(self) -> None:
        row, interval_s = self.row, self._interval_s
        row.ready_s = await self._until(True, interval_s + 1.0, "not ready")
        await self._target.switch(False)
        row.broken_s = await self._until(False, FALL * 1.1 * interval_s + 1.0, "not UNHEALTHY")
        health = await self._client.health(self._service_id)
        row.broken = f"{health.status.name}({', '.join(reason.code.name for reason in health.reasons)})"
        row.faults = await self._faults_of(health)
        await self._target.switch(True)
        row.mended_s = await self._until(True, 2 * interval_s, "not back")

    async def _faults_of(self, health: ServiceHealth) -> str:
        """What is wrong with a service that is out."""
        codes = [reason.code for reason in health.reasons]
        wanted = [Code.CHECK_FAILED] if self._target.probe is None else [Code.CHECK_FAILED, Code.STREAM_OPEN]
        if health.status is not ServiceStatus.UNHEALTHY or codes != wanted:
            return f"broken, it is {health.status.name} because of {codes}"
        if (await self._client.discover(Selector(tags=(self._target.name,)))).services:
            return "broken, and found by callers"
        return ""

    async def _until(self, ready: bool, within_s: float, otherwise: str) -> float:
        """Seconds until the service is ready, or not, because a check said so."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(within_s):
                while not self._is(await self._client.health(self._service_id), ready):  # noqa: ASYNC110 - no event
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            self.row.faults = f"{otherwise} within {within_s:.1f} s"
            raise
        return time.monotonic() - began

    @staticmethod
    def _is(health: ServiceHealth, ready: bool) -> bool:
        (check,) = health.checks
        return health.ready is ready and bool(check.passes if ready else check.failures)


async def run(interval_s: float, *, ping: bool) -> list[Row]:
    """All stories at once."""
    with tempfile.TemporaryDirectory() as directory:
        async with contextlib.AsyncExitStack() as stack:
            nursery = await stack.enter_async_context(Nursery(Path(directory)))
            address = await start_daemon(nursery, "--custom-checks", "queue=tests.e2e.check_callables:queue")
            client = await stack.enter_async_context(RegistryClient(address))
            makers = [
                http_target("http", HttpProbe(path="/up")),
                tcp_target(),
                grpc_target(),
                custom_target(),
                http_target("url", None, "http://127.0.0.1:{port}/up"),
            ]
            if ping:
                makers.append(icmp_target())
            stories = [Story(client, await stack.enter_async_context(maker), interval_s) for maker in makers]
            return list(await asyncio.gather(*(story.tell() for story in stories)))


def own_network() -> bool:
    """Whether this process has a network for itself; root gets one by starting this program again."""
    unshare = shutil.which("unshare")
    if os.environ.get(OWN_NETWORK) or os.geteuid() != 0 or unshare is None or shutil.which("ip") is None:
        return OWN_NETWORK in os.environ
    again = [
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "tests.e2e.checks",
        *sys.argv[1:],
    ]
    return os.execve(unshare, [unshare, "--net", *again], {**os.environ, OWN_NETWORK: "1"})


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two runs (2)")
    options = parser.parse_args()
    ping = own_network()
    rows = asyncio.run(run(options.interval, ping=ping))
    interval_s = options.interval
    print(f"a check every {interval_s:g} s, fall {FALL}, rise {RISE}; times in seconds (in intervals)")
    for row in rows:
        ends = [f"{what} {s:5.2f} ({s / interval_s:4.2f})" for what, s in (
            ("ready after", row.ready_s), ("out after", row.broken_s), ("back after", row.mended_s))]  # fmt: skip
        print(f"{row.name:<7} {'  '.join(ends)}  {row.broken}  {row.faults}".rstrip())
    if not ping:
        print("icmp    left out: it needs root, unshare and ip")
    failed = [row.name for row in rows if row.faults]
    print(f"FAILED: {', '.join(failed)}" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
