"""Whose certificate counts as a member's, where members have an authority of their own."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from orion_registry.server.member_identity import is_issued_by, shown_chain


class Signed:
    """A certificate with its key, which may sign others whether it is an authority or not."""

    def __init__(self, name: str, by: "Signed | None" = None, *, authority: bool = True) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = by or self
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(self.name).issuer_name(issuer.name).public_key(self.key.public_key()).serial_number(1)
            .not_valid_before(now).not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )  # fmt: skip
        self.pem = made.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM)


ROOT, CLIENTS = Signed("members"), Signed("clients")
MIDDLE = Signed("middle", ROOT)
MEMBER, AGENT = Signed("m1", ROOT, authority=False), Signed("agent", CLIENTS, authority=False)
DEEP = Signed("m2", MIDDLE, authority=False)
FORGED = Signed("forged", MEMBER, authority=False)
NAMESAKE = Signed("m1", Signed("members"), authority=False)


@pytest.mark.parametrize(
    ("chain", "is_one"),
    [
        (MEMBER.pem, True),
        (DEEP.pem + MIDDLE.pem, True),
        (DEEP.pem, False),
        (AGENT.pem, False),
        (AGENT.pem + MEMBER.pem, False),
        (FORGED.pem + MEMBER.pem, False),
        (NAMESAKE.pem, False),
        (b"", False),
        (b"rubbish", False),
    ],
    ids=[
        "a member's", "through another authority", "which is not shown", "an agent's", "an agent's beside a member's",
        "signed by a member", "of an authority that has the same name", "none", "rubbish",
    ],
)  # fmt: skip
def test_who_is_a_member(chain: bytes, is_one: bool) -> None:
    assert is_issued_by(ROOT.pem, chain) is is_one
    assert is_issued_by(CLIENTS.pem + ROOT.pem, chain) is (is_one or chain.startswith(AGENT.pem))


def test_a_chain_is_what_the_client_showed() -> None:
    assert shown_chain({"x509_pem_cert": [b"leaf"], "x509_pem_cert_chain": [b"leaf and more"]}) == b"leaf and more"
    assert shown_chain({"x509_pem_cert": [b"leaf"]}) == b"leaf"
    assert shown_chain({}) == b""
