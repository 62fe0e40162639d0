"""The audit chain under kills, and what was done to it; secrets through every RPC: the short form."""

from pathlib import Path

import pytest

from tests.e2e import audited

pytestmark = pytest.mark.processes


async def test_every_change_is_in_a_chain_that_shows_damage_and_no_secret_leaks(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    assert await audited.run(1, tmp_path) == []
