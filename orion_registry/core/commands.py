"""Durable commands and what they answer. A command is planned, stored, then applied; see `registry.Registry`."""

from dataclasses import dataclass, field

from orion_registry.core.entry import Entry
from orion_registry.core.facts import Stored
from orion_registry.core.model import RemovalReason, ServiceSpec, SessionRef
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.selector import Selector


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Registers a service or claims it again. secret empty: one is made; request_id empty: not idempotent."""

    spec: ServiceSpec
    secret: str = field(default="", repr=False)
    request_id: str = ""
    takeover: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Changes the fields of `spec` that `paths` names. etag 0: whatever the generation is."""

    ref: SessionRef
    spec: ServiceSpec
    paths: tuple[str, ...]
    etag: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister:
    """Removes a service on its agent's behalf."""

    ref: SessionRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Removes a service on the registry's or an operator's behalf.

    at_revision not 0: only if the service has not changed since that revision, so that one that came back is spared.
    at_epoch not 0: only if no session later than that one was given it, so that an old one never removes a new one's.
    With either, a service that is not there is no error.
    """

    service_id: str
    reason: RemovalReason
    at_revision: int = 0
    at_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """Adds the services of another registry, or of this one in an earlier life, that are not registered now.

    stored: as an `importing.Intake` collected it, so it is checked.
    """

    stored: Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOverlay:
    """Sets what an operator wants of services, whatever their agents say.

    target: one service, registered or not; or those that satisfy a query now, whatever their status unless it names
    statuses. What is None stays as it was; mode NONE ends what was set, and the weight too unless one is given.
    deadline_s and note belong to the mode: they are replaced with it.
    """

    target: ServiceKey | Selector
    mode: OverlayMode | None = None
    weight: float | None = None
    deadline_s: float | None = None
    note: str = ""


Command = Register | Update | Unregister | Remove | Import | SetOverlay


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """Answers Register. secret is set only if the registry made it."""

    entry: Entry
    secret: str = field(repr=False)
    revision: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """Answers Update."""

    entry: Entry
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Answers Unregister and Remove. revision 0: there was nothing to remove any more."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Answers Import: how many services were added, and how many stay as they are because they are registered."""

    added: int
    kept: int
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlaysSet:
    """Answers SetOverlay: the services it concerned, how many of them are registered, how many overlays changed."""

    service_ids: tuple[str, ...]
    registered: int
    changed: int
    revision: int


Result = Registered | Updated | Removed | Imported | OverlaysSet
