"""Whether a certificate is of the members' own authority, where they have one: agents' certificates are not."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from orion_registry.server.peer_identity import CERTIFICATES_KEPT

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CHAIN_MOST = 8
"""Certificates of a chain that are looked at; gRPC takes longer ones, nobody has them."""


def shown_chain(auth_context: Mapping[str, Iterable[bytes]]) -> bytes:
    """The certificate that a client showed (PEM), those of its issuers after it."""
    (leaf,) = auth_context.get("x509_pem_cert", (b"",))
    (chain,) = auth_context.get("x509_pem_cert_chain", (leaf,))
    return chain or leaf


@lru_cache(maxsize=CERTIFICATES_KEPT)
def is_issued_by(authorities: bytes, chain: bytes) -> bool:
    """Whether one of these authorities issued a certificate, itself or through others that are shown with it (PEM).

    gRPC has verified the certificate already, against all authorities that the daemon trusts: this tells them apart.
    """
    from cryptography import x509  # only those who speak TLS wait for its import

    try:
        trusted = x509.load_pem_x509_certificates(authorities)
        leaf, *issuers = x509.load_pem_x509_certificates(chain)[:CHAIN_MOST]
    except ValueError:
        return False
    for issuer in (*issuers, None):
        if any(_issued(one, leaf) for one in trusted):
            return True
        if issuer is None or not _is_authority(issuer) or not _issued(issuer, leaf):
            return False
        leaf = issuer
    return False


def _is_authority(certificate: "Certificate") -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.ExtensionNotFound):
        return False


def _issued(issuer: "Certificate", certificate: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
