"""What an operator may set of who can listen in, and who is let in: certificates, tokens and grants."""

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
            f"{_RELOADED} Nobody may do anything that access_file does not grant. A service belongs to the identity "
            "that registered it."
        ),
    )
    access_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: nothing is granted, nothing limited",
        meaning=(
            "What each identity of a client certificate may do ([[grant]] rows), and how much each namespace may take "
            "([[quota]] rows). TOML; docs/security.md has the form."
        ),
        trade_off=(
            "Looked at every second: what is taken away ends the streams that need it within 2 s. A file that is "
            "broken is refused, the old one goes on and the alarm ACCESS is raised."
        ),
    )
    tokens_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="none: no tokens",
        meaning=(
            "Bearer tokens that callers may show (written by orion-registry token). From then on every call has to "
            "show one, or a certificate; over Unix sockets neither."
        ),
        trade_off=(
            "Looked at every second: the streams of a token that was revoked or has ended end within 2 s. Only hashes "
            "are in it. Whoever may write it may let anybody in."
        ),
    )

    @property
    def tls(self) -> bool:
        """Whether TCP addresses speak TLS."""
        return bool(self.tls_cert_file)

    @property
    def clients_certified(self) -> bool:
        """Whether clients over TCP show a certificate."""
        return self.tls and bool(self.tls_client_ca_file)

    @property
    def callers_known(self) -> bool:
        """Whether everybody who calls over TCP has an identity."""
        return self.clients_certified or bool(self.tokens_file)

    @property
    def safe_beyond(self) -> bool:
        """Whether it may be reached from other machines: all have an identity, and prove it where nobody listens in."""
        return self.tls and self.callers_known
