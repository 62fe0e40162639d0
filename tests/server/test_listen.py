"""Addresses and who owns them."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from orion_registry.server.address import TcpAddress, UnixAddress, parse_address, resolve
from orion_registry.server.listen import Listeners
from orion_registry.server.socket_lock import SocketLock
from orion_registry.server.start_error import SettingError, StartError


class FakeServer:
    """Takes every address; ports count up from 5000."""

    def __init__(self) -> None:
        self.bound: list[str] = []

    def add_secure_port(self, address: str, server_credentials: object) -> int:
        return self.add_insecure_port(address)

    def add_insecure_port(self, address: str) -> int:
        self.bound.append(address)
        asked = int(address.rpartition(":")[2]) if not address.startswith("unix:") else 1
        return asked or 5000 + len(self.bound)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:6746", TcpAddress(host="127.0.0.1", port=6746)),
        ("localhost:0", TcpAddress(host="localhost", port=0)),
        ("[::1]:65535", TcpAddress(host="::1", port=65535)),
        ("unix:/run/o.sock", UnixAddress(path="/run/o.sock")),
        ("unix:o.sock", UnixAddress(path=os.path.join(os.getcwd(), "o.sock"))),
        ("unix:///run/o.sock", UnixAddress(path="/run/o.sock")),
    ],
)
def test_addresses_as_people_write_them(text: str, address: object) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", ":6746", "6746", "a:b", "a:-1", "a:65536", "a:1 ", "::1:5", "[::1]", "[1.2.3.4]:5", "unix:", "unix:a\0b",
     "unix:/" + "é" * 60, "unix-abstract:x", "tcp://a:1", "a/b:1", "a:1\n", "ä:1"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "unix:/x"]
)
async def test_loopback_needs_no_asking(text: str) -> None:
    assert await resolve(text, exposed=False)


@pytest.mark.parametrize("text", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1", "[::ffff:192.0.2.1]:1"])
async def test_plaintext_beyond_loopback_must_be_asked_for(text: str) -> None:
    with pytest.raises(SettingError, match="insecure_listen"):
        await resolve(text, exposed=False)
    assert await resolve(text, exposed=True)


async def test_a_name_with_two_addresses_gets_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (host, 0)) for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    listeners, server = Listeners(), FakeServer()
    await listeners.bind(server, ["localhost:0"], exposed=False)
    assert server.bound == ["127.0.0.1:0", "127.0.0.2:5001"]
    assert listeners.addresses == ("127.0.0.1:5001", "127.0.0.2:5001")


async def test_an_address_that_is_unusable_here_is_skipped_if_the_name_has_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(0, 0, 0, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    listeners = Listeners()
    await listeners.bind(FakeServer(), ["some.host:0"], exposed=True)
    assert [address.partition(":")[0] for address in listeners.addresses] == ["127.0.0.1"]


async def test_a_port_in_use_on_one_of_two_addresses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", (host, port)) for host in ("127.0.0.1", "127.0.0.2")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        with pytest.raises(StartError, match=rf"port {port} on 127\.0\.0\.2 is in use: another daemon\?"):
            await Listeners().bind(FakeServer(), [f"localhost:{port}"], exposed=False)


async def test_a_refused_bind_leaves_no_lock(tmp_path: Path) -> None:
    listeners = Listeners()
    with pytest.raises(StartError):
        await listeners.bind(FakeServer(), [f"unix:{tmp_path}/a", "unix:/nowhere/b"], exposed=False)
    listeners.close()
    assert os.listdir(tmp_path) == []
    assert listeners.addresses == ()


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    first = SocketLock(path)
    with pytest.raises(StartError, match=r"another daemon holds .*s\.lock"):
        SocketLock(path)
    first.release()
    first.release()
    assert list(tmp_path.iterdir()) == []
    SocketLock(path).release()


def test_a_lock_on_a_removed_file_guards_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner removes the lock file after we opened it and before we lock it."""
    import fcntl

    path = str(tmp_path / "s")
    real, calls = fcntl.flock, 0

    def late(fd: int, operation: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            os.unlink(path + ".lock")
        real(fd, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    lock = SocketLock(path)
    assert calls == 2
    assert os.path.exists(path + ".lock")
    with pytest.raises(StartError):
        SocketLock(path)
    lock.release()


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


def test_a_stale_socket_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listening(path).close()
    lock = SocketLock(str(path))
    assert not path.exists()
    lock.release()


def test_a_socket_of_another_program_that_lives_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path):
        with pytest.raises(StartError, match="another program listens there"):
            SocketLock(str(path))
        assert path.exists()
        assert not (tmp_path / "s.lock").exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(StartError, match="is not a socket"):
        SocketLock(str(path))
    assert path.read_text() == "precious"


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "s.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=r"s\.lock"):
        SocketLock(str(tmp_path / "s"))
    assert not (tmp_path / "elsewhere").exists()
