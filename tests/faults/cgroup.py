"""A share of the CPU for one process, by cgroup v1: needs root and the cpu controller mounted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 100_000


def missing() -> str:
    """Why it cannot be done here; "" if it can."""
    if not (ROOT / "cpu.cfs_quota_us").exists() and not (ROOT / "cpu.shares").exists():
        return f"cgroup v1 with the cpu controller at {ROOT}"
    return "" if os.access(ROOT, os.W_OK) else "root, to make a cgroup"


@contextmanager
def starved(pid: int, share: float) -> Iterator[None]:
    """Lets a process have so much of one core."""
    group = ROOT / f"orion-faults-{pid}"
    group.mkdir()
    try:
        (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(round(PERIOD_US * share)))
        (group / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        for member in (group / "cgroup.procs").read_text().split():
            (ROOT / "cgroup.procs").write_text(member)
        group.rmdir()
