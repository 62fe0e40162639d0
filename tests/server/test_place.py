"""server/place: where a daemon keeps its data."""

from pathlib import Path

import pytest

from orion_registry.server.place import default_directory, store_of
from orion_registry.server.settings import Settings
from orion_registry.store.memory import MemoryStore
from orion_registry.store.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:6746", "6746"),
        ("[::1]:7000", "7000"),
        ("unix:/run/orion.sock", "run-orion.sock"),
        ("unix:/run/a b/../x", "run-x"),
    ],
)
def test_each_port_and_socket_has_a_directory_of_its_own(
    address: str, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_directory(address) == tmp_path / "orion-registry" / name


@pytest.mark.parametrize("state", ["", "relative/path"])
def test_without_a_state_directory_it_is_below_home(
    state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The XDG specification: a path that is not absolute is to be ignored."""
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_directory("127.0.0.1:1") == tmp_path / ".local" / "state" / "orion-registry" / "1"


def test_the_settings_choose_the_store(tmp_path: Path) -> None:
    assert isinstance(store_of(Settings(ephemeral=True), "127.0.0.1:1"), MemoryStore)
    assert isinstance(store_of(Settings(data_dir=str(tmp_path / "data")), "127.0.0.1:1"), SqliteStore)
    assert not (tmp_path / "data").exists(), "nothing is opened before the start"
