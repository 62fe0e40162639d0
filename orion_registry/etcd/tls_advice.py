"""What an operator can do when TLS between two servers did not come about."""

from dataclasses import dataclass

from orion_registry.calls.handshakes import HandshakeFailure, handshake_failure


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The names of the settings that a connection goes by, for advice. spoken: whether TLS is spoken at present."""

    spoken: bool
    authorities: str
    certificate: str


def explained(details: str, settings: TlsSettings) -> str:
    """What gRPC said, and what to do about it."""
    failure = handshake_failure(details, spoken=settings.spoken)
    return details if failure is None else f"{_advice(failure, settings)} ({details})"


def _advice(failure: HandshakeFailure, settings: TlsSettings) -> str:
    match failure:
        case HandshakeFailure.FOREIGN:
            return (
                f"its certificate is of no authority in {settings.authorities}, or has ended: give that of its issuer"
            )
        case HandshakeFailure.OTHER_NAME:
            return "its certificate is for another name: have it name the host that it is called by, or its IP address"
        case HandshakeFailure.PLAINTEXT:
            return f"it speaks plaintext there: turn TLS on there, or leave {settings.authorities} out"
        case HandshakeFailure.REFUSED:
            return (
                f"it does not take our certificate: set {settings.certificate} to one of an authority that it trusts, "
                "not ended"
            )
        case HandshakeFailure.UNSPOKEN:
            return f"if it speaks TLS, set {settings.authorities}, and {settings.certificate} if it wants to know us"
