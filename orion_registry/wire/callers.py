"""Who a call is made for, where a member makes it for another's caller: rights as messages, and back."""

from collections.abc import Iterable
from functools import lru_cache

from orion_registry.core.access.book import as_rights
from orion_registry.core.access.rights import Grant, Rights, Role
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

RIGHTS_KEPT = 1_024
_ROLES = frozenset(Role)


@lru_cache(maxsize=RIGHTS_KEPT)
def encode_rights(rights: Rights) -> tuple[pb.Grant, ...]:
    """The grants of some rights."""
    return tuple(
        pb.Grant(roles=sorted(grant.roles), namespaces=grant.namespaces, capabilities=grant.capabilities)
        for grant in rights.grants
    )


def decode_rights(grants: Iterable[pb.Grant]) -> Rights:
    """The rights of some grants; none = nothing may be done. Roles of a newer version are left out."""
    return as_rights(
        Grant(
            roles=frozenset(Role(role) for role in grant.roles if role in _ROLES),
            namespaces=tuple(grant.namespaces),
            capabilities=tuple(grant.capabilities),
        )
        for grant in grants
    )
