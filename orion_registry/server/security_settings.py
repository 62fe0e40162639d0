"""What an operator may set of who can listen in, and who is let in: the part of `Settings` about certificates."""

from dataclasses import dataclass

from orion_registry.server.check_settings import CheckSettings
from orion_registry.server.setting_kinds import path
from orion_registry.server.setting_rows import setting

_GROUP = "Security"
_RELOADED = "A new file in its place is taken within 2 s; connections that are open go on."


@dataclass(frozen=True, slots=True, kw_only=True)
class SecuritySettings(CheckSettings):
    """Fields of `Settings`; see there."""

    tls_cert_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: plaintext",
        meaning="Certificate that the daemon shows (PEM, its chain after it): TLS on every TCP address.",
        trade_off=f"{_RELOADED} Unix sockets stay plaintext: they do not leave the machine.",
    )
    tls_key_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none",
        meaning="Private key of tls_cert_file (PEM, not encrypted).",
        trade_off="Whoever reads it can pass for the registry: only its owner should.",
    )
    tls_client_ca_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: clients show no certificate",
        meaning=(
            "Authorities (PEM) of which every client must show a certificate. Its first URI (such as a SPIFFE id), "
            "else its first DNS name, is the client's identity."
        ),
        trade_off=(
            f"{_RELOADED} Whoever these authorities certify may call: give the registry authorities of its own. A "
            "service belongs to the identity that registered it."
        ),
    )

    @property
    def tls(self) -> bool:
        """Whether TCP addresses speak TLS."""
        return bool(self.tls_cert_file)

    @property
    def clients_identified(self) -> bool:
        """Whether everybody who calls over TCP has an identity."""
        return self.tls and bool(self.tls_client_ca_file)
