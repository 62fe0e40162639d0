"""Why TLS did not come about: gRPC tells of it only in the text of UNAVAILABLE."""

from enum import Enum, auto
from typing import Final


class HandshakeFailure(Enum):
    """What went wrong, as the one sees it who called."""

    FOREIGN = auto()
    """The other's certificate is of no authority that is trusted here, or has ended."""
    OTHER_NAME = auto()
    """The other's certificate is for another name than it was called by."""
    PLAINTEXT = auto()
    """The other speaks no TLS."""
    REFUSED = auto()
    """The other does not take the certificate that it was shown, or wants one."""
    UNSPOKEN = auto()
    """No TLS was spoken, and the other hung up: it may want it."""


_CLOSED: Final = "Socket closed"
_OPENED: Final = "Stream removed"
"""In what gRPC says of a call that was under way: plaintext was understood."""
_PIECES: Final = (
    (HandshakeFailure.FOREIGN, ("CERTIFICATE_VERIFY_FAILED",)),
    (HandshakeFailure.OTHER_NAME, ("Hostname Verification", "Peer name")),
    (HandshakeFailure.PLAINTEXT, ("WRONG_VERSION_NUMBER", "Handshake read failed", "HTTP_REQUEST")),
    (HandshakeFailure.REFUSED, ("TSI_DATA_CORRUPTED", "ALERT", "Unwrap failed", _CLOSED)),
)
"""Pieces of what gRPC says. Of REFUSED: in TLS 1.3 the client is through with its handshake by then, and gRPC calls the
alert that comes in its place corrupted data."""


def handshake_failure(details: str, *, spoken: bool) -> HandshakeFailure | None:
    """What gRPC's text says of a connection that failed; None = nothing about TLS. spoken: whether TLS was spoken."""
    if not spoken:
        return HandshakeFailure.UNSPOKEN if _CLOSED in details and _OPENED not in details else None
    for failure, pieces in _PIECES:
        if any(piece in details for piece in pieces):
            return failure
    return None
