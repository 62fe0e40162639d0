"""What somebody may do: roles in namespaces, and the capabilities that its services may claim there."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ALL: Final = "*"
"""Every namespace; every capability."""


class Role(StrEnum):
    """What somebody may do, in words; the method table says which RPCs each role may call."""

    AGENT = "agent"
    CALLER = "caller"
    OPERATOR = "operator"
    VIEWER = "viewer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Roles in some namespaces.

    Attributes:
        roles: what may be done there.
        namespaces: their names; `ALL` for every one, those that do not exist yet among them.
        capabilities: what agents may claim there: names, or beginnings that end in an asterisk ("payments.*").
    """

    roles: frozenset[Role]
    namespaces: tuple[str, ...]
    capabilities: tuple[str, ...] = (ALL,)

    def reaches(self, namespace: str) -> bool:
        """Whether it says anything of a namespace."""
        return ALL in self.namespaces or namespace in self.namespaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """All that is granted to somebody. Equal rights are the same rights."""

    grants: tuple[Grant, ...] = ()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash(self.grants))

    def __hash__(self) -> int:
        # Each call looks its actor up by these, and tuples do not keep their hashes: 5.8 us with 8 grants of 128 names.
        return self._hash

    def anywhere(self, roles: frozenset[Role]) -> bool:
        """Whether one of the roles is held in some namespace."""
        return any(not grant.roles.isdisjoint(roles) for grant in self.grants)

    def inside(self, namespace: str, roles: frozenset[Role]) -> bool:
        """Whether one of the roles is held in a namespace."""
        return any(grant.reaches(namespace) and not grant.roles.isdisjoint(roles) for grant in self.grants)

    def sees(self, namespace: str) -> bool:
        """Whether a namespace is known to have this or that in it: any role there will do. To others each of its
        services is answered as one that is not registered.
        """
        return any(grant.roles and grant.reaches(namespace) for grant in self.grants)

    def everywhere(self, roles: frozenset[Role]) -> bool:
        """Whether one of the roles is held in every namespace, those that do not exist yet among them."""
        return any(ALL in grant.namespaces and not grant.roles.isdisjoint(roles) for grant in self.grants)

    def unclaimable(self, namespace: str, capabilities: Iterable[str]) -> str | None:
        """The first of some capabilities that a service there may not claim; None = it may claim all."""
        allowed = [
            pattern
            for grant in self.grants
            if Role.AGENT in grant.roles and grant.reaches(namespace)
            for pattern in grant.capabilities
        ]
        if ALL in allowed:
            return None
        return next((name for name in capabilities if not any(matches(one, name) for one in allowed)), None)


def matches(pattern: str, text: str) -> bool:
    """Whether a text is a pattern, or, where that ends in an asterisk, begins as it does.

    >>> matches("payments.*", "payments.refund"), matches("payments.*", "payments"), matches("calc", "calculus")
    (True, False, False)
    """
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


EVERYTHING: Final = Rights(grants=(Grant(roles=frozenset(Role), namespaces=(ALL,)),))
"""Of whoever calls where nothing is configured, and of the registry itself."""
