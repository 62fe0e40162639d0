"""Files of rows that an operator wrote: each field is taken out by name, with its rule; what is left is refused."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from orion_registry.core import limits
from orion_registry.core.access.rights import ALL, Grant, Role
from orion_registry.core.masking import mask_text
from orion_registry.core.validation import check_text
from orion_registry.errors import RegistryError, Said, shown
from orion_registry.server.peer_identity import NAME_MOST, is_plain
from orion_registry.server.start_error import StartError

T = TypeVar("T")

LISTED = 64
"""Entries of one list."""
ROWS = 10_000
"""Of one kind in a file."""

DEFAULT: tuple[str, ...] = ("default",)
EVERY: tuple[str, ...] = (ALL,)
_ROLES = ", ".join(Role)


class FileError(StartError):
    """A file that cannot be used; `str()` names it, the row, the field, the rule and what came, with secrets masked: a
    token may stand where its id should.
    """

    def __init__(self, where: str, rule: str, got: object) -> None:
        masked = mask_text(text := shown(got, sys.maxsize))  # before it is cut: half a secret has no shape
        super().__init__(f"{where}: must be {rule}, got {shown(got if masked == text else Said(masked), 100)}")


def read_file(name: str, path: str, most: int) -> bytes:
    """The bytes of a file. name: of the setting, for errors.

    Raises:
        FileError: it cannot be read, or is larger than it may be.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise FileError(name, f"a file that can be read ({why})", path) from None
    if len(data) > most:
        raise FileError(name, f"a file of at most {most:,} bytes", path)
    return data


def rows_of(where: str, raw: object) -> list["Row"]:
    """The rows of a list; where: the file, and what the list is called.

    Raises:
        FileError: it is none, or too long.
    """
    if not isinstance(raw, list) or len(raw) > ROWS:
        raise FileError(where, f"a list of at most {ROWS:,} rows", raw if not isinstance(raw, list) else len(raw))
    return [Row(f"{where} {number}", one) for number, one in enumerate(raw, 1)]


class Row:
    """One row: its fields are taken one by one, and then `end` sees to it that none is left."""

    def __init__(self, where: str, raw: object) -> None:
        """Raises: FileError, it is no table."""
        if not isinstance(raw, Mapping):
            raise FileError(where, "a table", raw)
        self.where = where
        self._left: dict[str, Any] = dict(raw)
        self._taken: list[str] = []

    def take(
        self, field: str, rule: str, read: Callable[[Any], T], default: T | None = None, *, hidden: bool = False
    ) -> T:
        """One field. `read` raises ValueError, TypeError or RegistryError for what breaks the rule; a field that is
        not there is the default, and without one an error. hidden: what came is not repeated.

        Raises:
            FileError: it is not there, or breaks the rule.
        """
        self._taken.append(field)
        if field not in self._left:
            if default is None:
                raise self.error(field, rule, Said("nothing"))
            return default
        value = self._left.pop(field)
        try:
            return read(value)
        except (ValueError, TypeError, OverflowError, RegistryError):
            raise self.error(field, rule, Said("something else") if hidden else value) from None

    def error(self, field: str, rule: str, got: object) -> FileError:
        """What is wrong with a field."""
        return FileError(f"{self.where}, {field}", rule, got)

    def end(self) -> None:
        """Raises: FileError, there are fields that nobody knows."""
        if self._left:
            known = ", ".join(self._taken)
            raise FileError(self.where, f"a table of {known}", Said(f"{next(iter(self._left))!r} too"))


def take_grant(row: Row) -> Grant:
    """The fields that make a grant: roles, namespaces (default: "default") and capabilities (default: all)."""
    rule = f"1 to {len(Role)} of {_ROLES}"
    roles = row.take("roles", rule, lambda raw: frozenset(map(Role, _listed(raw, _word))))
    rule = f'1 to {LISTED} namespaces, or "*" for all'
    namespaces = row.take("namespaces", rule, lambda raw: _listed(raw, read_namespace), DEFAULT)
    rule = f'1 to {LISTED} capabilities, or beginnings with an asterisk at the end ("payments.*")'
    capabilities = row.take("capabilities", rule, lambda raw: _listed(raw, _pattern), EVERY)
    return Grant(roles=roles, namespaces=namespaces, capabilities=capabilities)


IDENTITY_RULE = f"1 to {NAME_MOST} printable characters of ASCII without spaces"


def read_identity(raw: object) -> str:
    """An identity. Raises: ValueError or TypeError, it is none."""
    name = _word(raw)
    if not name.isascii() or not is_plain(name.encode()):
        raise ValueError("no identity")
    return name


def read_identity_pattern(raw: object) -> str:
    """An identity, or the beginning of some with an asterisk at its end."""
    return _one_asterisk(read_identity(raw))


def read_namespace(raw: object) -> str:
    """A namespace, or the asterisk for all of them. Raises: ValueError or TypeError, it is none."""
    name = _word(raw)
    if name != ALL and not limits.ID.fullmatch(name):
        raise ValueError("no namespace")
    return name


def _pattern(raw: object) -> str:
    name = _word(raw)
    if not name.strip():
        raise ValueError("empty")
    return _one_asterisk(check_text("capability", name, limits.LABEL))


def _one_asterisk(text: str) -> str:
    if ALL in text[:-1]:
        raise ValueError("an asterisk before the end")
    return text


def _word(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError("no text")
    return raw


def _listed(raw: object, read: Callable[[object], str]) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple) or not 1 <= len(raw) <= LISTED:
        raise ValueError("no list")
    return tuple(dict.fromkeys(map(read, raw)))
