"""What is measured of the daemon: by its own metrics, and by the system."""

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

HELD = (
    "orion_services",
    "orion_heartbeat_streams",
    "orion_leases_open",
    "orion_selections_waiting",
    "orion_watchers",
    "orion_route_streams",
    "orion_http_streams",
    "orion_checks",
)
"""Gauges of what is held for clients: none of it may be left when they have gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The daemon at one moment.

    Attributes:
        at: seconds, monotonic.
        rss_kb: resident memory.
        tasks: of its event loop.
        fds, threads: as the system counts them.
        kinds: open files, by what they are: socket, pipe, anon_inode, file.
        disk_kb: of its data directory.
        held: by gauge, summed over labels; see `HELD`.
    """

    at: float
    rss_kb: float
    tasks: int
    fds: int
    kinds: dict[str, int]
    threads: int
    disk_kb: float
    held: dict[str, float]


def open_files(pid: int) -> Counter[str]:
    """Of a process, by kind; one that is closed meanwhile is not counted."""
    kinds: Counter[str] = Counter()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):
            target = os.readlink(entry.path)
            kinds[
                "file" if target.startswith("/") else target.partition(":[")[0] if "socket" in target else target
            ] += 1
    return kinds


async def read(http: aiohttp.ClientSession, url: str, pid: int, data: Path) -> Reading:
    """Asks it, and the system.

    Raises:
        aiohttp.ClientError: it does not answer. OSError: it is gone.
    """
    async with http.get(f"{url}/metrics") as answer:
        answer.raise_for_status()
        text = await answer.text()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        sums[family.name] = sum(sample.value for sample in family.samples)
    status, disk = await asyncio.to_thread(_looked_up, pid, data)
    return Reading(
        at=time.monotonic(),
        rss_kb=float(status["VmRSS"].split()[0]),
        tasks=int(sums["orion_loop_tasks"]),
        fds=sum((kinds := open_files(pid)).values()),
        kinds=dict(kinds),
        threads=int(status["Threads"]),
        disk_kb=disk,
        held={name: sums[name] for name in HELD},
    )


def _looked_up(pid: int, data: Path) -> tuple[dict[str, str], float]:
    """/proc/PID/status, and how many kB a directory holds; files come and go in it."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    size = 0
    for file in data.iterdir():
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return status, size / 1024
