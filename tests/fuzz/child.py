"""The daemon process as the fuzzer holds it: its address, its stats, and every line that it writes to stderr."""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from orion_registry.runtime.coordinator import MASS_HOLD

ROOT = Path(__file__).resolve().parents[2]
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""What one thread frees is not kept for it alone: less scatter in the memory that is compared. A leak shows as well."""
KEPT = 200
"""Suspicious lines kept for the report."""
STALL_S = 1.0
"""A daemon that stands still for less, on a machine that it shares, has no fault."""


class Child:
    """Starts `tests.fuzz.daemon`, reads its stderr line by line, and ends it."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """settings: fields of the daemon's `Settings` that differ from those that it is fuzzed with."""
        self.settings = dict(settings or {})
        self.address = ""
        self.lines = 0
        self.levels: Counter[str] = Counter()
        self.suspicious: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Child":
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fuzz.daemon", json.dumps(self.settings),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            cwd=ROOT, env=os.environ | ONE_ARENA, limit=16 * 1024 * 1024,
        )  # fmt: skip
        self._listener = asyncio.create_task(self._listen())
        self.address = str((await self._answer())["address"])
        return self

    async def stats(self) -> dict[str, int]:
        """What the daemon holds now."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(b"stats\n")
        stats: dict[str, int] = await self._answer()
        return stats

    @property
    def running(self) -> bool:
        """Whether the process is still there."""
        return self._process is not None and self._process.returncode is None

    async def _answer(self) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), timeout=60)
        if not line:
            raise RuntimeError(f"the daemon has died; its last words: {self.suspicious[-5:]}")
        return json.loads(line)

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._judge(line.decode("utf-8", "replace").rstrip("\n"))

    def _judge(self, line: str) -> None:
        """Counts a line; keeps it if it is no JSON object, carries a traceback, or tells of a fault of the daemon.

        That it stood still for less than `STALL_S` is none: beside twelve workers on two cores it happens. Nor is
        it that agents fell silent together: the fuzzer's do, now and then.
        """
        self.lines += 1
        try:
            record = json.loads(line)
            level = str(record["level"])
        except (ValueError, KeyError, TypeError):
            level = "not JSON"
            record = {}
        self.levels[level] += 1
        if record.get("message") == "stalled" and record.get("lag_s", STALL_S) < STALL_S:
            return
        if record.get("alarm") == MASS_HOLD and "exc_info" not in record:
            return
        if (level not in {"debug", "info"} or "exc_info" in record or "Traceback" in line) and len(
            self.suspicious
        ) < KEPT:
            self.suspicious.append(line)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert self._listener is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), timeout=20)
        except TimeoutError:
            self.suspicious.append("the daemon did not end within 20 s")
            process.kill()
            await process.wait()
        await self._listener
