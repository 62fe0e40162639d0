"""What is granted to whom: identities by name, or by how their names begin."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from orion_registry.core.access.rights import EVERYTHING, Grant, Rights, matches

IDENTITIES_KEPT: Final = 4_096
"""Whose rights are at hand. Those of others are put together anew with each call, from all grants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A grant, and to whom: an identity, or the beginning of some that ends in an asterisk ("spiffe://x/agents/*")."""

    identity: str
    grant: Grant


class AccessBook:
    """All grants."""

    def __init__(self, rows: Iterable[Granted] = ()) -> None:
        self.rows = tuple(rows)
        self._rights = lru_cache(IDENTITIES_KEPT)(self._find)

    def rights_of(self, identity: str) -> Rights:
        """All that is granted to an identity; none = it is known, but may do nothing."""
        return self._rights(identity)

    def _find(self, identity: str) -> Rights:
        return as_rights(row.grant for row in self.rows if matches(row.identity, identity))


def as_rights(grants: Iterable[Grant]) -> Rights:
    """Rights made of grants; those that say everything are `EVERYTHING` itself, which no call has to be judged by."""
    rights = Rights(grants=tuple(grants))
    everything = EVERYTHING.grants[0]
    return EVERYTHING if everything in rights.grants else rights
