"""Secrets of registrations: only their hashes are kept, and payloads are remembered by hash too."""

import hashlib
import hmac
from dataclasses import fields
from operator import attrgetter
from typing import Protocol

from orion_registry.core.model import ServiceSpec

_LATER = ("silence_timeout_s", "stuck_after_s", "checks")
"""Fields that count only where they are set: hashes from before they existed stay right."""

_ALWAYS = tuple(field.name for field in fields(ServiceSpec) if field.name not in {"metadata_scalars", *_LATER})
"""The other fields that a registration asks for; metadata_scalars is a part of metadata_json."""
_VALUES = attrgetter(*_ALWAYS)
_FORM = "".join(f"{name}=%r\n" for name in _ALWAYS).replace(
    "liveness=", "check_count=0\nliveness=", 1
)  # what stood there before there were checks


class SecretMaker(Protocol):
    """Makes a secret for an agent that brought none; the randomness lives outside the core."""

    def secret(self, service_id: str, request_id: str) -> str:
        """A secret of 32 bytes or more; within one life of the daemon the same for the same non-empty request_id."""
        ...


def hash_secret(secret: str) -> str:
    """SHA-256 as hex. Secrets are random and long, so no salt or stretching is needed."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def secret_matches(secret: str, secret_hash: str) -> bool:
    """Whether the secret has this hash, in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)


def payload_hash(spec: ServiceSpec, secret: str, takeover: bool) -> str:
    """Hash of all that a registration asked for; equal for a retry, different for another payload."""
    asked = _FORM % _VALUES(spec)
    later = "".join([f"{name}={value!r}\n" for name in _LATER if (value := getattr(spec, name)) not in (None, ())])
    text = f"{asked}{later}{hash_secret(secret)} {takeover}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
