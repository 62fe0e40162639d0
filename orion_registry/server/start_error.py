"""Why a daemon does not start, in one line for people. The command line exits with code 2 and no traceback."""

from orion_registry.errors import shown


class StartError(Exception):
    """The daemon cannot start with what it was given; `str()` is the line to show."""


class SettingError(StartError):
    """A setting has a value that it must not have.

    Attributes:
        name: of the setting, as in the file.
        rule: what it must be.
        got: what came.
        origin: where it came from, for people ("flag --retention"); empty while unknown.
    """

    def __init__(self, name: str, rule: str, got: object, *, origin: str = "") -> None:
        super().__init__(f"{name}: must be {rule}, got {shown(got, 100)}" + (f" from {origin}" if origin else ""))
        self.name = name
        self.rule = rule
        self.got = got
        self.origin = origin

    def came_from(self, origin: str, got: object | None = None) -> "SettingError":
        """The same error that also says where the value came from, and how it was written there."""
        return SettingError(self.name, self.rule, self.got if got is None else got, origin=origin)
