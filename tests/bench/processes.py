"""The processes of a bench: servers whose CPU time is read, and the load that speaks to them."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0


class Process:
    """A Python process of the bench, ended with it. Servers among them have an address once entered."""

    address = ""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Any:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, cwd=ROOT, limit=64 * 1024 * 1024,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await asyncio.wait_for(self.process.communicate(), timeout=30)

    @property
    def process(self) -> asyncio.subprocess.Process:
        """The process once entered."""
        assert self._process is not None
        return self._process

    @property
    def memory_kb(self) -> float:
        """Its memory that is not shared with others, in kB."""
        rows = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        return float(sum(int(row.split()[1]) for row in rows if row.startswith("Private_")))

    @property
    def cpu_s(self) -> float:
        """CPU seconds used so far by all its threads, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Server(Process):
    """A server that tells its address: the bare one on stdout, the daemon in its log."""

    async def __aenter__(self) -> "Server":
        await super().__aenter__()
        async with asyncio.timeout(START_S):
            while not self.address:
                line = await self._line()
                self.address = str(line.get("address", "")) if line.get("message", "ready") == "ready" else ""
        return self

    async def _line(self) -> dict[str, Any]:
        stream = self.process.stderr if "serve" in self._arguments else self.process.stdout
        assert stream is not None
        line = await stream.readline()
        if not line:
            raise RuntimeError(f"{self._arguments} did not start")
        record: dict[str, Any] = json.loads(line)
        return record


def bare() -> Server:
    """The reference."""
    return Server("-m", "tests.bench.echo")


def registry(data_dir: Path | None = None, options: Sequence[str] = ()) -> Server:
    """The daemon, as users start it; quiet, so that its log needs no reader. In memory unless it has a directory."""
    place = ("--ephemeral",) if data_dir is None else ("--data-dir", str(data_dir))
    return Server(
        "-m", "orion_registry", "serve", "--http", "off", *place, "--listen", "127.0.0.1:0", "--log-format", "json",
        "--beat-budget", "1000000", "--admission-rate", "1000000", *options,
    )  # fmt: skip


class LoadProcess(Process):
    """The client process."""

    def __init__(self) -> None:
        super().__init__("-m", "tests.bench.load")

    async def do(self, **order: Any) -> dict[str, float]:
        """Gives an order and waits for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load process failed at {order['do']}: {await self._last_words()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    async def _last_words(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()[-2_000:]
