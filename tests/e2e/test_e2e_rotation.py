"""Certificates that change under open streams, and where a daemon starts: the short forms."""

from pathlib import Path

import pytest

from examples.demo.processes import Nursery
from tests.e2e import rotation, start_matrix

pytestmark = pytest.mark.processes


async def test_no_stream_is_lost_to_a_rotation_and_strangers_stay_out(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    async with Nursery(logs) as nursery:
        assert await rotation.rotate(rotation.Scene(tmp_path), 12, nursery) == []


async def test_beyond_this_machine_a_daemon_starts_only_with_certificates_or_by_name() -> None:
    assert await start_matrix.run(["plaintext", "mTLS", "TLS, tokens", "insecure_listen, tokens"]) == []
