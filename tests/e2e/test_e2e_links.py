"""Must-show 2 of the SDK: whatever happens to the way to the registry, session and watch are back by themselves.

The chaos proxy of tests.faults stands between; the registry's address is a name that a small DNS server answers.
"""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from examples.demo.processes import Nursery
from orion_registry.client.client import RegistryClient
from orion_registry.client.options import SessionOptions
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.state import ConnectionState
from orion_registry.client.watch import Watch
from orion_registry.core.model import ServiceSpec
from orion_registry.core.selector import Selector
from orion_registry.server.daemon import Daemon
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.timeout(60)
SPEC = ServiceSpec(agent_id="a", service_name="s")
ALL = Selector(include_not_ready=True)
QUICK = SessionOptions(handshake_timeout_s=1.0)
NAME = "registry.test"


@asynccontextmanager
async def proxied(folder: Path, daemon: Daemon) -> AsyncIterator[Proxy]:
    async with Nursery(folder) as nursery:
        yield await Proxy.start(nursery, "proxy", daemon.address)


async def until(holds: Callable[[], bool], limit_s: float = 10.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit_s
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def epoch(session: HeartbeatSession) -> int:
    return session.ref().epoch


def ready(watch: Watch) -> bool:
    return any(service.ready for service in watch.services.values())


async def back(session: HeartbeatSession, watch: Watch, before: int, limit_s: float) -> None:
    """The same service under a risen epoch, and a watch that shows so."""
    await until(lambda: epoch(session) > before and session.connection_state is ConnectionState.CONNECTED, limit_s)
    await until(lambda: ready(watch) and watch.stale_for_s == 0.0, limit_s)
    [service] = watch.services.values()
    assert service.epoch >= epoch(session) - 1
    assert service.service_id == session.ref().service_id


async def test_connections_that_are_reset(tmp_path: Path) -> None:
    async with (
        running_daemon(probation_s=0.0) as daemon,
        proxied(tmp_path, daemon) as proxy,
        RegistryClient(proxy.address) as client,
        client.watch(ALL) as watch,
        client.session("a", [SPEC], QUICK) as session,
    ):
        for _ in range(3):
            before = epoch(session)
            await until(lambda: ready(watch))
            await proxy.tell("reset")
            await back(session, watch, before, 5.0)


async def test_a_proxy_that_idles_connections_out(tmp_path: Path) -> None:
    """It forgets the connection without a word: bytes go nowhere, and neither end is told. The client's PINGs notice.

    The daemon is too patient to, for the proxy would pass its end of the connection on.
    """
    async with (
        running_daemon(profile="dev") as daemon,
        proxied(tmp_path, daemon) as proxy,
        RegistryClient(proxy.address) as client,
        client.watch(ALL) as watch,
        client.session("a", [SPEC], QUICK) as session,
    ):
        before = epoch(session)
        await until(lambda: ready(watch))
        await proxy.tell("drop")
        took_s = await until(lambda: watch.connection_state is ConnectionState.RECONNECTING, 8.0)
        assert took_s > 1.0, "not noticed by an error, but by silence"
        await until(lambda: session.connection_state is ConnectionState.RECONNECTING, 8.0)
        await proxy.tell("heal")
        await back(session, watch, before, 8.0)


async def test_a_handshake_that_hangs(tmp_path: Path) -> None:
    """Who connects is accepted and never answered, at the start and after a cut; then all is well."""
    async with (
        running_daemon(probation_s=0.0) as daemon,
        proxied(tmp_path, daemon) as proxy,
        RegistryClient(proxy.address) as client,
        client.watch(ALL) as watch,
    ):
        await proxy.tell("freeze")
        session = client.session("a", [SPEC], QUICK)
        starting = asyncio.create_task(session.start())
        await asyncio.sleep(2.5)
        assert not starting.done()
        await proxy.tell("heal")
        await asyncio.wait_for(starting, 10.0)
        before = epoch(session)
        await until(lambda: ready(watch))
        await proxy.tell("freeze")
        await proxy.tell("reset")
        await asyncio.sleep(2.5)
        assert session.connection_state is ConnectionState.RECONNECTING
        await proxy.tell("heal")
        await back(session, watch, before, 10.0)
        await session.stop()


async def test_the_next_address_when_a_handshake_hangs(tmp_path: Path) -> None:
    """Two ways to one registry, the first of which hangs."""
    async with (
        running_daemon() as daemon,
        proxied(tmp_path, daemon) as proxy,
        RegistryClient([proxy.address, daemon.address]) as client,
    ):
        await proxy.tell("freeze")
        async with client.session("a", [SPEC], QUICK) as session:
            assert session.connection_state is ConnectionState.CONNECTED
            assert client.address == daemon.address


# An address that changes.


class NameServer:
    """Answers every question with one address, and counts them."""

    def __init__(self, address: str, sock: socket.socket) -> None:
        self.address = address
        self.asked = 0
        self._socket = sock

    def answer(self) -> None:
        """One question that has come."""
        data, sender = self._socket.recvfrom(4_096)
        end = data.index(b"\0", 12) + 5
        question, kind = data[12:end], struct.unpack("!H", data[end - 4 : end - 2])[0]
        answers = 1 if kind == 1 else 0  # A; nothing else is known
        self.asked += answers
        head = data[:2] + struct.pack("!HHHHH", 0x8580, 1, answers, 0, 0)
        record = struct.pack("!HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(self.address)
        self._socket.sendto(head + question + record * answers, sender)


@asynccontextmanager
async def name_server(address: str) -> AsyncIterator[tuple[NameServer, int]]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = NameServer(address, sock)
        loop.add_reader(sock, server.answer)
        try:
            yield server, sock.getsockname()[1]
        finally:
            loop.remove_reader(sock)


async def test_an_address_that_changes() -> None:
    """The registry moves to another host under the same name: the name is looked up again, not after 30 s."""
    store = MemoryStore()
    async with name_server("127.0.0.1") as (names, dns_port):
        async with running_daemon(store=store) as first:
            port = first.address.rpartition(":")[2]
            client = RegistryClient(f"dns://127.0.0.1:{dns_port}/{NAME}:{port}")
            watch = client.watch(ALL)
            await watch.__aenter__()
            session = client.session("a", [SPEC], QUICK)
            await session.start()
            await until(lambda: ready(watch))
            before, asked = epoch(session), names.asked
            assert asked >= 1
        names.address = "127.0.0.2"
        async with running_daemon(store=store, listen=(f"127.0.0.2:{port}",)):
            await back(session, watch, before, 8.0)
            await session.stop()
        await watch.close()
        await client.close()
