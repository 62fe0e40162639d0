"""tokens_file: what is kept of bearer tokens. JSON, written by `orion-registry token` and read by the daemon."""

import contextlib
import fcntl
import json
import os
import secrets
import stat
import string
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from orion_registry.core import limits
from orion_registry.core.access.rights import Grant
from orion_registry.core.access.tokens import FORM, LIFE_MAX_S, TOKEN_ID, Token, TokenBook
from orion_registry.core.credentials import hash_secret
from orion_registry.core.validation import check_text
from orion_registry.errors import Said
from orion_registry.server.file_rows import (
    IDENTITY_RULE,
    FileError,
    Row,
    read_file,
    read_identity,
    rows_of,
    take_grant,
)

T = TypeVar("T")

NAME: Final = "tokens_file"
FILE_BYTES: Final = 16 * 1024 * 1024
VERSION: Final = 1
_LETTERS: Final = string.ascii_lowercase + string.digits
TIME_RULE: Final = "a date and time as in 2026-11-28T16:00:00Z"
YEARS: Final = range(1970, 2200)
"""Those that a token may be of: a slip that makes one count for ever is refused, a clock that was never set is not."""


def new_token(identity: str, grant: Grant, now_wall: float, life_s: float, note: str = "") -> tuple[str, Token]:
    """A token that nobody has seen before, and what is kept of it."""
    text = f"orion_{''.join(secrets.choice(_LETTERS) for _ in range(12))}_{secrets.token_urlsafe(32)}"
    match = FORM.fullmatch(text)
    assert match is not None
    token = Token(
        token_id=match[1],
        identity=identity,
        secret_hash=hash_secret(text),
        grant=grant,
        created_wall=now_wall,
        expires_wall=now_wall + life_s,
        note=note,
    )
    return text, token


def read_tokens(path: str) -> TokenBook:
    """Reads a tokens file.

    Raises:
        FileError: it cannot be read, or breaks a rule; the message names the row and the field.
    """
    data = read_file(NAME, path, FILE_BYTES)
    try:
        raw = json.loads(data)
    except (UnicodeDecodeError, ValueError, RecursionError):
        raise FileError(f"{NAME}: {path}", "JSON as `orion-registry token` writes it", Said("something else")) from None
    whole = Row(f"{NAME}: {path}", raw)
    whole.take("version", f"{VERSION}: this daemon knows no other", _version)
    tokens = [_token(row) for row in rows_of(f"{NAME}: {path}, token", whole.take("tokens", "a list", _unread))]
    whole.end()
    book = TokenBook(tokens)
    if len(book.tokens) < len(tokens):
        ids = [token.token_id for token in tokens]
        twice = max(ids, key=ids.count)
        raise FileError(f"{NAME}: {path}, id", "different tokens", Said(f"{twice!r} twice"))
    return book


def write_tokens(path: str, tokens: Iterable[Token]) -> None:
    """Puts a file in place of what is there, whole or not at all. It keeps its owner and mode: a daemon of another user
    goes on reading it. A new one only its owner may read.

    Raises:
        FileError: it belongs to somebody to whom it cannot be given back.
        OSError: it cannot be written.
    """
    text = json.dumps({"version": VERSION, "tokens": [show_token(token) for token in tokens]}, indent=1) + "\n"
    folder = os.path.dirname(os.path.abspath(path))
    number, made = tempfile.mkstemp(prefix=".tokens-", dir=folder)  # 0600
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            if os.path.exists(path):
                _give_back(number, path)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise


def _give_back(number: int, path: str) -> None:
    """Gives an open file the owner and mode of the one whose place it takes."""
    there = os.stat(path)
    try:
        os.fchown(number, there.st_uid, there.st_gid)
    except PermissionError:
        rule = f"changed by its owner or root: its new copy cannot be given to {there.st_uid}:{there.st_gid}"
        raise FileError(NAME, rule, Said(f"user {os.geteuid()} for {path!r}")) from None
    os.fchmod(number, stat.S_IMODE(there.st_mode))  # after fchown, which may take bits away


def change_tokens(path: str, change: Callable[[dict[str, Token]], T], *, anew: bool = False) -> T:
    """Changes what a file keeps, and nobody else meanwhile: two who make tokens at once would lose one.

    anew: it is made if it is not there. change: of the tokens by their ids; what it returns is returned.

    Raises:
        FileError: the file is broken, or not there.
        OSError: it cannot be written.
    """
    number = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        tokens = {} if anew and not os.path.exists(path) else dict(read_tokens(path).tokens)
        before = dict(tokens)
        done = change(tokens)
        if tokens != before:
            write_tokens(path, tokens.values())
        return done
    finally:
        os.close(number)


def _token(row: Row) -> Token:
    token = Token(
        token_id=row.take("id", "12 of a-z 0-9", lambda raw: _matching(TOKEN_ID, raw)),
        identity=row.take("identity", IDENTITY_RULE, read_identity),
        secret_hash=row.take("sha256", "64 of 0-9 a-f", lambda raw: _matching(limits.HASH, raw), hidden=True),
        grant=take_grant(row),
        created_wall=row.take("created", TIME_RULE, _read_time),
        expires_wall=row.take("expires", TIME_RULE, _read_time),
        note=take_note(row),
    )
    row.end()
    if token.expires_wall - token.created_wall > LIFE_MAX_S + 1.0:  # each is kept in whole seconds
        rule = f"at most {LIFE_MAX_S / 86_400:,.0f} days after created"
        raise row.error("expires", rule, Said(show_time(token.expires_wall)))
    return token


def show_token(token: Token, *, hashed: bool = True) -> dict[str, Any]:
    """A row as it stands in the file; hashed: with its hash."""
    grant = token.grant
    return {
        "id": token.token_id,
        "identity": token.identity,
        **({"sha256": token.secret_hash} if hashed else {}),
        "roles": sorted(grant.roles),
        "namespaces": list(grant.namespaces),
        "capabilities": list(grant.capabilities),
        "created": show_time(token.created_wall),
        "expires": show_time(token.expires_wall),
        **({"note": token.note} if token.note else {}),
    }


def show_time(wall_s: float) -> str:
    """Seconds since 1970 as a date and time."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _read_time(raw: object) -> float:
    if not isinstance(raw, str):
        raise TypeError("no text")
    found = datetime.fromisoformat(raw)
    if found.tzinfo is None:
        raise ValueError("of no time zone")
    if found.year not in YEARS:
        raise ValueError("another year")
    return found.timestamp()


def _unread(raw: object) -> object:
    return raw


def _version(raw: object) -> int:
    if type(raw) is not int or raw != VERSION:  # 1.0 and true are equal to 1
        raise ValueError("another version")
    return VERSION


def _matching(form: Any, raw: object) -> str:
    if not isinstance(raw, str) or not form.fullmatch(raw):
        raise ValueError("another form")
    return raw


def take_note(row: Row) -> str:
    """The field for people.

    Raises:
        FileError: it is too long, or cannot be printed.
    """
    return row.take("note", f"at most {limits.NOTE} printable characters", _note, "")


def _note(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError("no text")
    return check_text("note", raw, limits.NOTE)
