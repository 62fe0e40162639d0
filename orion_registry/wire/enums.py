"""Enum numbers from the wire. Those of the model are the same; protobuf lets any number through."""

from enum import Enum
from typing import TypeVar

from orion_registry.core.model import LivenessMode, ServiceStatus
from orion_registry.core.overlay import OverlayMode
from orion_registry.errors import bad_field

E = TypeVar("E", bound=Enum)

_STATUSES = {int(status): status for status in ServiceStatus}
_MODES = {0: LivenessMode.STREAM} | {int(mode): mode for mode in LivenessMode}
_OVERLAYS = {0: None} | {int(mode): mode for mode in OverlayMode}
_OVERLAY_RULE = "an OverlayMode: 0 UNSPECIFIED, " + ", ".join(f"{int(mode)} {mode.name}" for mode in OverlayMode)
_STATUS_RULE = "a ServiceStatus: " + ", ".join(f"{number} {status.name}" for number, status in _STATUSES.items())
_MODE_RULE = "a LivenessMode: " + ", ".join(f"{number} {mode.name}" for number, mode in _MODES.items())


def decode_status(field: str, number: int) -> ServiceStatus:
    """A status. Raises InvalidArgument for a number that is none."""
    try:
        return _STATUSES[number]
    except KeyError:
        raise bad_field(field, _STATUS_RULE, number) from None


def decode_mode(field: str, number: int) -> LivenessMode:
    """A liveness mode; 0 means STREAM. Raises InvalidArgument for a number that is none."""
    try:
        return _MODES[number]
    except KeyError:
        raise bad_field(field, _MODE_RULE, number) from None


def decode_overlay_mode(field: str, number: int) -> OverlayMode | None:
    """What is wanted; None for 0. Raises InvalidArgument for a number that is none."""
    try:
        return _OVERLAYS[number]
    except KeyError:
        raise bad_field(field, _OVERLAY_RULE, number) from None


def known(enum: type[E], number: int, otherwise: E) -> E:
    """What a newer registry may have sent: a member, or `otherwise` for a number that this version does not know."""
    try:
        return enum(number)
    except ValueError:
        return otherwise
