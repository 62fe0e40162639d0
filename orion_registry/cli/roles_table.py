"""The table of calls and roles in docs/security.md, made from the method table.

python -m orion_registry.cli.roles_table docs/security.md   writes it into the file
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from orion_registry.core.access.rights import Role
from orion_registry.server import scopes
from orion_registry.server.methods import METHODS, REFLECTION_ALPHA_SERVICE
from orion_registry.server.scopes import Scope

BEGIN = "<!-- roles: made by python -m orion_registry.cli.roles_table; do not edit -->\n"
END = "<!-- end of roles -->\n"

WHERE: Mapping[Scope, str] = {
    scopes.nobody_in_particular: "whoever can connect",
    scopes.anywhere: "any namespace will do",
    scopes.everywhere: "every namespace (`*`)",
    scopes.by_session: "of each service, when it is attached",
    scopes.by_lease: "any namespace will do; the lease must be the caller's own",
    scopes.by_service: "of the service",
    scopes.by_ref: "of the service",
    scopes.by_service_id: "of the service",
    scopes.by_service_minded: "of the service; an agent must have registered it",
    scopes.by_selector: "of the selector",
    scopes.by_asked_selector: "of the selector",
    scopes.by_command: "of each command's selector or service",
    scopes.by_target: "of the key or selector",
    scopes.by_listed_service: "of the service; every namespace if none is named",
    scopes.by_events: "the one that is named, else that of the service, else every one",
    scopes.by_listed_namespace: "the one that is named, else every one",
}
"""Where a role is needed, in words."""


def render() -> str:
    """The table as Markdown; a call that is served twice stands there once."""
    head = "".join(f" {role} |" for role in Role)
    lines = [f"| call |{head} in which namespace |\n|---|{'---|' * len(Role)}---|\n"]
    for method in METHODS:
        if method.service == REFLECTION_ALPHA_SERVICE:
            continue
        name = f"{method.service.rpartition('.')[2]}/{method.name}"
        marks = "".join(" yes |" if method.is_open or role in method.roles else " |" for role in Role)
        lines.append(f"| {name} |{marks} {WHERE[method.scope]} |\n")
    return "".join(lines)


def insert(page: str) -> str:
    """The page with its table renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def main() -> None:
    """Renews the table in the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
