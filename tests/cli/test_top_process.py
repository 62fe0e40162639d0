"""`orion-registry top` as people and scripts run it."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cli.process import DaemonProcess, clean_environment, daemon_process
from tests.cli.running import done, failed
from tests.cli.test_services_process import register, spec_of

pytestmark = pytest.mark.processes

MODULES = "import sys; from orion_registry.cli.main import cli; print('\\n'.join(sys.modules))"


@pytest.fixture(scope="module")
def daemon() -> Iterator[DaemonProcess]:
    with daemon_process() as process:
        address = process.wait_ready()
        register(address, spec_of("calc-1", capabilities=("math.add",), max_concurrency=4), spec_of("calc-2", "room"))
        done("quarantine", "calc-2/room", "--note", "wrong answers", "--address", address)
        yield process


def in_time(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 20.0
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class OnTerminal:
    """A command on a pseudo-terminal of 80x24, and all that it has written there."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (24, 80))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orion_registry", "top", *arguments],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(**{"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}),
        )
        self.written = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                self.written += os.read(self.master, 65_536).decode("utf-8", "replace")
            except OSError:
                return

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def see(self, text: str) -> None:
        in_time(lambda: text in self.written, f"{text!r} in {self.written!r}")

    def end(self) -> tuple[int, str]:
        """Exit code and stderr; the terminal must be as it was."""
        _, told = self.process.communicate(timeout=20)
        self.see("\x1b[?1049l")
        assert "\x1b[?25h" in self.written
        assert termios.tcgetattr(self.slave) == self.before
        return self.process.returncode, told

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        os.close(self.slave)
        os.close(self.master)


def on_terminal(*arguments: str, **environment: str) -> OnTerminal:
    return OnTerminal(*arguments, **environment)


def test_one_frame_as_text(daemon: DaemonProcess) -> None:
    lines = done("top", "--once", "--address", daemon.wait_ready(), COLUMNS="200")
    assert lines[0].startswith(f"orion-registry {daemon.wait_ready()}  serving")
    assert lines[1].startswith("2 services  ● 1 HEALTHY  ✗ 1 UNHEALTHY")
    worst, best = lines[5:7]
    assert worst.split()[:5] == ["calc-2/room", "✗", "UNHEALTHY", "QUARANTINED,", "STATIC"]
    assert best.split()[:3] == ["calc-1/calc", "●", "HEALTHY"]
    assert "math.add" in best
    assert any("QUARANTINE: wrong answers" in line for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_one_frame_is_filtered_and_sorted(daemon: DaemonProcess) -> None:
    at = ("--address", daemon.wait_ready())
    lines = done("top", "--once", "--filter", "status:healthy", *at)
    assert [line.split()[0] for line in lines if re.match(r"calc-\d/", line)] == ["calc-1/calc"]
    lines = done("top", "--once", "--sort", "name", *at)
    assert [line.split()[0] for line in lines[5:7]] == ["calc-1/calc", "calc-2/room"]
    (line,) = done("top", "name=room", "--once", "--json", *at)
    assert [one["agent_id"] for one in json.loads(line)["services"]] == ["calc-2"]


def test_one_namespace_is_looked_at() -> None:
    with daemon_process() as other:
        at = ("--once", "--json", "--address", other.wait_ready())
        register(at[-1], spec_of("pay-1", namespace="payments"), spec_of("calc-1"))
        for arguments in (("--namespace", "payments"), ("agent=pay-1", "--namespace", "payments")):
            (line,) = done("top", *arguments, *at)
            assert [one["agent_id"] for one in json.loads(line)["services"]] == ["pay-1"]
        assert "WHICH names another, payments" in failed(2, "top", "payments/a/b", "--namespace", "other", *at)
        assert "--namespace: needs a NAME" in failed(2, "top", "--namespace", "", *at)


def test_a_word_of_the_filter_that_does_not_exist_is_refused(daemon: DaemonProcess) -> None:
    at = ("--once", "--address", daemon.wait_ready())
    said = failed(2, "top", "--filter", "status:healthy colour:red is:blue", *at)
    assert "--filter: no such word: colour, is:blue; one of status, reason, cap" in said
    assert done("top", "--filter", '"colour:red"', *at)


def test_a_registry_without_services() -> None:
    with daemon_process() as empty:
        lines = done("top", "--once", "--address", empty.wait_ready())
    assert lines[1].startswith("0 services")
    assert lines[2].startswith("slots -  0 leases")
    assert lines[5] == "no service is registered here"


def test_its_data_as_json(daemon: DaemonProcess) -> None:
    (line,) = done("top", "--once", "--json", "--address", daemon.wait_ready())
    screen: dict[str, Any] = json.loads(line)
    assert (screen["registered"], screen["slots"]) == (2, {"taken": 0, "most": 4})
    assert screen["by_status"] == {"HEALTHY": 1, "UNHEALTHY": 1}
    assert [one["slots_taken"] for one in screen["services"]] == [0, 0]
    assert screen["info"]["serving"] is True
    assert screen["selection"]["leases_open"] == 0
    types = [one["type"] for one in screen["events"]]
    assert [one for one in types if one != "STALL_CREDITED"][-1] == "STATUS_CHANGED"  # a busy machine stalls it
    assert screen["trouble"] == {}


def test_what_is_no_terminal_is_refused_with_advice() -> None:
    told = failed(2, "top")
    assert "stdout is none: use --once for one screen, or `orion-registry services --json`" in told
    assert "add --once" in failed(2, "top", "--json")
    assert "'cost' is not one of" in failed(2, "top", "--sort", "cost", "--once")


def test_a_registry_out_of_reach_is_told_before_the_screen_is_taken() -> None:
    assert "cannot reach" in failed(1, "top", "--once", "--address", "127.0.0.1:1")
    terminal = on_terminal("--address", "127.0.0.1:1")
    try:
        _, told = terminal.process.communicate(timeout=20)
        assert (terminal.process.returncode, told.count("\n")) == (1, 1)
        assert "\x1b[?1049h" not in terminal.written
    finally:
        terminal.close()


def test_a_terminal_that_cannot_move_its_cursor_is_refused() -> None:
    terminal = on_terminal(TERM="dumb")
    try:
        _, told = terminal.process.communicate(timeout=20)
        assert terminal.process.returncode == 2
        assert "can only print lines: use --once" in told
    finally:
        terminal.close()


def test_it_lives_on_a_terminal_and_leaves_it_as_it_was(daemon: DaemonProcess) -> None:
    address = daemon.wait_ready()
    terminal = on_terminal("--address", address)
    try:
        terminal.see("calc-1/calc")
        terminal.see("✗ UNHEALTHY")
        assert re.search(r"\x1b\[[0-9;]*32", terminal.written), "green"
        register(address, spec_of("calc-3", "new"))
        terminal.see("calc-3/new")
        terminal.press("/status:unh")
        terminal.see("1 of 3")
        terminal.press("\r\r")
        terminal.see("QUARANTINE: wrong answers")
        terminal.press("?q")
        assert terminal.end() == (0, "")
    finally:
        terminal.close()
        done("remove", "calc-3/new", "--address", address)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_signals_leave_the_terminal_as_it_was_too(daemon: DaemonProcess, number: int, code: int) -> None:
    terminal = on_terminal("--address", daemon.wait_ready(), NO_COLOR="1")
    try:
        terminal.see("calc-1/calc")
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", terminal.written), "no colours, though bold and reverse"
        terminal.process.send_signal(number)
        assert terminal.end() == (code, "")
    finally:
        terminal.close()


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(daemon: DaemonProcess) -> None:
    terminal = on_terminal("--address", daemon.wait_ready())
    try:
        terminal.see("calc-1/calc")
        terminal.process.send_signal(signal.SIGTSTP)
        terminal.see("\x1b[?1049l")
        in_time(lambda: _state_of(terminal.process.pid) == "T", "it is stopped")
        assert termios.tcgetattr(terminal.slave) == terminal.before
        terminal.process.send_signal(signal.SIGCONT)
        in_time(lambda: terminal.written.count("\x1b[?1049h") == 2, "it draws again")
        terminal.press("q")
        assert terminal.end() == (0, "")
    finally:
        terminal.close()


def _state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_help_loads_nothing_of_it() -> None:
    loaded = subprocess.run([sys.executable, "-c", MODULES], capture_output=True, text=True, check=True).stdout.split()
    assert "orion_registry.cli.top.command" in loaded
    assert not [name for name in loaded if name.startswith("orion_registry.cli.top.") and not name.endswith("command")]
    assert "termios" not in loaded
