"""A certificate authority in a directory, for development: certificates that the daemon and its clients can show.

ECDSA P-256, as fast as TLS gets. For production take the authority that the fleet has (SPIRE, cert-manager, step-ca).
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from orion_registry.errors import bad_field
from orion_registry.server.peer_identity import is_plain

SKEW = timedelta(minutes=5)
"""Certificates are valid from a little before they are made: clocks differ."""


class DevelopmentAuthority:
    """`ca.pem` and `ca-key.pem` in a directory, made when they are not there; beside them what it issued."""

    def __init__(self, directory: Path, days: int) -> None:
        """Opens it, or makes it. days: how long what it makes is valid.

        Raises:
            OSError: the directory or a file cannot be used.
            ValueError: what is there is no authority.
        """
        self.directory = directory
        self.file = directory / "ca.pem"
        self._days = timedelta(days=days)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.file.exists():
            self._certificate = x509.load_pem_x509_certificate(self.file.read_bytes())
            key = load_pem_private_key((directory / "ca-key.pem").read_bytes(), password=None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError("not a key that this command made")
            self._key, self.is_new = key, False
        else:
            self._key, self.is_new = ec.generate_private_key(ec.SECP256R1()), True
            self._certificate = self._sign_itself()
            _write(directory / "ca-key.pem", _pem(self._key), 0o600)
            _write(self.file, self._certificate.public_bytes(Encoding.PEM), 0o644)

    def issue(self, stem: str, names: Sequence[str]) -> tuple[Path, Path]:
        """Makes STEM.pem and STEM-key.pem for some names (DNS, IP address or URI each); whatever was there is replaced.

        Raises:
            InvalidArgument: BAD_FIELD, a name is none of these.
            OSError: a file cannot be written.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            _builder(stem, key, now - SKEW, now + self._days)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(_usages(), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )
        cert_file, key_file = self.directory / f"{stem}.pem", self.directory / f"{stem}-key.pem"
        _write(key_file, _pem(key), 0o600)
        _write(cert_file, certificate.public_bytes(Encoding.PEM), 0o644)
        return cert_file, key_file

    def issued(self) -> dict[str, list[str]]:
        """What is there besides the authority: the names of each certificate, by the stem of its files.

        Raises:
            OSError: a file cannot be read.
            ValueError: it is no certificate with names.
        """
        found = {}
        for key_file in sorted(self.directory.glob("*-key.pem")):
            stem = key_file.name.removesuffix("-key.pem")
            if stem != "ca":
                certificate = x509.load_pem_x509_certificate((self.directory / f"{stem}.pem").read_bytes())
                found[stem] = _names(certificate)
        return found

    def _sign_itself(self) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = _builder("Orion Registry development CA", self._key, now - SKEW, now + self._days)
        return (
            builder.issuer_name(_name("Orion Registry development CA"))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_may_sign(), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, SHA256())
        )


def _builder(name: str, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _usages() -> x509.ExtendedKeyUsage:
    """Both: an agent serves, and calls the registry."""
    return x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


def _may_sign() -> x509.KeyUsage:
    """What an authority must say it may (RFC 5280 4.2.1.9): Python 3.13 and newer refuse one that does not."""
    others = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(key_cert_sign=True, crl_sign=True, **others)


def _general_name(name: str) -> x509.GeneralName:
    if not is_plain(name.encode("utf-8", "replace")):
        raise bad_field("name", "1 to 255 printable ASCII characters: DNS name, IP address or URI", name)
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise ValueError("a certificate without names") from None
    return [str(name.value) for name in names]


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all: a daemon may be looking at the file."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)
