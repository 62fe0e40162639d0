"""SIGHUP: the settings read again, what may change in a running daemon changed, and the rest named."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace

from orion_registry.cli import logs
from orion_registry.server.setting_rows import Row
from orion_registry.server.settings import TABLE, Settings
from orion_registry.server.settings_sources import Loaded, load
from orion_registry.server.start_error import StartError

LOGS = frozenset({"log_level", "log_format"})


class Reload:
    """Called once for each SIGHUP.

    Attributes:
        loaded: the settings in force.
        apply: takes the new ones; None until the daemon serves.
    """

    def __init__(self, loaded: Loaded, flags: Mapping[str, object], file: str | None) -> None:
        self.loaded = loaded
        self.apply: Callable[[Settings], None] | None = None
        self._flags, self._file = flags, file

    def __call__(self) -> None:
        """Reads, applies, and logs the difference. What is wrong changes nothing."""
        if self.apply is None:
            logs.log.warning("not reloaded: the daemon is starting")
            return
        try:
            fresh = load(self._flags, os.environ, self._file)
        except StartError as error:
            logs.log.error("not reloaded, the settings stay as they were: %s", error)
            return
        changed, waiting = differences(self.loaded, fresh)
        before = self.loaded.settings
        news = {row.field_name: getattr(fresh.settings, row.field_name) for row in changed}
        settings = replace(before, **news)
        self.apply(settings)
        self.loaded = Loaded(settings=settings, origins=fresh.origins)
        if any(row.name in LOGS for row in changed):
            logs.configure(settings.log_level, settings.log_format)
        told = [_told(row, before, fresh.settings) for row in changed]
        after_restart = [_told(row, before, fresh.settings) for row in waiting]
        logs.log.info("reloaded", extra={"changed": told, "needs_restart": after_restart})


def differences(before: Loaded, after: Loaded) -> tuple[list[Row], list[Row]]:
    """Rows that differ: those that a running daemon takes, and those that need a restart.

    What only the profile decides goes with it: while a new profile waits for a restart, so does that.
    """
    old, new = before.settings, after.settings
    same_profile = old.profile == new.profile
    takes: list[Row] = []
    waits: list[Row] = []
    for row in TABLE:
        if getattr(old, row.field_name) == getattr(new, row.field_name):
            continue
        by_profile = row.by_profile is not None and after.origins[row.name].startswith(("default", "profile "))
        (takes if row.reloads and (same_profile or not by_profile) else waits).append(row)
    return takes, waits


def _told(row: Row, before: Settings, after: Settings) -> str:
    old, new = (row.kind.show(getattr(settings, row.field_name)) for settings in (before, after))
    return f"{row.name}: {old} -> {new}"


def has_terminal() -> bool:
    """Whether the process has a terminal that it may be hung up by."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
