"""Whom a client's certificate names."""

from collections.abc import Iterable, Mapping

NAME_MOST = 255
"""Characters of a name (a DNS name has at most 253, a SPIFFE id should have no more)."""


def certificate_names(auth_context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    r"""The names in a verified client certificate: URIs first, then DNS names; the common name is none.

    Names that are no printable ASCII, or too long, are left out: an identity stands in logs and records.

    >>> certificate_names({"peer_dns": [b"calc"], "peer_uri": [b"spiffe://fleet/calc", b"a\n"]})
    ('spiffe://fleet/calc', 'calc')
    """
    return tuple(
        name.decode("ascii") for key in ("peer_uri", "peer_dns") for name in auth_context.get(key, ()) if is_plain(name)
    )


def is_plain(name: bytes) -> bool:
    """Whether a name may be an identity: printable ASCII without spaces, and not too long."""
    return 0 < len(name) <= NAME_MOST and all(0x21 <= byte <= 0x7E for byte in name)
