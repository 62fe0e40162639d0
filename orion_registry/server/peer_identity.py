"""Whom a client's certificate names."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

NAME_MOST = 255
"""Characters of a name (a DNS name has at most 253, a SPIFFE id should have no more)."""

CERTIFICATES_KEPT = 4_096
"""Certificates whose names are at hand; those of others are read anew with each call, which takes 30 us."""


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    r"""The names in a verified client certificate: URIs first, then DNS names; the common name is none.

    They are read out of the certificate itself: gRPC's own list of them (peer_uri, peer_dns) ends a name at its first
    NUL, so that `spiffe://fleet/right` stands there for `spiffe://fleet/right\0.evil` too.
    """
    (pem,) = auth_context.get("x509_pem_cert", (b"",))
    return names_in(pem)


@lru_cache(maxsize=CERTIFICATES_KEPT)
def names_in(pem: bytes) -> tuple[str, ...]:
    """The names in a certificate that can be identities: an identity stands in logs and records.

    Those that are no printable ASCII, or too long, are left out. A certificate whose names nobody can read has none.
    """
    from cryptography import x509  # only those who speak TLS wait for its import

    try:
        extensions = x509.load_pem_x509_certificate(pem).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = (
            *names.get_values_for_type(x509.UniformResourceIdentifier),
            *names.get_values_for_type(x509.DNSName),
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()
    return tuple(name for name in found if is_plain(name.encode(errors="replace")))


def is_plain(name: bytes) -> bool:
    """Whether a name may be an identity: printable ASCII without spaces, and not too long."""
    return 0 < len(name) <= NAME_MOST and all(0x21 <= byte <= 0x7E for byte in name)
