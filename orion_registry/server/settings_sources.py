"""From flags, environment and file to `Settings`, remembering where each value came from."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orion_registry.server.setting_rows import PROFILES, Row
from orion_registry.server.settings import BY_NAME, TABLE, Settings
from orion_registry.server.start_error import SettingError, StartError

_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Settings, and by name where each came from: "default", "flag --listen", "file orion.toml", ..."""

    settings: Settings
    origins: Mapping[str, str]


def read_file(path: str) -> dict[str, object]:
    """The settings in a TOML file.

    Raises:
        StartError: it cannot be read, is not TOML, or names a setting that does not exist.
    """
    try:
        with Path(path).open("rb") as file:
            data = tomllib.loads(file.read(_FILE_BYTES).decode())
    except OSError as error:
        raise StartError(
            f"cannot read the configuration file {path}: {(error.strerror or str(error)).lower()}"
        ) from None
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, a number of 5,000 digits
        raise StartError(f"the configuration file {path} is not valid TOML: {error}") from None
    for name in data:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name.replace("-", "_"), BY_NAME, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(BY_NAME)}"
            raise StartError(f"unknown setting {name!r} in file {path}{hint}")
    return data


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: str | None = None) -> Loaded:
    """The settings in force.

    Args:
        flags: what the command line says, by setting name; a name that is missing was not given.
        environ: the environment; an empty variable counts as not set.
        file: path of a TOML file.

    Raises:
        StartError: naming the setting, its rule, what came and from where.
    """
    in_file = read_file(file) if file else {}
    raw: dict[str, object] = {}
    origins: dict[str, str] = {}
    for row in TABLE:
        if row.name in flags:
            raw[row.name], origins[row.name] = flags[row.name], f"flag {row.flag}"
        elif environ.get(row.variable):
            raw[row.name], origins[row.name] = environ[row.variable], f"environment {row.variable}"
        elif row.name in in_file:
            raw[row.name], origins[row.name] = in_file[row.name], f"file {file}"
        else:
            origins[row.name] = "default"
    values = {BY_NAME[name].field_name: _read(BY_NAME[name], value, origins[name]) for name, value in raw.items()}
    try:
        settings = Settings(**values)  # type: ignore[arg-type] # each kind reads its own
    except SettingError as error:
        got = None if BY_NAME[error.name].kind.blame else raw.get(error.name)
        raise error.came_from(origins[error.name], got) from None
    if settings.profile != PROFILES[0]:
        decided = {row.name for row in TABLE if row.by_profile is not None and row.name not in raw}
        origins.update(dict.fromkeys(decided, f"profile {settings.profile}"))
    return Loaded(settings=settings, origins=origins)


def _read(row: Row, value: object, origin: str) -> object:
    try:
        return row.kind.read(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(row.name, row.kind.rule, value, origin=origin) from None


def print_config(loaded: Loaded) -> str:
    """The settings in force as TOML that `--config` takes back, each with its origin."""
    lines = []
    group = ""
    for row in TABLE:
        if row.group != group:
            group = row.group
            lines += ["", f"# {group}"]
        shown = row.kind.show(getattr(loaded.settings, row.field_name))
        origin = loaded.origins[row.name]
        lines.append(f"{row.name} = {shown}  # {origin if origin.isprintable() else ascii(origin)}")
    return "\n".join(["# orion-registry serve: the settings in force, each with where it came from", *lines, ""])
