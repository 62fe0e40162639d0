"""Where the client takes time and randomness from. Tests bring their own; nothing else here reads a clock."""

import asyncio
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

_draw = secrets.SystemRandom().random


def _new_secret() -> str:
    """43 characters that carry 32 random bytes."""
    return secrets.token_urlsafe(32)


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the client asks of the world.

    now: seconds on the monotonic clock. wall: seconds since 1970, a label. sleep: waits for seconds. draw: a number in
    [0, 1). new_secret: at least 32 random bytes as text. new_id: a fresh request or instance id.
    """

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    draw: Callable[[], float] = _draw
    new_secret: Callable[[], str] = _new_secret
    new_id: Callable[[], str] = _new_id


REAL = Environment()
"""The real clock and the operating system's randomness."""
