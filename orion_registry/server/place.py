"""Which store a daemon gets, and where it keeps its data."""

import os
import re
from pathlib import Path

from orion_registry.server.address import TcpAddress, parse_address
from orion_registry.server.settings import Settings
from orion_registry.store.base import Store
from orion_registry.store.memory import MemoryStore
from orion_registry.store.sqlite import SqliteStore


def store_of(settings: Settings, address: str) -> Store:
    """The store that the settings ask for, of a daemon whose first address this is. Nothing is opened yet."""
    if settings.ephemeral:
        return MemoryStore()
    return SqliteStore(Path(settings.data_dir) if settings.data_dir else default_directory(address))


def default_directory(address: str) -> Path:
    """One directory for each port or socket, so that two daemons on one machine never share one.

    It lies in the user's state directory (XDG Base Directory Specification, $XDG_STATE_HOME).
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    parsed = parse_address(address)
    name = str(parsed.port) if isinstance(parsed, TcpAddress) else re.sub(r"[^A-Za-z0-9._-]+", "-", parsed.path)
    return base / "orion-registry" / name.strip("-")
