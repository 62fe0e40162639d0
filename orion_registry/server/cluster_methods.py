"""The rows of the method table that members of a cluster serve each other."""

from functools import partial

from orion_registry.core.access.cost import Cost
from orion_registry.core.access.rights import Role
from orion_registry.server import scopes
from orion_registry.server.methods import Kind, Method
from orion_registry_pb.cluster.v1 import cluster_pb2 as pb

CLUSTER_SERVICE = "orion.registry.cluster.v1.ClusterService"
RENEW = "RenewSelections"
"""The method that is relayed with the Route stream that its leases live on from then on."""

# Whoever shows the member's token may call, with a certificate of the members' authority where they have one.
_member = partial(Method, service=CLUSTER_SERVICE, roles=frozenset(Role), scope=scopes.members_alone)

CLUSTER_METHODS = (
    _member(name="Reserve", kind=Kind.UNARY, request=pb.ReserveRequest, cost=Cost.REPORT),
    _member(name="Relay", kind=Kind.UNARY, request=pb.RelayRequest, cost=Cost.REPORT),
    _member(name="HandOver", kind=Kind.UNARY, request=pb.HandOverRequest, cost=Cost.REPORT),
    _member(name="EndStream", kind=Kind.UNARY, request=pb.EndStreamRequest, cost=Cost.REPORT),
    _member(name="WatchLoad", kind=Kind.SERVER_STREAM, request=pb.WatchLoadRequest, cost=Cost.STREAM),
)
