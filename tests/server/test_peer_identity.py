"""Whom a client's certificate names: what stands in it, not what gRPC makes of that."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from orion_registry.server.peer_identity import NAME_MOST, certificate_names, names_in

URI, DNS = x509.UniformResourceIdentifier, x509.DNSName
CALC = "spiffe://fleet/calc"


def odd(kind: type[x509.GeneralName], text: str) -> x509.GeneralName:
    """A name as a careless authority may sign it."""
    return kind._init_without_validation(text)  # type: ignore[attr-defined, no-any-return]


def certificate(*names: x509.GeneralName) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    now, name = datetime.now(UTC), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "common")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(days=1))
    )  # fmt: skip
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    ("names", "identities"),
    [
        ((DNS("calc"), URI(CALC)), (CALC, "calc")),
        ((odd(URI, CALC + "\x00.evil"),), ()),
        ((odd(URI, CALC + "\x00.evil"), DNS("calc")), ("calc",)),
        ((odd(DNS, "\x00calc"), odd(DNS, "a\n"), odd(DNS, "a b"), DNS("")), ()),
        ((URI("spiffe://" + "a" * NAME_MOST),), ()),
        ((x509.RFC822Name("calc@fleet"),), ()),
        ((), ()),
    ],
)
def test_a_name_counts_as_it_stands_or_not_at_all(
    names: tuple[x509.GeneralName, ...], identities: tuple[str, ...]
) -> None:
    """A name that gRPC cuts at its NUL is nobody, and surely not somebody else."""
    assert certificate_names({"x509_pem_cert": [certificate(*names)], "peer_uri": [CALC.encode()]}) == identities


@pytest.mark.parametrize("pem", [b"", b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_names_nobody(pem: bytes) -> None:
    assert names_in(pem) == ()
    assert certificate_names({"peer_uri": [CALC.encode()]}) == ()
