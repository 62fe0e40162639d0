"""Where the HTTP port is, and when there is none."""

import asyncio
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.testing.daemon import http_address, running_daemon
from orion_registry.web import http_port, port
from tests.cli.process import daemon_process, run_serve
from tests.web.site import eventually, running_site


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else has."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield f"127.0.0.1:{other.getsockname()[1]}"


def test_off_is_no_port_and_imports_nothing() -> None:
    assert http_port(Settings(http="off")) is None


async def test_the_log_says_where_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_daemon(http="127.0.0.1:0") as daemon:
        (ready,) = [record for record in caplog.records if record.message == "ready"]
        assert ready.__dict__["http"] == http_address(daemon)
        assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d*", http_address(daemon))
    async with running_daemon() as daemon:
        assert http_address(daemon) == "", "a daemon in a test has none unless it asks"


async def test_the_default_address_is_done_without_if_it_is_taken(
    taken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(port, "DEFAULT", taken)
    async with running_daemon(http="auto") as daemon:
        assert http_address(daemon) == ""
    (warning,) = [record for record in caplog.records if record.message == "no HTTP port"]
    assert warning.__dict__["http"] == taken
    assert "in use" in warning.__dict__["error"]


async def test_an_address_that_was_asked_for_must_be_had(taken: str) -> None:
    with pytest.raises(StartError, match=f"http: cannot listen on {taken}: it is in use"):
        async with running_daemon(http=taken):
            pass
    with pytest.raises(StartError, match="http: the host no"):
        async with running_daemon(http="no.such.host.invalid:1"):
            pass
    with pytest.raises(StartError, match="http: cannot listen on 192"):
        async with running_daemon(http="192.0.2.1:0", insecure_listen=True):
            pass


async def test_beyond_loopback_must_be_asked_for_by_name() -> None:
    with pytest.raises(SettingError, match="http: must be on loopback"):
        async with running_daemon(http="0.0.0.0:0"):
            pass
    async with running_daemon(http="0.0.0.0:0", insecure_listen=True) as daemon:
        assert http_address(daemon).startswith("0.0.0.0:")


@pytest.mark.parametrize("text", ["", "on", "6747", "unix:/tmp/x", "127.0.0.1:65536", "127.0.0.1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="http: must be HOST:PORT"):
        Settings(http=text)


def test_a_process_says_in_one_line_that_the_port_is_taken(taken: str) -> None:
    result = run_serve("--http", taken, "--listen", "127.0.0.1:0", "--ephemeral")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert f"http: cannot listen on {taken}: it is in use" in result.stderr


def test_a_process_serves_and_gives_the_port_back(tmp_path: Path) -> None:
    with daemon_process("--http", "127.0.0.1:0") as daemon:
        daemon.wait_ready()
        address = next(line["http"] for line in daemon.lines() if line["message"] == "ready")
        host, _, number = address.rpartition(":")
        with socket.create_connection((host, int(number))) as line:
            line.sendall(f"GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            assert line.recv(4096).startswith(b"HTTP/1.1 200")
        assert daemon.stop()[0] == 0
    with daemon_process("--http", address) as again:
        again.wait_ready()


async def test_it_is_ready_once_the_registry_serves_and_no_more_when_it_stops() -> None:
    async with running_site() as site:
        assert await site.text("/readyz") == (200, "ready\n")
        site.daemon.coordinator.alarms.keep("FULL_MOON", "for a night")
        assert await site.text("/readyz") == (200, "ready\nalarm FULL_MOON: for a night\n")
        site.daemon.coordinator.serving = False
        assert (await site.text("/readyz"))[0] == 503
        assert await site.text("/livez") == (200, "alive\n")
        status, told = await site.get("/api/v1/services")
        assert (status, told["code"], told["reason"]) == (503, "UNAVAILABLE", "NOT_SERVING")
        assert told["retry_after"] == 0.5
        assert (await site.get("/api/v1/info"))[0] == 200, "as over gRPC"
        site.daemon.coordinator.serving = True


async def test_a_burst_of_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are accepted before the server hears of the first one."""
    async with running_site() as site:
        assert (await site.text("/livez"))[0] == 200
        door = site.daemon._side_door
        assert isinstance(door, port.HttpPort)
        assert door._runner is not None
        assert door._runner.server is not None
        monkeypatch.setattr(port, "CONNECTIONS_MOST", len(door._runner.server.connections) + 2)
        taken = [type(door._protocol()) is port._Refusing for _ in range(4)]
        assert taken == [False, False, True, True]
        monkeypatch.setattr(port, "COMING_S", 0.0)
        assert type(door._protocol()) is not port._Refusing, "those that were accepted have never come"


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "CONNECTIONS_MOST", 2)
    async with running_site() as site:
        host, _, number = site.base.removeprefix("http://").rpartition(":")
        lines = [await asyncio.open_connection(host, int(number)) for _ in range(3)]
        assert await asyncio.wait_for(lines[2][0].read(), 10.0) == b"", "closed at once"
        for _, writer in lines:
            writer.close()
            await writer.wait_closed()
        door = site.daemon._side_door
        server = door._runner.server  # type: ignore[union-attr]
        await eventually(lambda: not server.connections and not door._taken(server))  # type: ignore[union-attr]
        assert (await site.text("/livez"))[0] == 200


async def test_a_fault_of_ours_is_logged_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_site() as site:

        def broken(*_: object) -> None:
            raise ValueError("the secret is xyzzy")

        monkeypatch.setattr(site.daemon.coordinator.registry, "discover", broken)
        status, told = await site.get("/api/v1/services")
        assert (status, told["code"]) == (500, "INTERNAL")
        assert "xyzzy" not in told["message"]
        assert "handler failed" in caplog.text
