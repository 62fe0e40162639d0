"""`orion-registry token create|list|revoke`: bearer tokens, in the file that the daemon reads them from."""

import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from orion_registry.cli.group import Group
from orion_registry.cli.outcome import EXIT_FAILED, CannotBegin, opened, run
from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.cli.span import SPAN
from orion_registry.cli.table import Cell, table
from orion_registry.core import limits
from orion_registry.core.access.rights import Role
from orion_registry.core.access.tokens import LIFE_MAX_S, LIFE_S, Token
from orion_registry.runtime.clock import SystemClock

T = TypeVar("T")

_CODES = """\
\b
Exit codes: 0 done, 1 there is no such token, 2 it could not begin (wrong usage, FILE cannot
be used). One line on stderr says why.
"""

_CREATE = """\
Make a token, and print it: once, on stdout, and nowhere else; FILE keeps its hash.

A token says who its bearer is, and what it may do: roles in namespaces, and the capabilities that its services may
claim. A daemon that runs with --tokens-file FILE takes it within a second.

\b
Examples:
  umask 077; export ORION_TOKENS_FILE=tokens.json
  orion-registry token create --identity calc --role agent > calc.token
  orion-registry token create --identity ops --role operator --role viewer --namespace '*' --ttl 8h
  orion-registry token create --identity pay --role agent --namespace payments --capability 'payments.*'

\b
Roles: agent (offers services), caller (selects them), viewer (reads what there is),
operator (drains, removes, saves, sees the audit chain). docs/security.md tells what each may call.
Clients take it from a file: ORION_TOKEN_FILE=calc.token, or --token-file.

"""

_LIST = """\
List the tokens in FILE: whose they are, what they may do, and when they end. Not the tokens: FILE does not have them.

\b
Examples:
  orion-registry token list --tokens-file tokens.json
  orion-registry token list --json | jq -r '.[] | select(.ended) | .id'

"""

_REVOKE = """\
Take tokens away, by their ids. A running daemon refuses them within a second, and ends their open streams.

To replace one without an interruption: make a second for the same identity, give it to the client, then revoke the
first.

\b
Examples:
  orion-registry token revoke 4f2kq81mxa0c

"""

FILE = click.option(
    "--tokens-file",
    "path",
    metavar="FILE",
    envvar="ORION_TOKENS_FILE",
    required=True,
    help="The file of tokens; create makes it if it is not there.  [env: ORION_TOKENS_FILE]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(cls=Group, short_help="Make, list and revoke bearer tokens.")
def token() -> None:
    """Bearer tokens: who a caller is and what it may do, where no certificate says so."""


@token.command(help=_CREATE + _CODES, short_help="Make a token and print it, once.")
@click.option("--identity", required=True, metavar="NAME", help="Whom it names: a service belongs to who registers it.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What may be done.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    default=("default",),
    show_default=True,
    metavar="NAME",
    help="Where; '*' for everywhere.",
)
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    default=("*",),
    show_default=True,
    metavar="NAME",
    help="What its services may claim; 'payments.*' for all that begin so.",
)
@click.option("--ttl", "ttl_s", type=SPAN, default=LIFE_S, metavar="SPAN", help="How long it counts.  [default: 90d]")
@click.option("--note", default="", metavar="TEXT", help="What it is for.")
@FILE
@JSON
def create(path: str, as_json: bool, **wanted: Any) -> int:
    """See `_CREATE`."""
    return run(_create(path, as_json, wanted))


@token.command("list", help=_LIST + _CODES, short_help="List tokens: whose, what for, until when.")
@FILE
@JSON
def list_(path: str, as_json: bool) -> int:
    """See `_LIST`."""
    return run(_list(path, as_json))


@token.command(help=_REVOKE + _CODES, short_help="Take tokens away.")
@click.argument("token_ids", metavar="ID...", nargs=-1, required=True)
@FILE
@JSON
def revoke(path: str, as_json: bool, token_ids: tuple[str, ...]) -> int:
    """See `_REVOKE`."""
    return run(_revoke(path, as_json, token_ids))


async def _create(path: str, as_json: bool, wanted: dict[str, Any]) -> None:
    from orion_registry.server.tokens_file import change_tokens, show_token

    text, made = _made(wanted)
    _usable(lambda: change_tokens(path, lambda tokens: tokens.update({made.token_id: made}), anew=True))
    if as_json:
        print(json.dumps({**show_token(made, hashed=False), "token": text}))
    else:
        print(text)
    until = show_time(made.expires_wall, "seconds")
    print(
        f"token {made.token_id} of {made.identity} counts until {until}; it is shown this once: keep it in a file that "
        "only its user may read (ORION_TOKEN_FILE)",
        file=sys.stderr,
    )


def _made(wanted: dict[str, Any]) -> tuple[str, Token]:
    """A new token, and what is kept of it.

    Raises:
        CannotBegin: something asked for breaks its rule.
    """
    from orion_registry.server.file_rows import IDENTITY_RULE, Row, read_identity, take_grant
    from orion_registry.server.start_error import StartError
    from orion_registry.server.tokens_file import new_token, take_note

    if not 0 < wanted["ttl_s"] <= LIFE_MAX_S:
        raise CannotBegin(
            f"--ttl: must be more than 0s and at most {LIFE_MAX_S / 86_400:.0f}d, got {wanted['ttl_s']:g}s"
        )
    row = Row("token", {name: list(value) if isinstance(value, tuple) else value for name, value in wanted.items()})
    try:
        identity, grant = row.take("identity", IDENTITY_RULE, read_identity), take_grant(row)
        return new_token(identity, grant, SystemClock().now().wall, wanted["ttl_s"], take_note(row))
    except StartError as error:
        raise CannotBegin(str(error)) from None


async def _list(path: str, as_json: bool) -> None:
    from orion_registry.server.tokens_file import show_token

    now, paint = SystemClock().now().wall, Paint()
    tokens = sorted(_read(path).values(), key=lambda one: (one.identity, one.expires_wall))
    if as_json:
        print(json.dumps([{**show_token(one, hashed=False), "ended": one.has_ended(now)} for one in tokens]))
        return
    header = ("id", "identity", "roles", "namespaces", "capabilities", "ends", "note")
    for line in table(header, [_row(one, now) for one in tokens], paint):
        print(line)


def _row(one: Token, now: float) -> tuple[Cell, ...]:
    left = one.expires_wall - now
    ends: Cell = ("ended", "red") if left <= 0 else f"in {show_span(left)}"
    grant = one.grant
    words = (sorted(grant.roles), grant.namespaces, grant.capabilities)
    return (one.token_id, one.identity, *(" ".join(each) for each in words), ends, one.note)


async def _revoke(path: str, as_json: bool, token_ids: tuple[str, ...]) -> int:
    from orion_registry.server.tokens_file import change_tokens

    def take(tokens: dict[str, Token]) -> list[str]:
        return [one for one in dict.fromkeys(token_ids) if tokens.pop(one, None) is not None]

    revoked = _usable(lambda: change_tokens(path, take))
    missing = [one for one in token_ids if one not in revoked]
    if as_json:
        print(json.dumps({"revoked": revoked, "missing": len(missing)}))
    elif revoked:
        print(f"revoked {plural(len(revoked), 'token')}: {' '.join(revoked)}")
    if not missing:
        return 0
    shown = [one if limits.ID.fullmatch(one) and len(one) <= 12 else "(no id)" for one in missing]
    print(f"orion-registry: no such token in {path}: {' '.join(shown)}", file=sys.stderr)
    return EXIT_FAILED


def _read(path: str) -> dict[str, Token]:
    from orion_registry.server.tokens_file import read_tokens

    return _usable(lambda: dict(read_tokens(path).tokens))


def _usable(use: Callable[[], T]) -> T:
    """Uses the file.

    Raises:
        CannotBegin: it cannot be read, written, or made sense of.
    """
    from orion_registry.server.start_error import StartError

    try:
        return opened(use)
    except StartError as error:
        raise CannotBegin(str(error)) from None
