"""SIGHUP: settings are read again; what may change changes, the rest is named, and what is wrong changes nothing."""

import os
import pty
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from orion_registry.cli.reload import Reload, differences
from orion_registry.server.settings import TABLE, Settings
from orion_registry.server.settings_sources import load
from tests.cli.process import COMMAND, DaemonProcess, clean_environment, daemon_process
from tests.cli.running import done
from tests.cli.test_services_process import register, spec_of


def hup(daemon: DaemonProcess, message: str) -> dict[str, Any]:
    """Sends SIGHUP; the next log line that begins with this message."""
    before = len(daemon.raw)
    daemon.process.send_signal(signal.SIGHUP)
    give_up_at = time.monotonic() + 10
    while time.monotonic() < give_up_at:
        for line in daemon.lines()[before:]:
            if line["message"].startswith(message):
                return line
        time.sleep(0.05)
    raise AssertionError("".join(daemon.raw))


def test_what_may_change_changes_and_the_rest_is_named(tmp_path: Path) -> None:
    file = tmp_path / "orion.toml"
    file.write_text('lease_ttl = "60s"\n')
    with daemon_process("--config", str(file), "--probation", "7s") as daemon:
        address = daemon.wait_ready()
        register(address, spec_of("calc-1"))
        file.write_text('lease_ttl = "7s"\nhistory_size = 99\nprobation = "1s"\nlog_level = "debug"\n')
        told = hup(daemon, "reloaded")
        assert told["changed"] == ['lease_ttl: "60s" -> "7s"', 'log_level: "info" -> "debug"']
        assert told["needs_restart"] == ["history_size: 16384 -> 99"], "and a flag wins over the file, as before"
        assert '"ttl_s": 7.0' in done("select", "--where", "name=calc", "--json", "--address", address)[0]
        told = hup(daemon, "reloaded")
        assert (told["changed"], told["needs_restart"]) == ([], ["history_size: 16384 -> 99"])
        file.write_text('lease_ttl = "soon"\n')
        line = hup(daemon, "not reloaded")
        assert line["level"] == "error"
        assert "lease_ttl: must be a span" in line["message"]
        assert '"ttl_s": 7.0' in done("select", "--where", "name=calc", "--json", "--address", address)[0]
        assert daemon.stop()[0] == 0


def test_a_new_profile_waits_for_a_restart_with_all_that_it_decides() -> None:
    lan = load({"lease_ttl": "9s"}, {})
    dev = load({"lease_ttl": "8s"}, {"ORION_PROFILE": "dev", "ORION_PROBATION": "1s"})
    takes, waits = differences(lan, dev)
    assert {row.name for row in takes} == {"lease_ttl", "probation"}, "said for themselves, whatever the profile"
    assert {"profile", "retention", "keepalive_time"} <= {row.name for row in waits}


def test_no_reload_before_it_serves(caplog: pytest.LogCaptureFixture) -> None:
    reload = Reload(load({}, {}), {}, None)
    reload()
    assert "not reloaded: the daemon is starting" in caplog.text


def test_what_reloads_is_named_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
    for row in TABLE:
        (line,) = (line for line in page.splitlines() if line.startswith(f"| `{row.name}`<br>"))
        assert ("*Reloads.*" in line) is row.reloads


def test_the_daemon_goes_by_every_setting_that_reloads() -> None:
    """A row may say that it reloads only if a running daemon looks at it again."""
    looked_at = {
        "retention", "probation", "stuck_after", "shutdown_grace", "log_level", "log_format",
        "lease_ttl", "max_leases", "zone_ready_share", "eject_consecutive", "eject_most", "eject_base",
        "identity_read_rate", "identity_report_rate", "identity_write_rate", "identity_probe_rate",
        "identity_stream_rate", "max_streams_per_identity", "max_watches_per_identity",
    }  # fmt: skip
    assert {row.name for row in TABLE if row.reloads} == looked_at
    assert Settings().lease_ttl_s == 60.0


def test_it_stops_when_its_terminal_closes() -> None:
    """As any command in a terminal does; reloading it for ever, unseen, would not be meant."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, "--listen", "127.0.0.1:0", "--ephemeral", "--log-format", "json"],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
    )
    os.close(theirs)
    try:
        assert process.stderr is not None
        while '"ready"' not in process.stderr.readline():
            assert process.poll() is None
        os.close(ours)
        assert process.wait(10) == 0
        assert '"signal": "SIGHUP"' in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
