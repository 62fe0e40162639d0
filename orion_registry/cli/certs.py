"""`orion-registry certs`: certificates for development, and what to do with them."""

import ipaddress
import json
import re
import shlex
from pathlib import Path

import click

from orion_registry.cli.client_grants import FILE, add_grants, asked_for
from orion_registry.cli.outcome import CannotBegin, opened, run
from orion_registry.core.access.rights import Role
from orion_registry.errors import InvalidArgument

LOOPBACK = ("localhost", "127.0.0.1", "::1")
REGISTRY = "registry"
"""Stem of the registry's own files."""

_HELP = """\
Make a certificate authority for development in DIR, and certificates of it: one for the registry, one for each client;
and DIR/access.toml, which says what each client may do.

Where DIR has an authority already, it is used: run it again to add clients, or to make all anew (--renew) before they
end; the authority stays. A running registry, and its clients, take renewed files by themselves. For production, use the
authority that your fleet has.

\b
Examples:
  orion-registry certs certs                                     for this machine, one client: operator
  orion-registry certs certs --host registry.example.org --host 10.0.0.5
  orion-registry certs certs --client calc=agent --client spiffe://example.org/agents/search=agent,caller
  orion-registry certs certs --renew                             anew, of the same authority

\b
A client's identity is its name: a service belongs to the identity that registered it. What a client may do stands in
DIR/access.toml; rows that are there stay. Roles: agent, caller, viewer, operator; none given: all of them.
Keys are readable by their owner alone. Whoever has ca-key.pem can make anybody's certificate.

\b
Exit codes: 0 done, 2 it could not begin (wrong usage, DIR cannot be used). One line on stderr says why.
"""


@click.command(help=_HELP, short_help="Make certificates for development.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME", help="Name or address of the registry, besides loopback."
)
@click.option(
    "--client",
    "clients",
    multiple=True,
    metavar="NAME[=ROLE,ROLE]",
    help="A client: DNS name or URI, and what it may do.  [default: operator]",
)
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 3650), help="How long they are valid.")
@click.option("--renew", is_flag=True, help="Replace certificates that are there; else they stay.")
@click.option("--json", "as_json", is_flag=True, help="Print the files as one JSON object.")
def certs(
    directory: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, renew: bool, as_json: bool
) -> int:
    """See `_HELP`."""
    return run(_certs(directory, hosts, clients, days, renew, as_json))


async def _certs(
    directory: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, renew: bool, as_json: bool
) -> None:
    made = _make(directory, hosts, clients, days, renew)
    if as_json:
        print(json.dumps(made))
    else:
        _tell(directory, made)


def _make(directory: Path, hosts: tuple[str, ...], clients: tuple[str, ...], days: int, renew: bool) -> dict[str, str]:
    from orion_registry.server.development_ca import DevelopmentAuthority  # only this command waits for it

    roles = asked_for(clients)
    wanted = _stems(tuple(roles))
    try:
        authority = opened(lambda: DevelopmentAuthority(directory, days))
        known = opened(authority.issued)
    except ValueError:
        raise CannotBegin(f"{directory}: holds other files than this command makes; use another DIR") from None
    if not clients and known.keys() <= {REGISTRY}:
        wanted = {"operator": "operator"}
    issue: dict[str, list[str]] = {stem: [name] for stem, name in wanted.items() if renew or stem not in known}
    if renew:
        issue = {**known, **issue}
    if hosts or renew or REGISTRY not in known:
        issue[REGISTRY] = [*dict.fromkeys((*LOOPBACK, *known.get(REGISTRY, ()), *hosts))]
    try:
        for stem, names in issue.items():
            opened(lambda stem=stem, names=names: authority.issue(stem, names))  # type: ignore[misc]
    except InvalidArgument as error:
        raise CannotBegin(error.message) from None
    there = (known.keys() | issue.keys()) - {REGISTRY}
    others = [*dict.fromkeys((*wanted, *sorted(there)))]  # what was asked for now is shown first
    identities = [{**known, **issue}[stem][0] for stem in others]
    add_grants(directory / FILE, {name: roles.get(name, frozenset(Role)) for name in identities})
    found = {stem: str(directory / f"{stem}.pem") for stem in (REGISTRY, *others)}
    return {"ca": str(authority.file), "access": str(directory / FILE), **found}


def _stems(clients: tuple[str, ...]) -> dict[str, str]:
    """The names by the stem of their files.

    Raises:
        CannotBegin: one is no identity, or two would share their files.
    """
    stems: dict[str, str] = {}
    for name in dict.fromkeys(clients):
        stem = stem_of(name)
        if is_address(name):
            raise CannotBegin(f"--client {name}: an address is no identity: give a DNS name or a URI")
        if stem in {"ca", "access", REGISTRY} or stem in stems:
            raise CannotBegin(
                f"--client {name}: its files would be {stem}.pem, which is another's; choose another name"
            )
        stems[stem] = name
    return stems


def stem_of(name: str) -> str:
    """Name of a client's files.

    >>> stem_of("spiffe://example.org/agents/search")
    'example.org-agents-search'
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", name.partition("://")[2] or name).strip("-.") or "client"


def is_address(name: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _tell(directory: Path, made: dict[str, str]) -> None:
    clients = [stem for stem in made if stem not in {"ca", "access", REGISTRY}]
    print(f"{'authority':<10}{made['ca']}")
    print(f"{'registry':<10}{made[REGISTRY]}")
    print(f"{'grants':<10}{made['access']}")
    for stem in clients:
        print(f"{'client':<10}{made[stem]}")
    at = shlex.quote(str(directory))
    print(
        f"\norion-registry serve --tls-cert-file {at}/registry.pem --tls-key-file {at}/registry-key.pem "
        f"--tls-client-ca-file {at}/ca.pem --access-file {at}/{FILE}"
    )
    if clients:
        one = f"{at}/{clients[0]}"
        print(f"export ORION_CA_FILE={at}/ca.pem ORION_CERT_FILE={one}.pem ORION_KEY_FILE={one}-key.pem")
