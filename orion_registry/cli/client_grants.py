"""What `orion-registry certs` grants to the clients that it makes certificates for: rows of an access file."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from orion_registry.cli.outcome import CannotBegin, opened
from orion_registry.core.access.rights import Role

FILE = "access.toml"

_HEAD = """\
# What each client may do, by the identity in its certificate: `orion-registry serve --access-file` takes this file, and
# takes it anew when it changes. Without a row a client may do nothing. docs/security.md has the form.
"""

_ROW = """
[[grant]]
identity = {identity}
roles = [{roles}]
namespaces = ["*"] # every namespace; better: ["payments"]
"""

_WIDE = (
    "# All that there is to do: a convenience for development. Grant what it needs: agent, caller, viewer, operator.\n"
)


def asked_for(clients: tuple[str, ...]) -> dict[str, frozenset[Role]]:
    """Names and roles of `--client NAME[=ROLE,ROLE]`; without roles: all.

    Raises:
        CannotBegin: a role is none.
    """
    found: dict[str, frozenset[Role]] = {}
    for text in clients:
        name, _, said = text.partition("=")
        if "*" in name:
            raise CannotBegin(f"--client {name}: an asterisk stands for others in access files: name one client")
        words = said.split(",") if "=" in text else list(Role)
        if unknown := [word for word in words if word not in set(Role)]:
            raise CannotBegin(f"--client {name}: roles are {', '.join(Role)}, got {unknown[0]!r}")
        found[name] = frozenset(map(Role, words))
    return found


def add_grants(path: Path, clients: Mapping[str, frozenset[Role]]) -> None:
    """Adds rows for clients that have none by their own name. What is there stays as it is.

    Raises:
        CannotBegin: what is there is broken, or cannot be written.
    """
    from orion_registry.server.access_file import read_access
    from orion_registry.server.start_error import StartError

    text, known = _HEAD, set[str]()
    if path.exists():
        try:
            known = {row.identity for row in read_access(str(path)).book.rows}
        except StartError as error:
            raise CannotBegin(str(error)) from None
        text = opened(lambda: path.read_text(encoding="utf-8"))
    rows = "".join(_row(name, roles) for name, roles in clients.items() if name not in known)
    if rows or not path.exists():
        opened(lambda: _write(path, text + rows))
    for name in sorted(known & clients.keys()):
        if clients[name] != frozenset(Role):
            print(f"orion-registry: {path} grants something to {name} already: edit it there", file=sys.stderr)


def _row(name: str, roles: frozenset[Role]) -> str:
    listed = ", ".join(f'"{role}"' for role in Role if role in roles)
    wide = _WIDE if roles == frozenset(Role) else ""
    return _ROW.format(identity=json.dumps(name), roles=listed).replace("\n[[grant]]", f"\n{wide}[[grant]]", 1)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a daemon may be looking at the file."""
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
