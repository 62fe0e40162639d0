"""Where etcd is, and how it is spoken to."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdConfig:
    """Endpoints, certificates, name. Files are read when a connection is made, so new ones are taken with the next.

    Attributes:
        endpoints: HOST:PORT of each node, tried in turn.
        ca_file: authorities (PEM) that etcd's certificate must come from; empty = plaintext.
        cert_file, key_file: the certificate that we show, and its key (PEM); empty = none.
        user, password: who we are, where etcd wants a name.
        password_file: has the password, read with each login, so a new one is taken with the next; empty = `password`.
        timeout_s: how long one call may take. Longer than an election (1 s by etcd's defaults), or writes are left
            open that would have been answered.
        connect_s: how long one endpoint may take to be connected to before the next one is tried.
    """

    endpoints: tuple[str, ...]
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    timeout_s: float = 2.0
    connect_s: float = 1.0

    def credentials(self) -> grpc.ChannelCredentials | None:
        """What a connection is made with; None = plaintext.

        Raises:
            OSError: a file cannot be read.
        """
        if not self.ca_file:
            return None
        return grpc.ssl_channel_credentials(
            root_certificates=Path(self.ca_file).read_bytes(),
            private_key=Path(self.key_file).read_bytes() if self.key_file else None,
            certificate_chain=Path(self.cert_file).read_bytes() if self.cert_file else None,
        )

    def secret(self) -> str:
        """The password. Raises OSError: its file cannot be read."""
        return Path(self.password_file).read_text().strip() if self.password_file else self.password

    def written(self) -> tuple[int, ...]:
        """When the files were written last, in ns; tells that they are others now."""
        names = (self.ca_file, self.cert_file, self.key_file)
        return tuple(os.stat(name).st_mtime_ns for name in names if name and os.path.exists(name))
