"""What an agent can do when TLS did not come about."""

from typing import Final

from orion_registry.calls.handshakes import HandshakeFailure, handshake_failure

_ADVICE: Final = {
    HandshakeFailure.FOREIGN: "its certificate is of no authority in your ca_file (ORION_CA_FILE), or has ended",
    HandshakeFailure.OTHER_NAME: (
        "its certificate is for another name: use a name that it has, or set server_name (ORION_SERVER_NAME)"
    ),
    HandshakeFailure.PLAINTEXT: "it speaks plaintext there: leave ca_file (ORION_CA_FILE) out",
    HandshakeFailure.REFUSED: (
        "it may want another certificate of yours: cert_file and key_file (ORION_CERT_FILE, ORION_KEY_FILE) of an "
        "authority that it trusts, not ended"
    ),
    HandshakeFailure.UNSPOKEN: (
        "if it speaks TLS, set ca_file (ORION_CA_FILE), and cert_file and key_file if it wants to know you"
    ),
}


def tls_advice(message: str, *, tls: bool) -> str:
    """What to do, by what gRPC said of a connection that failed; empty = nothing about TLS. tls: it was spoken."""
    failure = handshake_failure(message, spoken=tls)
    return "" if failure is None else _ADVICE[failure]
