"""docs/security.md: its table of who may call what is the method table, word for word."""

from pathlib import Path

from orion_registry.core.access.rights import Role
from orion_registry.server import scopes
from orion_registry.server.methods import METHODS, REFLECTION_ALPHA_SERVICE, Method

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
ROLES = (Role.AGENT, Role.CALLER, Role.VIEWER, Role.OPERATOR)
HEAD = f"| call | {' | '.join(ROLES)} | where |"
WHERE = {
    scopes.by_service: "the namespace named",
    scopes.by_selector: "the namespace named",
    scopes.by_asked_selector: "the namespace named",
    scopes.by_ref: "the service's namespace",
    scopes.by_service_id: "the service's namespace",
    scopes.by_service_minded: "the service's namespace; agents: what their identity registered",
    scopes.by_session: "each service's namespace",
    scopes.by_lease: "who made the selection",
    scopes.by_command: "as the single calls",
    scopes.by_listed_service: "the service's namespace; all of them if none is named",
    scopes.by_listed_namespace: "the namespace named; all of them if none is",
    scopes.by_events: "the namespace or service named; all of them if none is",
    scopes.by_target: "the namespace of what is named",
    scopes.everywhere: 'all namespaces: `"*"`',
    scopes.anywhere: "any namespace",
    scopes.nobody_in_particular: "whoever can connect",
}


def row_of(method: Method) -> str:
    """What the page must say of a method."""
    marks = ("x" if role in method.roles else "" for role in ROLES)
    name = f"`{method.name}`" if not method.is_open else f"`{method.service}/{method.name}`"
    return f"| {' | '.join((name, *marks, WHERE[method.scope]))} |"


def test_the_page_says_who_may_call_what() -> None:
    _, _, after = PAGE.partition(HEAD + "\n")
    table = after.split("\n\n", 1)[0].splitlines()[1:]
    assert table == [row_of(method) for method in METHODS if method.service != REFLECTION_ALPHA_SERVICE]
