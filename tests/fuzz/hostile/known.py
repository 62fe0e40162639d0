"""A daemon that knows its callers: TLS, client certificates, tokens, and a Unix socket for raw bytes."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orion_registry.client.credentials import Credentials
from tests.fuzz.child import Child
from tests.server.tls import EVERYBODY, Certs, write_access
from tests.server.tokens import Tokens

RIGHT = "spiffe://fleet/right"
OTHER = "spiffe://fleet/other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is fuzzed, and what would be right.

    Attributes:
        child: the daemon's process. address: where it speaks TLS; socket: path of its Unix socket, plaintext.
        certs: its authority. right: credentials of an identity that may do everything.
        tokens: texts that count, by identity: the first of `RIGHT`.
        dead: one that was revoked, and one that has ended.
    """

    child: Child
    address: str
    socket: str
    certs: Certs
    right: Credentials
    tokens: dict[str, str]
    dead: tuple[str, ...]

    def context(self, cert: Path | None, key: Path | None) -> ssl.SSLContext:
        """TLS as a client speaks it, with a certificate or none."""
        context = ssl.create_default_context(cafile=str(self.certs.authority.file))
        context.set_alpn_protocols(["h2"])
        if cert is not None and key is not None:
            context.load_cert_chain(cert, key)
        return context


@asynccontextmanager
async def known(directory: Path) -> AsyncIterator[Known]:
    """Starts one."""
    certs, tokens = Certs(directory, days=90), Tokens(directory / "tokens")
    texts = {identity: tokens.add(identity) for identity in (RIGHT, OTHER)}
    revoked, ended = tokens.add(RIGHT), tokens.add(RIGHT, ttl_s=-1.0)
    tokens.revoke(revoked)
    rules = write_access(directory / "rules.toml", EVERYBODY.replace('"*"', json.dumps(RIGHT), 1))
    settings: dict[str, Any] = {
        **certs.settings,
        "access_file": str(rules),
        "tokens_file": str(tokens.path),
        "listen": ["127.0.0.1:0", f"unix:{directory}/s"],
        **UNLIMITED,
    }
    async with Child(settings) as child:
        yield Known(
            child=child,
            address=child.address,
            socket=f"{directory}/s",
            certs=certs,
            right=certs.client(RIGHT),
            tokens=texts,
            dead=(revoked, ended),
        )


UNLIMITED = {"identity_read_rate": 0, "identity_report_rate": 0}
"""The one identity that is let in is never too fast: a refusal would hide what comes after it."""
