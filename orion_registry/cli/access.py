"""`orion-registry access show`: what an access file grants to an identity, before anybody calls."""

import json
from collections.abc import Iterator

import click

from orion_registry.cli.group import Group
from orion_registry.cli.outcome import CannotBegin, run
from orion_registry.core.access.rights import Rights, Role

_HELP = """\
Check an access file, and tell what it grants to IDENTITY: roles, namespaces, capabilities, and the calls that they are
good for. Nothing is asked of a daemon.

\b
Examples:
  orion-registry access show spiffe://example.org/agents/calc --access-file access.toml
  ORION_ACCESS_FILE=access.toml orion-registry access show operator --json | jq .calls

\b
Exit codes: 0 something is granted, 1 nothing is, 2 it could not begin (wrong usage, FILE
cannot be used). One line on stderr says why.
"""


@click.group(cls=Group, short_help="Look at what an access file grants.")
def access() -> None:
    """What identities of client certificates may do."""


@access.command(help=_HELP, short_help="What an identity may do.")
@click.argument("identity", metavar="IDENTITY")
@click.option(
    "--access-file",
    "path",
    metavar="FILE",
    envvar="ORION_ACCESS_FILE",
    required=True,
    help="The file of grants.  [env: ORION_ACCESS_FILE]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(identity: str, path: str, as_json: bool) -> int:
    """See `_HELP`."""
    return run(_show(identity, path, as_json))


async def _show(identity: str, path: str, as_json: bool) -> int:
    from orion_registry.server.access_file import read_access
    from orion_registry.server.start_error import StartError

    try:
        rights = read_access(path).book.rights_of(identity)
    except StartError as error:
        raise CannotBegin(str(error)) from None
    rows: list[dict[str, list[str]]] = [
        {
            "roles": sorted(grant.roles),
            "namespaces": list(grant.namespaces),
            **({"capabilities": list(grant.capabilities)} if Role.AGENT in grant.roles else {}),
        }
        for grant in rights.grants
    ]
    calls = list(_calls(rights))
    if as_json:
        print(json.dumps({"identity": identity, "grants": rows, "calls": calls}))
    else:
        for row in rows:
            print("  ".join(f"{name} {', '.join(words)}" for name, words in row.items()))
        print(f"calls {', '.join(calls)}" if calls else "nothing is granted")
    return 0 if rows else 1


def _calls(rights: Rights) -> Iterator[str]:
    from orion_registry.server.methods import METHODS

    found = {method.name: None for method in METHODS if not method.is_open and rights.anywhere(method.roles)}
    yield from found
