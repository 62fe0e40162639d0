"""What the daemon is made of besides this repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("lock", ["server", "dev", "protos"])
def test_every_dependency_is_locked_with_hashes(lock: str) -> None:
    """And the lock names no place that they come from."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    pins = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(pins) > 1
    for pin in pins:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", pin), pin[:60]
        assert "--hash=sha256:" in pin, pin[:60]
    assert "://" not in text


def test_the_lock_alone_is_installed() -> None:
    setup = (ROOT / "scripts" / "_setup.sh").read_text(encoding="utf-8")
    assert "--no-deps --require-hashes -r" in setup
