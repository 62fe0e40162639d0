"""Certificates of a throw-away authority, and daemons that show them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from orion_registry.client.credentials import Credentials
from orion_registry.server.daemon import Daemon
from orion_registry.server.development_ca import DevelopmentAuthority
from orion_registry.testing.daemon import running_daemon

NAMES = ("localhost", "127.0.0.1", "::1")


EVERYBODY = '[[grant]]\nidentity = "*"\nroles = ["agent", "caller", "operator", "viewer"]\nnamespaces = ["*"]\n'
"""For access_file: every identity may do everything."""


def write_access(path: Path, text: str) -> Path:
    """Writes an access file, unless it says so already."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


class Certs:
    """An authority in a directory, with a certificate for a registry."""

    def __init__(self, directory: Path, days: int = 2) -> None:
        self.authority = DevelopmentAuthority(directory, days)
        self.server_cert, self.server_key = self.authority.issue("registry", NAMES)

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of `Settings`: TLS, clients show certificates, and whoever has one may do everything."""
        return {
            "access_file": str(write_access(self.authority.directory / "access.toml", EVERYBODY)),
            "tls_cert_file": str(self.server_cert),
            "tls_key_file": str(self.server_key),
            "tls_client_ca_file": str(self.authority.file),
        }

    def client(self, name: str, stem: str = "", ca: Path | None = None) -> Credentials:
        """The credentials of a client with a certificate of this authority."""
        cert, key = self.authority.issue(stem or name.rpartition("/")[2], [name])
        return Credentials(ca_file=str(ca or self.authority.file), cert_file=str(cert), key_file=str(key))


@asynccontextmanager
async def running_tls(certs: Certs, **overrides: Any) -> AsyncIterator[Daemon]:
    """A daemon with mTLS on a free port."""
    async with running_daemon(**{**certs.settings, **overrides}) as daemon:
        yield daemon
