"""A real daemon process for tests: started on a free port, its stderr read as JSON lines."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

COMMAND = (sys.executable, "-m", "orion_registry", "serve")


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without what would set up a daemon, and with `more`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "GRPC_"))}
    return {**kept, **more}


class DaemonProcess:
    """A daemon in its own process. Every line of stderr must be a JSON object."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self.raw: list[str] = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw.append(line)
            if '"message": "ready"' in line:
                self._ready.set()
        self._ready.set()

    def wait_ready(self, timeout_s: float = 20.0) -> str:
        """The address that the ready line names."""
        assert self._ready.wait(timeout_s), "".join(self.raw)
        ready = [line for line in self.lines() if line["message"] == "ready"]
        assert ready, "".join(self.raw)
        address: str = ready[0]["address"]
        return address

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; fails if a line is no JSON object."""
        found = [json.loads(line) for line in self.raw]
        assert all(isinstance(line, dict) for line in found)
        return found

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 10.0) -> tuple[int, float]:
        """Signals it; returns the exit code and how many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(number)
        return self.wait(timeout_s), time.monotonic() - began

    def wait(self, timeout_s: float = 10.0) -> int:
        """Waits for its end and returns the exit code."""
        code = self.process.wait(timeout_s)
        self._reader.join(5.0)
        return code

    def close(self) -> None:
        """Kills it if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(5.0)
        for pipe in (self.process.stderr, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def daemon_process(
    *arguments: str, listen: Sequence[str] = ("127.0.0.1:0",), ready: bool = True, **environment: str
) -> Iterator[DaemonProcess]:
    """A daemon process, ready unless said otherwise, with no HTTP port unless `arguments` say so; killed at the end."""
    flags = ["--http", "off", *(part for address in listen for part in ("--listen", address))]
    place = () if "--data-dir" in arguments else ("--ephemeral",)
    daemon = DaemonProcess([*flags, *place, *arguments], clean_environment(**environment))
    try:
        if ready:
            daemon.wait_ready()
        yield daemon
    finally:
        daemon.close()


def run_serve(
    *arguments: str, timeout_s: float = 20.0, cwd: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs `serve` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env=clean_environment(**environment),
        check=False,
    )
