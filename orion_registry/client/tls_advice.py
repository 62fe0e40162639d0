"""What to do when TLS did not come about: gRPC tells of it only in the text of UNAVAILABLE."""

from typing import Final

_ADVICE: Final = (
    (
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is of no authority in your ca_file (ORION_CA_FILE), or has ended",
    ),
    (
        "Hostname Verification",
        "its certificate is for another name: use a name that it has, or set server_name (ORION_SERVER_NAME)",
    ),
    ("WRONG_VERSION_NUMBER", "it speaks plaintext there: leave ca_file (ORION_CA_FILE) out"),
)
"""A piece of what gRPC says, and what it means."""

_CLOSED: Final = "Socket closed"
_OPENED: Final = "Stream removed"
"""In what gRPC says of a call that was under way: plaintext was understood."""
_PLAINTEXT: Final = "if it speaks TLS, set ca_file (ORION_CA_FILE), and cert_file and key_file if it wants to know you"
_TLS: Final = (
    "it may want another certificate of yours: cert_file and key_file (ORION_CERT_FILE, ORION_KEY_FILE) of an "
    "authority that it trusts, not ended"
)


def tls_advice(message: str, *, tls: bool) -> str:
    """What to do, by what gRPC said of a connection that failed; empty = nothing about TLS. tls: it was spoken."""
    for piece, advice in _ADVICE:
        if piece in message:
            return advice
    if _CLOSED not in message:
        return ""
    if tls:
        return _TLS
    return "" if _OPENED in message else _PLAINTEXT
