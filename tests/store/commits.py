"""How many single-fact commits a second the SQLite store acknowledges, after fsync.

    python -m tests.store.commits --callers 64 256 --commits 10000

Prints commits a second, p50 and p99 of one commit, and commits per fsync; and, for what the disk itself gives at that
moment, p50 and p99 of one fdatasync of 4 KiB.
"""

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from pathlib import Path

from orion_registry.store.sqlite import SqliteStore
from tests.store.images import put


def quantiles(spans_s: list[float]) -> str:
    spans_s = sorted(spans_s)
    p50, p99 = (spans_s[len(spans_s) * percent // 100] * 1e3 for percent in (50, 99))
    return f"p50_ms={p50:.2f} p99_ms={p99:.2f}"


async def measure(path: Path, callers: int, commits: int) -> str:
    store, spans_s = SqliteStore(path), list[float]()
    await store.load()

    async def call(caller: int) -> None:
        for number in range(caller, commits, callers):
            start = time.perf_counter()
            await store.commit([put(number)])
            spans_s.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*(call(caller) for caller in range(callers)))
    took_s = time.perf_counter() - start
    assert store._writer is not None
    syncs = store._writer._state.commits
    await store.close()
    rate = f"callers={callers} commits_per_s={commits / took_s:.0f}"
    return f"{rate} {quantiles(spans_s)} commits_per_fsync={commits / syncs:.1f}"


def disk(path: Path) -> str:
    spans_s = []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    for number in range(200):
        os.pwrite(file, bytes(4_096), number * 4_096)
        start = time.perf_counter()
        os.fdatasync(file)
        spans_s.append(time.perf_counter() - start)
    os.close(file)
    return f"fdatasync {quantiles(spans_s)}"


def main() -> None:
    parser = argparse.ArgumentParser(description="commits a second of the SQLite store")
    parser.add_argument("--callers", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to measure")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.dir))
    try:
        print(disk(folder / "disk"))
        for callers in arguments.callers:
            print(asyncio.run(measure(folder / str(callers), callers, arguments.commits)))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
