"""What setting an overlay would store: for whom it is, and what it makes of what is set already."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orion_registry.core import limits
from orion_registry.core.commands import OverlaysSet, SetOverlay
from orion_registry.core.draining import entry_of
from orion_registry.core.facts import DeleteOverlay, Fact, PutOverlay
from orion_registry.core.fleet import Fleet
from orion_registry.core.model import Actor, Now, ServiceSpec
from orion_registry.core.overlay import Overlay, OverlayFilter, OverlayMode, ServiceKey, check_key, check_setting
from orion_registry.core.selector import Selector, check_selector
from orion_registry.errors import Limit, NotFound, Reason, ResourceExhausted


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlaying:
    """Stores and clears overlays.

    service_ids: of all that the command concerned; registered: how many of them are there; anew: it sets a mode.
    """

    overlays: tuple[Overlay, ...]
    cleared: tuple[Overlay, ...]
    service_ids: tuple[str, ...]
    registered: int
    anew: bool
    actor: Actor

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the store is to keep and to forget; none = there is nothing to do."""
        puts = (PutOverlay(overlay=overlay) for overlay in self.overlays)
        return (*puts, *(DeleteOverlay(key=overlay.key) for overlay in self.cleared))

    def answer(self, revision: int) -> OverlaysSet:
        """What the caller is told once it is true, or if nothing is to be done."""
        changed = len(self.overlays) + len(self.cleared)
        return OverlaysSet(service_ids=self.service_ids, registered=self.registered, changed=changed, revision=revision)


def overlaying(fleet: Fleet, command: SetOverlay, actor: Actor, now: Now) -> Overlaying:
    """What a command would change. Only reads.

    Raises:
        InvalidArgument: BAD_FIELD.
        NotFound: NO_SUCH_SERVICE, nothing has the service_id.
        ResourceExhausted: TOO_LARGE, it concerns too many services, or there would be too many overlays.
    """
    check_setting(command.mode, command.weight, command.deadline_s, command.note)
    meant = list({overlay.key: overlay for overlay in _meant(fleet, command.target)}.values())
    if len(meant) > limits.OVERLAYS_AT_ONCE:
        message = f"selector: {len(meant):,} services match, at most {limits.OVERLAYS_AT_ONCE:,} at once; narrow it"
        raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.OVERLAYS)
    after = [(overlay, _merged(fleet, overlay, command, actor, now)) for overlay in meant]
    kept = tuple(merged for _, merged in after if merged is not None)
    new = sum(fleet.overlays.get(overlay.key) is None for overlay in kept)
    if len(fleet.overlays) + new > limits.OVERLAYS:
        message = f"at most {limits.OVERLAYS:,} overlays are held; clear those that nobody needs"
        raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.OVERLAYS)
    gone = (overlay for overlay, merged in after if merged is None)
    return Overlaying(
        overlays=kept,
        cleared=tuple(overlay for overlay in gone if fleet.overlays.get(overlay.key) is not None),
        service_ids=tuple(overlay.service_id for overlay in meant),
        registered=sum(entry_of(fleet, overlay) is not None for overlay in meant),
        anew=command.mode is not None,
        actor=actor,
    )


def _merged(fleet: Fleet, overlay: Overlay, command: SetOverlay, actor: Actor, now: Now) -> Overlay | None:
    """What is set once the command has come to pass; None = nothing."""
    held = fleet.overlays.get(overlay.key)
    before = overlay if held is None else held.overlay
    ends = command.mode is OverlayMode.NONE
    weight = command.weight if command.weight is not None or ends else before.weight
    mode = before.mode if command.mode is None else command.mode
    if mode is OverlayMode.NONE and weight is None:
        return None
    return Overlay(
        namespace=overlay.namespace,
        agent_id=overlay.agent_id,
        service_name=overlay.service_name,
        service_id=overlay.service_id,
        mode=mode,
        weight=weight,
        deadline_s=before.deadline_s if command.mode is None else command.deadline_s,
        note=command.note or ("" if command.mode is not None else before.note),
        set_by=actor.identity,
        set_wall=now.wall,
    )


def _meant(fleet: Fleet, target: ServiceKey | Selector) -> Iterator[Overlay]:
    """An overlay without content for each service that is meant."""
    if isinstance(target, Selector):
        return _selected(fleet, check_selector(target))
    key = check_key(target)
    if not key.is_natural:
        return _with_id(fleet, key.service_id)
    return iter(_named(fleet, key))


def _named(fleet: Fleet, key: ServiceKey) -> list[Overlay]:
    """The service of a natural key, registered or not. Without a service_id: of the agent's services of that name those
    that are there, if the one whose id the registry makes is not.
    """
    one = _bare(replace(key, service_id=key.resolved_id))
    if key.service_id or fleet.catalog.get(one.service_id) is not None:
        return [one]
    own = Selector(namespace=key.namespace, agent_id=key.agent_id, service_name=key.service_name)
    return [_bare(entry.spec) for entry in fleet.catalog.matching(own)] or [one]


def _with_id(fleet: Fleet, service_id: str) -> Iterator[Overlay]:
    """The registered service of an id; else those that were, as far as something is set for them."""
    entry = fleet.catalog.get(service_id)
    if entry is not None:
        yield _bare(entry.spec)
        return
    found = [overlay for overlay in fleet.overlays if overlay.service_id == service_id]
    if not found:
        message = f"no service {service_id!r} is registered, and nothing is set for one; give agent_id and service_name"
        raise NotFound(Reason.NO_SUCH_SERVICE, message)
    yield from map(_bare, found)


def _selected(fleet: Fleet, selector: Selector) -> Iterator[Overlay]:
    """The services that satisfy a query. A status counts only if the query names it.

    If it asks for no more than an overlay knows, those count too that are away, as far as something is set for them.
    """
    for entry in fleet.catalog.matching(selector):
        if not selector.statuses or entry.snapshot.status in selector.statuses:
            yield _bare(entry.spec)
    wanted = OverlayFilter(namespace=selector.namespace, agent_id=selector.agent_id, service_name=selector.service_name)
    if selector == Selector(
        namespace=wanted.namespace,
        agent_id=wanted.agent_id,
        service_name=wanted.service_name,
        include_not_ready=selector.include_not_ready,
    ):
        yield from (_bare(overlay) for overlay in fleet.overlays if wanted.passes(overlay))


def _bare(one: ServiceSpec | Overlay | ServiceKey) -> Overlay:
    return Overlay(
        namespace=one.namespace,
        agent_id=one.agent_id,
        service_name=one.service_name,
        service_id=one.service_id,
    )
