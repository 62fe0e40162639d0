"""Which profile a client runs in: how long its own PINGs let a silent registry, or link, be silent."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from orion_registry.errors import bad_field

VARIABLE: Final = "ORION_PROFILE"
DEFAULT: Final = "lan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Spans in seconds.

    Attributes:
        keepalive_time_s: how long nothing comes on a connection until the client sends a PING; what it sends itself
            does not count.
        ping_timeout_s: how long the answer may take; then the connection and all on it end.
    """

    keepalive_time_s: float
    ping_timeout_s: float


PROFILES: Final[Mapping[str, Patience]] = {
    # Notices a hung or cut-off registry in about 4 s.
    "lan": Patience(keepalive_time_s=2.0, ping_timeout_s=2.0),
    # No sooner than the daemon's own profile wan gives a stream up: after 8 s of silence (its silence_floor).
    "wan": Patience(keepalive_time_s=2.0, ping_timeout_s=6.0),
    # As the daemon's: ten minutes for who stands still in a debugger, on either side.
    "dev": Patience(keepalive_time_s=600.0, ping_timeout_s=600.0),
}
"""By name; the names are those of the daemon's profiles."""


def resolve_profile(profile: str) -> Patience:
    """The profile meant: as given, else ORION_PROFILE (empty counts as unset), else lan.

    Raises:
        InvalidArgument: there is none of this name.
    """
    field = "profile"
    if not profile:
        field, profile = VARIABLE, os.environ.get(VARIABLE, "") or DEFAULT
    patience = PROFILES.get(profile)
    if patience is None:
        raise bad_field(field, f"one of {', '.join(PROFILES)}", profile)
    return patience
