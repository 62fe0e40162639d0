"""Where a call reaches: the namespaces in which its caller needs a role of the method's. Every row of the method table
names one of these.

A service of a namespace in which the caller has no role is answered as one that is not registered, in the same words:
ids give nothing away.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

from orion_registry.core.access.rights import Role
from orion_registry.core.entry import Entry
from orion_registry.core.fleet import no_such_service, require_visible
from orion_registry.core.model import Actor
from orion_registry.core.registry import Registry
from orion_registry.errors import PermissionDenied, Reason, shown

DEFAULT_NAMESPACE = "default"


class Call(NamedTuple):
    """One message of a call, and what is needed to judge it."""

    request: Any
    actor: Actor
    method: str
    roles: frozenset[Role]
    registry: Registry


Scope = Callable[[Call], None]
"""Raises RegistryError if the caller may not do that there; may narrow the request to what it may."""


def judge_as_begun(method: str, request: Any, judge: Callable[[Any], None]) -> None:
    """Judges the request of a stream that has gone by it for a while.

    Raises:
        RegistryError: as `judge`; NOT_ALLOWED too if it would be narrowed now, for the stream goes by the wider one.
    """
    judge(narrowed := deepcopy(request))
    if narrowed != request:
        message = f"what {method} was asked for is more than its caller may see now: ask again"
        raise PermissionDenied(Reason.NOT_ALLOWED, message)


def nobody_in_particular(_call: Call) -> None:
    """Answers whoever can connect, known or not."""


def members_alone(_call: Call) -> None:
    """For the other members of the cluster, who prove that they are some: see `door`."""


def anywhere(_call: Call) -> None:
    """It concerns no namespace: a role in any will do, which has been seen to before the message was read."""


def by_session(_call: Call) -> None:
    """Each service is judged for itself where it is attached: core/authority."""


def by_lease(_call: Call) -> None:
    """Whoever holds a selection may end it: core/balancing."""


def everywhere(call: Call) -> None:
    """It concerns all namespaces, those that do not exist yet among them."""
    if not call.actor.rights.everywhere(call.roles):
        raise denied(call, "in every namespace")


def by_service(call: Call) -> None:
    """The namespace that a service is registered in."""
    require(call, call.request.service.namespace)


def by_selector(call: Call) -> None:
    """The namespace of a query."""
    require(call, call.request.selector.namespace)


def by_asked_selector(call: Call) -> None:
    """The namespace of the query of the request that a request is about."""
    require(call, call.request.request.selector.namespace)


def by_ref(call: Call) -> None:
    """The namespace of the service that a ref speaks for."""
    _visible(call, call.request.ref.service_id)


def by_service_id(call: Call) -> None:
    """The namespace of a service."""
    _visible(call, call.request.service_id)


def by_service_minded(call: Call) -> None:
    """The namespace of a service; whoever is no operator there must have registered it."""
    entry = _visible(call, call.request.service_id)
    if entry is None or call.actor.rights.inside(entry.spec.namespace, frozenset({Role.OPERATOR})):
        return
    if entry.snapshot.record.identity != call.actor.identity:
        raise PermissionDenied(Reason.NOT_OWNER, f"{entry.service_id!r} was registered by another identity")


def by_listed_service(call: Call) -> None:
    """The namespace of a service, or all if none is named."""
    (_registered_alone if call.request.service_id else everywhere)(call)


def by_events(call: Call) -> None:
    """The namespace named; else that of the service named; or all if neither is: the registry's own are of none.

    Whom the service alone lets in, the request is narrowed to its namespace: another one may have had its id before, or
    get it later.
    """
    request = call.request
    if request.namespace:
        _of_field(call)
    elif not request.service_id or call.actor.rights.everywhere(call.roles):
        by_listed_service(call)
    elif (entry := _visible(call, request.service_id)) is not None:
        request.namespace = entry.spec.namespace
    else:
        raise no_such_service(request.service_id)


def by_listed_namespace(call: Call) -> None:
    """The namespace named, or all if none is."""
    (_of_field if call.request.namespace else everywhere)(call)


def by_target(call: Call) -> None:
    """The namespace of an overlay's natural key, or of its selector; or of the service with the service_id alone."""
    if call.request.WhichOneof("target") == "selector":
        by_selector(call)
        return
    key = call.request.key
    if key.agent_id or key.service_name or not key.service_id:
        require(call, key.namespace)
    else:
        _registered_alone(call, key.service_id)


def by_command(call: Call) -> None:
    """Of one command of a stream: what the unary call of the same name would ask."""
    kind = call.request.WhichOneof("command")
    if scope := _COMMANDS.get(kind):
        scope(call._replace(request=getattr(call.request, kind)))


_COMMANDS: Mapping[str, Scope] = {"select": by_selector, "report": by_service_id}
"""Of commands that concern a namespace; the rest concern what the stream's own caller holds."""


def denied(call: Call, where: str) -> PermissionDenied:
    """The refusal of somebody who has none of the roles there."""
    wanted = _listed(call.roles)
    message = f"{call.method} needs the role {wanted} {where}; {shown(call.actor.identity)} does not have it there"
    return PermissionDenied(Reason.NOT_ALLOWED, message)


def _of_field(call: Call) -> None:
    require(call, call.request.namespace)


def require(call: Call, namespace: str) -> None:
    """Raises PermissionDenied: the caller has none of the roles in a namespace."""
    named = namespace or DEFAULT_NAMESPACE
    if not call.actor.rights.inside(named, call.roles):
        raise denied(call, f"in namespace {shown(named)}")


def _visible(call: Call, service_id: str) -> Entry | None:
    """A service that is registered; None if none is: the handler says so in its own words."""
    entry = call.registry.find(service_id)
    if entry is None:
        return None
    if call.actor.rights.inside(entry.spec.namespace, call.roles):
        return entry
    require_visible(call.actor, entry)
    raise denied(call, f"in namespace {entry.spec.namespace!r}")


def _registered_alone(call: Call, service_id: str = "") -> None:
    """The namespace of a service that is registered. What is left of one that was, of any namespace, is for those alone
    who may look at all of them.
    """
    named = service_id or call.request.service_id
    if _visible(call, named) is None and not call.actor.rights.everywhere(call.roles):
        raise no_such_service(named)


def _listed(roles: Iterable[Role]) -> str:
    return " or ".join(sorted(roles))
