"""What an operator set for a service: kept apart from what its agent owns, until it is cleared."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from orion_registry.core import limits
from orion_registry.core.keys import derived_service_id, key_text
from orion_registry.core.model import StatusReasonCode
from orion_registry.core.validation import check_id, check_number, check_text
from orion_registry.errors import Said, bad_field


class OverlayMode(IntEnum):
    """What is wanted of a service. Numbers are those of the wire."""

    NONE = 1
    """Nothing but its weight, if that is set."""
    DRAIN = 2
    """It takes nothing new, and finishes what there is."""
    MAINTENANCE = 3
    """It takes nothing: somebody works on it."""
    QUARANTINE = 4
    """It takes nothing: it is not trusted."""


REASONS: Mapping[OverlayMode, StatusReasonCode] = {
    OverlayMode.DRAIN: StatusReasonCode.DRAINING,
    OverlayMode.MAINTENANCE: StatusReasonCode.MAINTENANCE,
    OverlayMode.QUARANTINE: StatusReasonCode.QUARANTINED,
}
"""The condition that each mode is for a service at first; DRAINING becomes DRAINED, see `draining`."""

OVERLAID = frozenset({*REASONS.values(), StatusReasonCode.DRAINED})
"""Conditions that overlays make, and nothing else does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """Names one service: by its service_id alone, or by its natural key.

    Without a service_id the natural key is that of a service whose agent gave none.
    """

    namespace: str = "default"
    agent_id: str = ""
    service_name: str = ""
    service_id: str = ""

    @property
    def is_natural(self) -> bool:
        """Whether it is a natural key; else it names what has the service_id."""
        return bool(self.agent_id or self.service_name)

    @property
    def resolved_id(self) -> str:
        """The service_id that it stands for."""
        return self.service_id or derived_service_id(self.namespace, self.agent_id, self.service_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """What is set for the service of a natural key, registered or not.

    weight None: the agent's own. deadline_s: seconds that draining may take, None = no limit; it runs from when it was
    set, and anew from a restart of the registry. set_by is an identity; set_wall, seconds since 1970, a label.
    """

    namespace: str
    agent_id: str
    service_name: str
    service_id: str
    mode: OverlayMode = OverlayMode.NONE
    weight: float | None = None
    deadline_s: float | None = None
    note: str = ""
    set_by: str = ""
    set_wall: float = 0.0

    @property
    def key(self) -> str:
        """The natural key; see `keys.key_text`."""
        return key_text(self.namespace, self.agent_id, self.service_name, self.service_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayFilter:
    """Which overlays somebody asks for. What is empty lets all through."""

    namespace: str = ""
    agent_id: str = ""
    service_name: str = ""
    service_id: str = ""
    mode: OverlayMode | None = None

    def passes(self, overlay: Overlay) -> bool:
        """Whether an overlay is asked for."""
        return (
            self.mode in (None, overlay.mode)
            and self.namespace in ("", overlay.namespace)
            and self.agent_id in ("", overlay.agent_id)
            and self.service_name in ("", overlay.service_name)
            and self.service_id in ("", overlay.service_id)
        )


def check_key(key: ServiceKey) -> ServiceKey:
    """Returns a key that names one service.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not key.is_natural and not key.service_id:
        raise bad_field("key", "a service_id, or agent_id and service_name", Said("none of them"))
    check_id("key.namespace", key.namespace)
    if key.is_natural:
        for name in ("agent_id", "service_name"):
            if not getattr(key, name):
                raise bad_field(f"key.{name}", "set too; or use a selector for several services", "")
            check_id(f"key.{name}", getattr(key, name))
    if key.service_id:
        check_id("key.service_id", key.service_id)
    return key


def check_filter(wanted: OverlayFilter) -> OverlayFilter:
    """Returns a filter whose terms are names.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    for name in ("namespace", "agent_id", "service_name", "service_id"):
        if value := getattr(wanted, name):
            check_id(name, value)
    return wanted


def check_setting(mode: OverlayMode | None, weight: float | None, deadline_s: float | None, note: str) -> None:
    """What is to be set makes sense together.

    Raises:
        InvalidArgument: BAD_FIELD, for the first field that breaks its rule.
    """
    if mode is None and weight is None:
        raise bad_field("mode", "set, or weight: there is nothing to do", Said("neither"))
    if weight is not None and not 0 < weight <= limits.WEIGHT:
        raise bad_field("weight", f"above 0 and at most {limits.WEIGHT:,g}; to take all calls away use a mode", weight)
    if deadline_s is not None:
        if mode is not OverlayMode.DRAIN:
            raise bad_field("deadline", "unset unless mode is DRAIN", deadline_s)
        check_number("deadline", deadline_s, 0, limits.DRAIN_MAX_S)
    check_text("note", note, limits.NOTE)


def check_overlay(overlay: Overlay) -> Overlay:
    """Returns a stored overlay, if this registry could have written it.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    for name in ("namespace", "agent_id", "service_name", "service_id"):
        check_id(f"overlay.{name}", getattr(overlay, name))
    idle = overlay.mode is OverlayMode.NONE and overlay.weight is None
    check_setting(None if idle else overlay.mode, overlay.weight, overlay.deadline_s, overlay.note)
    check_text("overlay.set_by", overlay.set_by, limits.URL)
    check_number("overlay.set_wall", overlay.set_wall, 0, limits.WALL_MAX_S)
    return overlay
