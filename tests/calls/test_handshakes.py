"""calls/handshakes: gRPC's own words for each way in which TLS does not come about."""

import pytest

from orion_registry.calls.handshakes import HandshakeFailure, handshake_failure

_SAID = (
    ("Ssl handshake failed: SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: self-signed", HandshakeFailure.FOREIGN),
    ("Hostname Verification Check failed.", HandshakeFailure.OTHER_NAME),
    ("Peer name 10.0.0.1 is not in peer certificate", HandshakeFailure.OTHER_NAME),
    ("Ssl handshake failed: SSL_ERROR_SSL: WRONG_VERSION_NUMBER", HandshakeFailure.PLAINTEXT),
    ("Handshake read failed", HandshakeFailure.PLAINTEXT),
    ("error:HTTP_REQUEST", HandshakeFailure.PLAINTEXT),
    ("Unwrap failed (TSI_DATA_CORRUPTED)", HandshakeFailure.REFUSED),
    ("TLSV1_ALERT_UNKNOWN_CA", HandshakeFailure.REFUSED),
    ("Socket closed", HandshakeFailure.REFUSED),
    ("Connection refused", None),
)


@pytest.mark.parametrize(("details", "failure"), _SAID)
def test_what_grpc_says_over_tls(details: str, failure: HandshakeFailure | None) -> None:
    assert handshake_failure(f"failed to connect: {details} (5)", spoken=True) is failure


def test_without_tls_only_a_hang_up_may_mean_that_it_is_wanted() -> None:
    told = [handshake_failure(details, spoken=False) for details, _ in _SAID]
    assert told[-2:] == [HandshakeFailure.UNSPOKEN, None]
    assert not any(told[:-2])
