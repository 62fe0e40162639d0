"""The daemon as a process: what it logs, how it ends, what it refuses."""

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from orion_registry.cli.main import cli
from tests.cli.process import COMMAND, clean_environment, daemon_process, run_serve

pytestmark = pytest.mark.processes


def check(address: str) -> int:
    """grpc.health.v1 Check of "": the status number."""
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/grpc.health.v1.Health/Check")
        answer = call(b"", timeout=5.0, wait_for_ready=True)
    return answer[1]


def test_first_line_tells_who_and_where_then_ready_then_exit_0() -> None:
    with daemon_process() as daemon:
        address = daemon.wait_ready()
        assert check(address) == 1
        first = daemon.lines()[0]
        assert (first["message"], first["address"], first["pid"]) == ("starting", address, daemon.process.pid)
        assert first["addresses"] == [address]
        assert first["version"]
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 2.0
        assert [line["message"] for line in daemon.lines()][-2:] == ["stopping", "stopped"]
        assert daemon.process.stdout is not None
        assert daemon.process.stdout.read() == ""


def test_sigint_stops_too() -> None:
    with daemon_process() as daemon:
        assert daemon.stop(signal.SIGINT)[0] == 0


def test_a_port_in_use_is_refused() -> None:
    with daemon_process() as daemon:
        address = daemon.wait_ready()
        port = address.rpartition(":")[2]
        result = run_serve("--listen", address)
        assert result.returncode == 2
        assert json.loads(result.stderr)["message"] == (
            f"port {port} on 127.0.0.1 is in use: another daemon? use --listen HOST:PORT"
        )
        assert check(address) == 1


def test_a_port_is_free_again_after_exit_though_connections_linger() -> None:
    with daemon_process() as daemon:
        address = daemon.wait_ready()
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))):
            assert daemon.stop()[0] == 0
    with daemon_process(listen=(address,)) as daemon:
        assert daemon.wait_ready() == address


def test_a_unix_socket_has_one_daemon_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "orion.sock"
    with daemon_process(listen=(f"unix:{path}",)) as daemon:
        assert daemon.wait_ready() == f"unix:{path}"
        result = run_serve("--listen", f"unix:{path}")
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert f"another daemon holds {path}.lock" in result.stderr
        assert check(f"unix:{path}") == 1, "the refused one must not have taken the socket"
        assert daemon.stop()[0] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_daemons_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "orion.sock"
    with daemon_process(listen=(f"unix:{path}",)) as daemon:
        daemon.stop(signal.SIGKILL)
    assert path.exists()
    with daemon_process(listen=(f"unix:{path}",)) as daemon:
        assert check(daemon.wait_ready()) == 1


def test_several_addresses(tmp_path: Path) -> None:
    with daemon_process(listen=("127.0.0.1:0", f"unix:{tmp_path}/a.sock", "127.0.0.2:0")) as daemon:
        daemon.wait_ready()
        addresses = daemon.lines()[0]["addresses"]
        assert len(addresses) == 3
        assert [check(address) for address in addresses] == [1, 1, 1]


HOLD_STREAMS = """
import asyncio, sys, grpc
from orion_registry_pb.v1.heartbeat_pb2 import HeartbeatRequest, HeartbeatResponse
OWN = [("grpc.use_local_subchannel_pool", 1)]
HELLO = HeartbeatRequest(hello={"agent_id": "a"}).SerializeToString()
async def hold(channel):
    call = channel.stream_stream("/orion.registry.v1.RegistryService/Heartbeat")()
    await call.write(HELLO)
    last = await call.read()
    print("open", flush=True)
    try:
        while True:
            last = await call.read()
    except grpc.aio.AioRpcError as error:
        return HeartbeatResponse.FromString(last).HasField("go_away") and error.code() is grpc.StatusCode.UNAVAILABLE
async def main():
    channels = [grpc.aio.insecure_channel(sys.argv[1], options=OWN) for _ in range(10)]
    held = await asyncio.gather(*(hold(channels[i % 10]) for i in range(int(sys.argv[2]))))
    print("away", sum(held), flush=True)
asyncio.run(main())
"""


def test_sigterm_with_1000_streams_takes_less_than_3_s_and_each_hears_go_away() -> None:
    with daemon_process("--admission-rate", "1000000") as daemon:
        client = subprocess.Popen(
            [sys.executable, "-c", HOLD_STREAMS, daemon.wait_ready(), "1000"],
            stdout=subprocess.PIPE,
            text=True,
            env=clean_environment(),
        )
        assert client.stdout is not None
        with client, client.stdout:
            for _ in range(1000):
                assert client.stdout.readline() == "open\n"
            code, seconds = daemon.stop()
            assert client.stdout.readline() == "away 1000\n"
        assert code == 0
        assert seconds < 3.0
        odd = [line for line in daemon.lines() if line["level"] != "info" and line["message"] != "stalled"]
        assert odd == [], "but that a busy machine kept it from running"


HOLD_DEAF = """
import socket, sys, time
host, port = sys.argv[1].rsplit(":", 1)
peers = [socket.create_connection((host, int(port))) for _ in range(50)]
for peer in peers:
    peer.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
print("open", flush=True)
time.sleep(60)
"""


def test_deaf_clients_do_not_hold_up_the_exit() -> None:
    with daemon_process() as daemon:
        client = subprocess.Popen(
            [sys.executable, "-c", HOLD_DEAF, daemon.wait_ready()], stdout=subprocess.PIPE, text=True
        )
        assert client.stdout is not None
        with client, client.stdout:
            assert client.stdout.readline() == "open\n"
            client.send_signal(signal.SIGSTOP)
            code, seconds = daemon.stop()
            client.kill()
        assert code == 0
        assert seconds < 3.0


def test_open_reflection_and_health_streams_do_not_hold_up_the_exit() -> None:
    with daemon_process() as daemon, grpc.insecure_channel(daemon.wait_ready()) as channel:
        health: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/grpc.health.v1.Health/Watch")
        watch = health(b"", timeout=20.0)
        assert next(watch) == b"\x08\x01"

        def ask() -> Iterator[bytes]:
            yield b"\x3a\x00"  # list_services, then silence
            time.sleep(5.0)

        path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        ask_all: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(path)
        reflection = ask_all(ask(), timeout=20.0)
        assert next(reflection)
        code, seconds = daemon.stop()
        assert code == 0
        assert seconds < 1.5
        assert next(watch) == b"\x08\x02", "NOT_SERVING before the end"
        with pytest.raises(grpc.RpcError) as ended:
            next(watch)
        assert ended.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_second_signal_exits_at_once() -> None:
    # A call that no handler has holds up the stop for the whole grace: here ten minutes.
    with daemon_process("--shutdown-grace", "600s") as daemon:
        address = daemon.wait_ready()
        client = subprocess.Popen(
            [sys.executable, "-c", STUCK_CALL, address], stdout=subprocess.PIPE, text=True, env=clean_environment()
        )
        assert client.stdout is not None
        with client, client.stdout:
            assert client.stdout.readline() == "open\n"
            daemon.process.send_signal(signal.SIGTERM)
            time.sleep(0.7)
            assert daemon.process.poll() is None
            code, seconds = daemon.stop()
            client.kill()
        assert code == 130
        assert seconds < 2.0, "of 600"


STUCK_CALL = """
import socket, sys, time
sys.path.insert(0, "")
# A unary call without a message never reaches a handler; only the end of its connection or the server ends it.
import asyncio, grpc
async def main():
    channel = grpc.aio.insecure_channel(sys.argv[1])
    call = channel.stream_unary("/orion.registry.v1.RegistryService/GetService")()
    await channel.channel_ready()
    await asyncio.sleep(1.0)  # nothing comes back that would tell when the daemon has it
    print("open", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_on_a_terminal_people_read_text_in_colour() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "--listen", "127.0.0.1:0"], stderr=theirs, env=clean_environment())
    os.close(theirs)
    seen = ""
    while "ready" not in seen:
        seen += os.read(ours, 4096).decode()
    process.terminate()
    assert process.wait(10) == 0
    os.close(ours)
    assert "\x1b[32minfo" in seen
    assert " starting version=" in seen
    assert " address=127.0.0.1:" in seen


def test_json_and_text_by_name() -> None:
    refused = run_serve("--log-format", "text", "--listen", "unix:/nowhere/x")
    assert "error   cannot listen on unix:/nowhere/x" in refused.stderr
    assert "\x1b" not in refused.stderr


def print_config(*, nofile: str) -> subprocess.CompletedProcess[str]:
    """Under a limit of open files, SOFT:HARD, which prlimit sets: Python of a process with gRPC's threads must not."""
    command = ["prlimit", f"--nofile={nofile}", *COMMAND, "--print-config"]
    return subprocess.run(command, capture_output=True, text=True, env=clean_environment(), check=True)


def test_connections_stay_below_the_limit_of_open_files() -> None:
    result = print_config(nofile="556:556")
    assert "max_connections = 44  # default" in result.stdout


def test_the_soft_limit_of_open_files_is_raised() -> None:
    result = print_config(nofile="300:2000")
    assert "max_connections = 1488  # default" in result.stdout


@pytest.mark.parametrize(("given", "seen"), [({}, "NONE"), ({"GRPC_VERBOSITY": "ERROR"}, "ERROR")])
def test_c_core_is_silent_unless_the_user_set_it(given: dict[str, str], seen: str) -> None:
    code = "import orion_registry.cli.main, os, sys; print(os.environ['GRPC_VERBOSITY'], 'grpc' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment(**given), check=True
    )
    assert result.stdout.split() == [seen, "False"], "set, and before grpc is imported"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            [],
            f"orion-registry: which command? One of {', '.join(sorted(cli.commands))} (see orion-registry --help)\n",
        ),
        (
            ["snapshot"],
            "orion-registry: which command? One of inspect, restore, save (see orion-registry snapshot --help)\n",
        ),
    ],
)
def test_a_group_alone_shows_its_help_and_asks_which_command(arguments: list[str], hint: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "orion_registry", *arguments], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stdout.startswith("Usage: orion-registry ")
    assert result.stderr == hint


def test_version_and_group_help() -> None:
    for arguments, expected in (
        (["--version"], "orion-registry 0."),
        (
            ["--help"],
            "serve        Start the registry daemon.\n  services     Show which services there are.",
        ),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "orion_registry", *arguments], capture_output=True, text=True, check=True
        )
        assert expected in result.stdout
