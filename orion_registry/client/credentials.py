"""How a client proves itself, and whom it trusts: certificates, as files that may change while it runs."""

import os
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio

from orion_registry.errors import bad_field

FILE_BYTES: Final = 1024 * 1024

Options = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Files in PEM. All empty: plaintext.

    Attributes:
        ca_file: authorities that the registry's certificate must be of; TLS is spoken as soon as it is set.
        cert_file: the client's own certificate, for registries that want to know who calls.
        key_file: its private key.
        server_name: the name that the registry's certificate must have, if it is not that of the address.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            missing = "key_file" if self.cert_file else "cert_file"
            raise bad_field(missing, "given with cert_file and key_file alike", "")
        if self.cert_file and not self.ca_file:
            raise bad_field("ca_file", "given with cert_file: a certificate is shown over TLS alone", "")

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken, but to Unix sockets."""
        return bool(self.ca_file)

    @property
    def files(self) -> tuple[str, ...]:
        """Those that are set."""
        return tuple(name for name in (self.ca_file, self.cert_file, self.key_file) if name)

    def written(self) -> tuple[int, ...]:
        """What tells files that were written anew: another value than before."""
        return tuple(_written(name) for name in self.files)

    def open_channel(self, address: str, options: tuple[tuple[str, int], ...]) -> grpc.aio.Channel:
        """A channel to an address, with the files as they are now.

        Raises:
            InvalidArgument: BAD_FIELD, a file cannot be read.
        """
        if not self.tls or address.startswith(("unix:", "unix-abstract:")):
            return grpc.aio.insecure_channel(address, options=options)
        credentials = grpc.ssl_channel_credentials(
            _read("ca_file", self.ca_file), _read("key_file", self.key_file), _read("cert_file", self.cert_file)
        )
        named: Options = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return grpc.aio.secure_channel(address, credentials, options=(*options, *named))


PLAINTEXT: Final = Credentials()


def resolve_credentials(credentials: Credentials | None) -> Credentials:
    """The credentials meant: as given, else ORION_CA_FILE, ORION_CERT_FILE, ORION_KEY_FILE and ORION_SERVER_NAME.

    A variable that is empty counts as not set.

    Raises:
        InvalidArgument: BAD_FIELD, one is set without another that it needs.
    """
    if credentials is not None:
        return credentials
    said = {name: os.environ.get(f"ORION_{name.upper()}", "") for name in Credentials.__slots__}
    return Credentials(**said) if any(said.values()) else PLAINTEXT


def _read(field: str, path: str) -> bytes | None:
    if not path:
        return None
    try:
        with open(path, "rb") as file:
            return file.read(FILE_BYTES)
    except OSError as error:
        raise bad_field(field, f"a file that can be read ({(error.strerror or str(error)).lower()})", path) from None


def _written(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return -1  # opening a channel tells what is wrong with it
