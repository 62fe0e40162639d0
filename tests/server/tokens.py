"""Tokens and files of them, for tests."""

import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from orion_registry.core.access.rights import Grant, Role
from orion_registry.core.access.tokens import Token
from orion_registry.core.credentials import hash_secret
from orion_registry.server.tokens_file import write_tokens

ROLES = tuple(Role)


class Tokens:
    """A tokens file, and the texts of what is in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Token] = []
        self.write()

    def add(
        self,
        identity: str,
        roles: Sequence[Role] = ROLES,
        namespaces: Sequence[str] = ("*",),
        capabilities: Sequence[str] = ("*",),
        ttl_s: float = 3_600.0,
    ) -> str:
        """Makes a token; returns its text."""
        text = f"orion_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"
        now = time.time()
        token = Token(
            token_id=text[6:18],
            identity=identity,
            secret_hash=hash_secret(text),
            grant=Grant(roles=frozenset(roles), namespaces=tuple(namespaces), capabilities=tuple(capabilities)),
            created_wall=now,
            expires_wall=now + ttl_s,
        )
        self.rows.append(token)
        self.write()
        return text

    def revoke(self, text: str) -> None:
        """Takes a token away."""
        self.rows = [row for row in self.rows if row.token_id != text[6:18]]
        self.write()

    def write(self) -> None:
        """Writes the file."""
        write_tokens(str(self.path), self.rows)


def bearer(text: str) -> tuple[tuple[str, str], ...]:
    """Metadata of a call that shows a token."""
    return (("authorization", f"Bearer {text}"),)
