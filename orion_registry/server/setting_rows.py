"""One row of the table of settings: what a field of `Settings` says of itself, and how people see it."""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any

from orion_registry.server.setting_kinds import Kind

PROFILES = ("lan", "wan", "dev")
"""lan: agents near by. wan: links that lose packets. dev: people in a debugger, where nothing may time out."""


def setting(
    kind: Kind,
    default: Any,
    *,
    group: str,
    meaning: str,
    trade_off: str,
    name: str = "",
    default_text: str = "",
    reloads: bool = False,
) -> Any:
    """A field of `Settings`. default: the value, a callable that makes it, or `by_profile`. reloads: see `Row`."""
    about = {
        "kind": kind,
        "group": group,
        "meaning": meaning,
        "trade_off": trade_off,
        "name": name,
        "default_text": default_text,
        "reloads": reloads,
        "by_profile": default if isinstance(default, _ByProfile) else None,
    }
    if isinstance(default, _ByProfile):
        return field(default=None, metadata=about)  # filled in when made: the profile is known then
    if callable(default):
        return field(default_factory=default, metadata=about)
    return field(default=default, metadata=about)


class _ByProfile(dict[str, Any]):
    """A default for each profile."""


def by_profile(lan: Any, *, wan: Any = None, dev: Any = None) -> Mapping[str, Any]:
    """A default that the profile decides; those that are not given are that of lan."""
    return _ByProfile(lan=lan, wan=lan if wan is None else wan, dev=lan if dev is None else dev)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table: a setting as people see it.

    by_profile: its default in each profile; None = always one. reloads: SIGHUP changes it in a running daemon.
    """

    name: str
    field_name: str
    kind: Kind
    group: str
    meaning: str
    trade_off: str
    default_text: str
    by_profile: Mapping[str, Any] | None
    reloads: bool

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Name in the environment."""
        return "ORION_" + self.name.upper()


def row_of(source: "Field[Any]") -> Row:
    """The row of a field made by `setting`."""
    about = source.metadata
    kind: Kind = about["kind"]
    defaults: Mapping[str, Any] | None = about["by_profile"]
    return Row(
        name=about["name"] or source.name,
        field_name=source.name,
        kind=kind,
        group=about["group"],
        meaning=about["meaning"],
        trade_off=about["trade_off"],
        default_text=about["default_text"] or _default_text(kind, source.default, defaults),
        by_profile=defaults,
        reloads=about["reloads"],
    )


def _default_text(kind: Kind, default: Any, defaults: Mapping[str, Any] | None) -> str:
    if defaults is None:
        return kind.show(default).strip('[]"')
    shown = {profile: kind.show(value).strip('"') for profile, value in defaults.items()}
    others = [f"{profile} {text}" for profile, text in shown.items() if text != shown["lan"]]
    return "; ".join([shown["lan"], *others])
