"""What to do when TLS between two servers did not come about: gRPC tells of it only in the text of UNAVAILABLE."""

from dataclasses import dataclass

_OF_OTHERS = "CERTIFICATE_VERIFY_FAILED"
_OTHER_NAME = ("Hostname Verification", "Peer name")
_NO_TLS_THERE = ("WRONG_VERSION_NUMBER", "Handshake read failed", "HTTP_REQUEST")
_REFUSED = ("TSI_DATA_CORRUPTED", "ALERT", "Unwrap failed")
"""What a server's refusal looks like: in TLS 1.3 the client is through with its handshake by then, and gRPC calls the
alert that comes in its place corrupted data."""
_CLOSED = "Socket closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """The names of the settings that a connection goes by, for advice. spoken: whether TLS is spoken at present."""

    spoken: bool
    authorities: str
    certificate: str


def advice(details: str, settings: TlsSettings) -> str:
    """What to do, by what gRPC said of a connection that failed; empty = nothing about TLS."""
    if not settings.spoken:
        wanted = f"if it speaks TLS, set {settings.authorities}, and {settings.certificate} if it wants to know us"
        return wanted if _CLOSED in details else ""
    if _OF_OTHERS in details:
        return f"its certificate is of no authority in {settings.authorities}, or has ended: give that of its issuer"
    if any(piece in details for piece in _OTHER_NAME):
        return "its certificate is for another name: have it name the host that it is called by, or its IP address"
    if any(piece in details for piece in _NO_TLS_THERE):
        return f"it speaks plaintext there: turn TLS on there, or leave {settings.authorities} out"
    if any(piece in details for piece in _REFUSED) or _CLOSED in details:
        return (
            f"it does not take our certificate: set {settings.certificate} to one of an authority that it trusts, "
            "not ended"
        )
    return ""


def explained(details: str, settings: TlsSettings) -> str:
    """What gRPC said, and what to do about it."""
    told = advice(details, settings)
    return f"{told} ({details})" if told else details
