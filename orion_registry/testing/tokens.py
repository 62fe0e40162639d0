"""A file of tokens for a daemon in a test: `running_daemon(tokens_file=str(tokens.path))`."""

from collections.abc import Sequence
from pathlib import Path

from orion_registry.core.access.rights import Grant, Role
from orion_registry.core.access.tokens import Token
from orion_registry.runtime.clock import SystemClock
from orion_registry.server.tokens_file import new_token, write_tokens

ROLES = tuple(Role)


class Tokens:
    """A tokens file, and the texts of what is in it."""

    def __init__(self, path: Path) -> None:
        """path: where the file is made."""
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
        """Makes a token, by default for everything everywhere; returns its text, for `Credentials(token=...)`."""
        grant = Grant(roles=frozenset(roles), namespaces=tuple(namespaces), capabilities=tuple(capabilities))
        text, token = new_token(identity, grant, SystemClock().now().wall, ttl_s)
        self.rows.append(token)
        self.write()
        return text

    def revoke(self, text: str) -> None:
        """Takes a token away; a daemon hears of it within a second."""
        self.rows = [row for row in self.rows if row.token_id != text[6:18]]
        self.write()

    def write(self) -> None:
        """Writes the file."""
        write_tokens(str(self.path), self.rows)
