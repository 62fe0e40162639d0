"""Seeded randomness: the same seed makes the same ids and secrets."""

import hashlib
import random


class SeededEntropy:
    """Predictable `Entropy`. Never for a real daemon."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._seed = seed

    def history_id(self) -> str:
        """See `Entropy.history_id`."""
        return f"{self._random.getrandbits(128):032x}"

    def draw(self) -> float:
        """See `Entropy.draw`."""
        return self._random.random()

    def secret(self, service_id: str, request_id: str) -> str:
        """See `SecretMaker.secret`."""
        if not request_id:
            return f"{self._random.getrandbits(256):064x}"
        return hashlib.sha256(f"{self._seed} {service_id} {request_id}".encode()).hexdigest()
