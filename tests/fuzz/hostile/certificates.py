"""Client certificates that are odd, and TLS that is garbage."""

import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.fuzz.hostile.known import RIGHT

Uri, Dns = x509.UniformResourceIdentifier, x509.DNSName
DAY = timedelta(days=1)
_RAW: Callable[[type[Any], str], Any] = lambda kind, text: kind._init_without_validation(text)  # noqa: E731 - names that the library refuses to make


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """A certificate and its key, and what is odd about it."""

    what: str
    cert: Path
    key: Path


def odd_certificates(directory: Path) -> list[Odd]:
    """Makes them all; none of them may let its bearer do anything."""
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    key: Any = load_pem_private_key((directory / "ca-key.pem").read_bytes(), password=None)
    client = [ExtendedKeyUsageOID.CLIENT_AUTH]
    names: dict[str, Sequence[x509.GeneralName] | None] = {
        "no name at all": None,
        "an empty URI": [_RAW(Uri, "")],
        "a name of 60,000": [Uri("spiffe://fleet/" + "a" * 60_000)],
        "1,000 names": [Dns(f"n{number}.example") for number in range(1_000)],
        "control characters": [_RAW(Uri, RIGHT + "\n")],
        "a NUL": [_RAW(Uri, RIGHT + "\x00.evil")],
        "a NUL before": [_RAW(Dns, "\x00" + RIGHT)],
        "upper case": [Uri(RIGHT.upper())],
        "a trailing slash": [Uri(RIGHT + "/")],
        "percent": [Uri("spiffe://fleet/r%69ght")],
        "a prefix": [Uri(RIGHT[:-1])],
        "longer": [Uri(RIGHT + "s")],
        "only an IP address": [x509.IPAddress(__import__("ipaddress").ip_address("127.0.0.1"))],
        "only an e-mail address": [x509.RFC822Name("right@fleet.example")],
        "the right name second": [Uri("spiffe://fleet/first"), Uri(RIGHT)],
        "the right name as DNS, after a URI": [Uri("spiffe://fleet/first"), _RAW(Dns, RIGHT)],
        "an asterisk": [_RAW(Dns, "*")],
        "a directory name": [x509.DirectoryName(_subject(RIGHT))],
    }
    make = _Maker(directory, authority.subject, key)
    found = [make(what, san, usage=client) for what, san in names.items()]
    right = [Uri(RIGHT)]
    now = datetime.now(UTC)
    stranger = ec.generate_private_key(ec.SECP256R1())
    found += [
        make("expired", right, usage=client, begins=now - 9 * DAY, ends=now - DAY),
        make("not valid yet", right, usage=client, begins=now + DAY, ends=now + 9 * DAY),
        make("for servers", right, usage=[ExtendedKeyUsageOID.SERVER_AUTH]),
        make("for code", right, usage=[ExtendedKeyUsageOID.CODE_SIGNING]),
        make("of another authority of the same name", right, usage=client, signer=stranger),
        make("signed by itself", right, usage=client, itself=True),
        make("the right name as common name alone", None, usage=client, common=RIGHT[:64]),
    ]
    return found


@dataclass(slots=True)
class _Maker:
    directory: Path
    issuer: x509.Name
    key: Any
    made: int = 0

    def __call__(
        self,
        what: str,
        names: Sequence[x509.GeneralName] | None,
        *,
        usage: Sequence[x509.ObjectIdentifier],
        begins: datetime | None = None,
        ends: datetime | None = None,
        signer: Any = None,
        itself: bool = False,
        common: str = "odd",
    ) -> Odd:
        """Makes one."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = _subject(common)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if itself else self.issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - DAY)
            .not_valid_after(ends or now + DAY)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(key if itself else signer or self.key, SHA256())
        self.made += 1
        cert_file, key_file = (self.directory / f"odd-{self.made}{end}.pem" for end in ("", "-key"))
        cert_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Odd(what=what, cert=cert_file, key=key_file)


def _subject(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def client_hello() -> bytes:
    """What TLS begins with."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError


def garbled(rng: random.Random, hello: bytes) -> bytes:
    """Records that are none, or nearly a hello."""
    data = bytearray(hello)
    match rng.randrange(5):
        case 0:
            return rng.randbytes(rng.randrange(1, 400))
        case 1:
            return bytes(data[: rng.randrange(1, len(data))])
        case 2:  # the lengths of the record and of the handshake lie
            data[rng.choice((3, 4, 6, 7, 8))] = rng.randrange(256)
        case 3:  # an alert, application data, a change of cipher: before any hello
            body = rng.randbytes(rng.randrange(40))
            return bytes((rng.choice((20, 21, 23, 24, 22)), 3, rng.randrange(5))) + len(body).to_bytes(2, "big") + body
        case _:
            for _ in range(rng.randrange(1, 20)):
                data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)
