"""The certificate that the daemon shows, and the authorities of its clients: read, checked, and read again when they
change on disk. What is broken never takes the place of what works.
"""

import logging
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from orion_registry.errors import Said
from orion_registry.server.cluster_settings import ClusterSettings
from orion_registry.server.member_identity import is_issued_by, shown_chain
from orion_registry.server.start_error import SettingError

log = logging.getLogger("orion_registry")

RSA_BITS = 2_048
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
"""What gRPC's TLS serves with; it tells of others on stderr alone, connection by connection."""
WARN_S = 14 * 86_400.0
"""How long before its end a certificate is an alarm."""

_Mark = tuple[tuple[int, int, int], ...]
"""What tells a file that was written anew: inode, size, time of change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one TLS handshake needs.

    Attributes:
        authorities: of clients; None where they show no certificate.
        members: of other members; None = those of clients.
    """

    chain: bytes
    key: bytes = field(repr=False)
    authorities: bytes | None
    members: bytes | None
    ends_wall: float
    mark: _Mark

    @property
    def trusted(self) -> bytes | None:
        """Authorities of all who may connect: clients, and members, who connect as clients do."""
        return b"\n".join((self.authorities, self.members)) if self.authorities and self.members else self.authorities

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """As gRPC takes it."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], root_certificates=self.trusted)


class Certificates:
    """The files of the settings, as they were last found whole."""

    def __init__(self, settings: ClusterSettings) -> None:
        """Reads the files.

        Raises:
            SettingError: one cannot be read or used; it names the setting.
        """
        self._settings = settings
        self._material = _read(settings)
        self._doubted: _Mark | None = None
        self._fault = ""

    def server_credentials(self) -> grpc.ServerCredentials:
        """For one port: each new connection is shown what is valid then. TLS 1.2 or newer, as gRPC has it."""
        handed = self._material

        def news() -> grpc.ServerCertificateConfiguration | None:
            """Asked by gRPC, in a thread of its own, before each handshake; None = nothing new for this port."""
            nonlocal handed
            material = self._material
            if material is handed:
                return None
            handed = material
            return material.configuration

        clients = self._settings.clients_certified
        return grpc.dynamic_ssl_server_credentials(handed.configuration, news, clients)  # type: ignore[arg-type] # may be None, as gRPC documents

    @property
    def material(self) -> Material:
        """As it was last found whole."""
        return self._material

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For calls to other members: they are shown what clients of this one are."""
        material = self._material
        return grpc.ssl_channel_credentials(
            root_certificates=material.members or material.authorities,
            private_key=material.key,
            certificate_chain=material.chain,
        )

    def are_members(self, auth_context: Mapping[str, Iterable[bytes]]) -> bool:
        """Whether a client's certificate is of the members' authority, where they have one of their own."""
        members = self._material.members
        if members is None or not self._settings.clients_certified:
            return True
        return is_issued_by(members, shown_chain(auth_context))

    def look(self, wall_s: float) -> bool:
        """Takes files that have changed, if they are whole and not ended; else goes on with the old ones. Returns
        whether it took any: an authority may be out, and members' calls that it let in with it.

        Files change one after the other: what is wrong is told once it still is at the next look.
        """
        mark = self._seen()
        if mark == self._material.mark:
            self._doubted, self._fault = None, ""
            return False
        try:
            material = _read(self._settings)
            if material.ends_wall <= wall_s:
                rule = "a certificate that has not ended"
                raise SettingError("tls_cert_file", rule, Said(f"one that ended on {_day(material.ends_wall)}"))
        except (SettingError, OSError) as error:
            if mark == self._doubted and not self._fault:
                self._fault = str(error)
                log.warning("new certificate refused, the old one goes on", extra={"error": self._fault})
            elif mark != self._doubted:
                self._doubted, self._fault = mark, ""
            return False
        if material.mark != self._seen():  # they change right now
            return False
        self._material = material
        self._doubted, self._fault = None, ""
        log.info("certificate taken", extra={"ends": _day(material.ends_wall)})
        return True

    def trouble(self, wall_s: float) -> str:
        """What an operator should see to; empty = nothing. wall_s: now, for certificates end by the wall clock."""
        ends = self._material.ends_wall
        if self._fault:
            return f"new files are refused, the old ones go on: {self._fault}"
        if wall_s >= ends:
            return f"the certificate ended on {_day(ends)}: nobody new can connect"
        return f"the certificate ends on {_day(ends)}" if wall_s >= ends - WARN_S else ""

    def _seen(self) -> _Mark:
        try:
            return _mark(self._settings)
        except OSError as error:
            return ((0, 0, error.errno or -1),)  # as good as any other mark: reading tells what is wrong


def _mark(settings: ClusterSettings) -> _Mark:
    found = [
        os.stat(name)
        for name in (
            settings.tls_cert_file,
            settings.tls_key_file,
            settings.tls_client_ca_file,
            settings.member_ca_file,
        )
        if name
    ]
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)


def _read(settings: ClusterSettings) -> Material:
    cert, key = settings.tls_cert_file, settings.tls_key_file
    mark_first = _mark_of_files(settings)
    chain, key_pem = _bytes("tls_cert_file", cert), _bytes("tls_key_file", key)
    leaf = _certificates("tls_cert_file", cert, chain)[0]
    if _public(leaf.public_key()) != _public(_key(key, key_pem).public_key()):
        raise SettingError("tls_key_file", f"the key of the certificate in {cert}", Said(f"another one in {key!r}"))
    if os.stat(key).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        log.warning("others may read the private key: chmod 600", extra={"file": key})
    authorities = _authorities("tls_client_ca_file", settings.tls_client_ca_file)
    members = _authorities("member_ca_file", settings.member_ca_file)
    return Material(
        chain=chain,
        key=key_pem,
        authorities=authorities,
        members=members,
        ends_wall=leaf.not_valid_after_utc.timestamp(),
        mark=mark_first,
    )


def _mark_of_files(settings: ClusterSettings) -> _Mark:
    """Taken before the files are read: one that changes meanwhile is looked at again."""
    try:
        return _mark(settings)
    except OSError:
        return ()  # reading them names the file


def _bytes(name: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1024 * 1024)
    except OSError as error:
        raise SettingError(
            name, "a file that can be read", Said(f"{path!r}: {(error.strerror or '').lower()}")
        ) from None


def _authorities(name: str, path: str) -> bytes | None:
    if not path:
        return None
    found = _bytes(name, path)
    _certificates(name, path, found)
    return found


def _certificates(name: str, path: str, pem: bytes) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(pem)
        found[0].public_key()
        return found
    except (ValueError, UnsupportedAlgorithm):
        raise SettingError(name, "a file of certificates (PEM)", path) from None


def _key(path: str, pem: bytes) -> PrivateKeyTypes:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it is encrypted
        raise SettingError("tls_key_file", "a private key (PEM) that is not encrypted", path) from None
    strong = isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_BITS
    if not strong and not (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES)):
        rule = f"RSA of at least {RSA_BITS:,} bits, or ECDSA on P-256, P-384 or P-521"
        raise SettingError("tls_key_file", rule, path)
    return key


def _public(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _day(wall_s: float) -> str:
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="seconds")
