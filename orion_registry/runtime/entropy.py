"""The only file of the daemon that makes random values."""

import hashlib
import hmac
import random
import secrets
from collections.abc import Callable
from typing import Protocol

from orion_registry.core.credentials import SecretMaker


class Entropy(SecretMaker, Protocol):
    """Makes what must not be guessed or repeated. Tests bring their own."""

    def history_id(self) -> str:
        """A name for one life of the daemon."""
        ...

    def draw(self) -> float:
        """A number from 0 up to, not including, 1: for picks that go by chance. It may be guessed."""
        ...


class SystemEntropy:
    """The machine's randomness."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._random = random.Random(secrets.randbits(128))  # noqa: S311 - picks need speed, not secrecy

    def history_id(self) -> str:
        """See `Entropy.history_id`: 128 random bits as hex."""
        return secrets.token_hex(16)

    def draw(self) -> float:
        """See `Entropy.draw`: a Mersenne twister, ten times as fast as asking the system."""
        return self._random.random()

    def secret(self, service_id: str, request_id: str) -> str:
        """See `SecretMaker.secret`: 256 bits as hex.

        With a request_id it is derived (HMAC-SHA-256, RFC 2104), so that a retry is answered with the same secret
        though only its hash is kept.
        """
        if not request_id:
            return secrets.token_hex(32)
        return hmac.new(self._key, f"{service_id} {request_id}".encode(), hashlib.sha256).hexdigest()


def seeded_draw(seed: int) -> Callable[[], float]:
    """Draws that are the same for the same seed: for explaining a pick again."""
    return random.Random(seed).random  # noqa: S311 - to be repeated is the point
