"""access_file: what the operator grants to the identities of client certificates. TOML; see docs/security.md."""

import tomllib
from dataclasses import dataclass, field
from typing import Final

from orion_registry.core.access.book import AccessBook, Granted
from orion_registry.errors import Said
from orion_registry.server.file_rows import (
    IDENTITY_RULE,
    FileError,
    Row,
    read_file,
    read_identity_pattern,
    rows_of,
    take_grant,
)

NAME: Final = "access_file"
FILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What an access file says. As made: nothing is granted to anybody."""

    book: AccessBook = field(default_factory=AccessBook)


def read_access(path: str) -> AccessRules:
    """Reads an access file.

    Raises:
        FileError: it cannot be read, or breaks a rule; the message names the row and the field.
    """
    data = read_file(NAME, path, FILE_BYTES)
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FileError(f"{NAME}: {path}", "TOML", Said(str(error).lower())) from None
    if unknown := raw.keys() - {"grant"}:
        raise FileError(f"{NAME}: {path}", "a file of [[grant]] rows", Said(repr(min(unknown))))
    rows = rows_of(f"{NAME}: {path}, grant", raw.get("grant", []))
    return AccessRules(book=AccessBook(map(_granted, rows)))


def _granted(row: Row) -> Granted:
    rule = f"an identity ({IDENTITY_RULE}), or the beginning of some with an asterisk at its end"
    identity = row.take("identity", rule, read_identity_pattern)
    granted = Granted(identity=identity, grant=take_grant(row))
    row.end()
    return granted
