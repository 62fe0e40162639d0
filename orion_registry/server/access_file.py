"""access_file: what identities of client certificates may do, and how much namespaces may take. TOML; see
docs/security.md.
"""

import tomllib
from dataclasses import dataclass, field, fields
from typing import Final

from orion_registry.core.access.book import AccessBook, Granted
from orion_registry.core.access.quota import MOST, NO_QUOTAS, Quota, Quotas
from orion_registry.errors import Said
from orion_registry.server.file_rows import (
    IDENTITY_RULE,
    FileError,
    Row,
    read_file,
    read_identity_pattern,
    read_namespace,
    rows_of,
    take_grant,
)

NAME: Final = "access_file"
FILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRules:
    """What an access file says. As made: nothing is granted to anybody, and nothing limited."""

    book: AccessBook = field(default_factory=AccessBook)
    quotas: Quotas = NO_QUOTAS


def read_access(path: str) -> AccessRules:
    """Reads an access file.

    Raises:
        FileError: it cannot be read, or breaks a rule; the message names the row and the field.
    """
    data = read_file(NAME, path, FILE_BYTES)
    try:
        raw = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no TOML, a number of 5,000 digits
        raise FileError(f"{NAME}: {path}", "TOML", Said(str(error).lower())) from None
    if unknown := raw.keys() - {"grant", "quota"}:
        raise FileError(f"{NAME}: {path}", "a file of [[grant]] and [[quota]] rows", Said(repr(min(unknown))))
    grants = rows_of(f"{NAME}: {path}, grant", raw.get("grant", []))
    quotas: dict[str, Quota] = {}
    for row in rows_of(f"{NAME}: {path}, quota", raw.get("quota", [])):
        namespace = row.take("namespace", 'a namespace, or "*" for each without a quota of its own', read_namespace)
        if namespace in quotas:
            raise row.error("namespace", "another one in each row", namespace)
        quotas[namespace] = _quota(row)
    return AccessRules(book=AccessBook(map(_granted, grants)), quotas=Quotas(by_namespace=quotas))


def _granted(row: Row) -> Granted:
    rule = f"an identity ({IDENTITY_RULE}), or the beginning of some with an asterisk at its end"
    identity = row.take("identity", rule, read_identity_pattern)
    granted = Granted(identity=identity, grant=take_grant(row))
    row.end()
    return granted


def _quota(row: Row) -> Quota:
    rule = f"a whole number of 0 (no limit) to {MOST:,}"
    quota = Quota(**{one.name: row.take(one.name, rule, _count, 0) for one in fields(Quota)})
    row.end()
    return quota


def _count(raw: object) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 <= raw <= MOST:
        raise ValueError("no such number")
    return raw
