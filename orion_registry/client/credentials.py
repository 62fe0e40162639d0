"""How a client proves itself, and whom it trusts: certificates and tokens, as files that may change while it runs."""

import os
from dataclasses import dataclass, field
from typing import Final

import grpc
import grpc.aio

from orion_registry.client.bearer import Bearer, BearingChannel, check_token, is_private
from orion_registry.errors import Said, bad_field

FILE_BYTES: Final = 1024 * 1024

Options = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Files in PEM, and a token. All empty: plaintext, as nobody in particular.

    Attributes:
        ca_file: authorities that the registry's certificate must be of; TLS is spoken as soon as it is set.
        cert_file: the client's own certificate, for registries that want to know who calls.
        key_file: its private key.
        server_name: the name that the registry's certificate must have, if it is not that of the address.
        token: a bearer token, for registries that know callers by tokens. Better in a file.
        token_file: a file that holds it, read anew whenever it has changed: so tokens are replaced in running programs.
        insecure_token: send it in plaintext to other machines, too: whoever can read it on its way can use it.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    insecure_token: bool = False

    def __post_init__(self) -> None:
        if bool(self.cert_file) != bool(self.key_file):
            missing = "key_file" if self.cert_file else "cert_file"
            raise bad_field(missing, "given with cert_file and key_file alike", "")
        if self.cert_file and not self.ca_file:
            raise bad_field("ca_file", "given with cert_file: a certificate is shown over TLS alone", "")
        if self.token and self.token_file:
            raise bad_field("token", "given without token_file", Said("both"))
        if self.token:
            check_token("token", self.token)

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken, but to Unix sockets."""
        return bool(self.ca_file)

    @property
    def bears_token(self) -> bool:
        """Whether its calls carry a token."""
        return bool(self.token or self.token_file)

    @property
    def files(self) -> tuple[str, ...]:
        """Those that a connection is made of, as far as they are set."""
        return tuple(name for name in (self.ca_file, self.cert_file, self.key_file) if name)

    def written(self) -> tuple[int, ...]:
        """What tells files that were written anew: another value than before."""
        return tuple(_written(name) for name in self.files)

    def token_written(self) -> int:
        """The same for the file of the token."""
        return _written(self.token_file) if self.token_file else 0

    def open_channel(self, address: str, options: tuple[tuple[str, int], ...]) -> grpc.aio.Channel:
        """A channel to an address, with the files as they are now.

        Raises:
            InvalidArgument: BAD_FIELD, a file cannot be read, or a token would go where others can read it.
        """
        if not self.bears_token:
            return self._open(address, options)
        if not (self.tls or self.insecure_token or is_private(address)):
            message = "sent over TLS (set ca_file), or with insecure_token where you trust the way"
            raise bad_field("token", message, Said(f"plaintext to {address}"))
        try:
            bearer = Bearer(self.token, self.token_file)
        except (OSError, UnicodeDecodeError) as error:
            why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "no text"
            raise bad_field("token_file", f"a file that can be read ({why})", self.token_file) from None
        return BearingChannel(self._open(address, options), bearer)

    def _open(self, address: str, options: tuple[tuple[str, int], ...]) -> grpc.aio.Channel:
        if not self.tls or address.startswith(("unix:", "unix-abstract:")):
            return grpc.aio.insecure_channel(address, options=options)
        credentials = grpc.ssl_channel_credentials(
            _read("ca_file", self.ca_file), _read("key_file", self.key_file), _read("cert_file", self.cert_file)
        )
        named: Options = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return grpc.aio.secure_channel(address, credentials, options=(*options, *named))


PLAINTEXT: Final = Credentials()


def resolve_credentials(credentials: Credentials | None) -> Credentials:
    """The credentials meant: as given, else those of the environment: ORION_CA_FILE, ORION_CERT_FILE, ORION_KEY_FILE,
    ORION_SERVER_NAME, ORION_TOKEN, ORION_TOKEN_FILE, and ORION_INSECURE_TOKEN=1.

    A variable that is empty counts as not set.

    Raises:
        InvalidArgument: BAD_FIELD, one is set without another that it needs, or two that exclude each other.
    """
    if credentials is not None:
        return credentials
    said = {name: os.environ.get(f"ORION_{name.upper()}", "") for name in _TEXTS}
    insecure = os.environ.get("ORION_INSECURE_TOKEN", "")
    if insecure not in ("", "0", "1"):
        raise bad_field("ORION_INSECURE_TOKEN", "1 or 0", insecure)
    return Credentials(**said, insecure_token=insecure == "1") if any(said.values()) else PLAINTEXT


_TEXTS: Final = tuple(name for name in Credentials.__slots__ if name != "insecure_token")


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
