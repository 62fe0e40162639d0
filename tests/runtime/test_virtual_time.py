"""Below floor 4 no test waits on the real clock."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
FILES = [path for room in ("core", "store", "runtime") for path in sorted((TESTS / room).glob("*.py"))]
REAL_DISK = {"test_audit_file.py", "test_store_disk.py", "test_store_edges.py"}
"""A full disk, a slow sync and threads that write cannot be told to hurry."""
WAITING = re.compile(r"time\.sleep|asyncio\.sleep\((?!0\))|wait_for\(|asyncio\.timeout\(")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_real_waiting(path: Path) -> None:
    code = path.read_text()
    assert path == Path(__file__) or path.name in REAL_DISK or not WAITING.search(code)
