"""Builders: a core with a clock of its own, and the shortest way to services, sessions and frames."""

import random
from typing import Any, TypeVar

from orion_registry.core.audit import AuditEntry
from orion_registry.core.commands import (
    Command,
    Import,
    Imported,
    OverlaysSet,
    Register,
    Registered,
    Remove,
    Removed,
    Result,
    SetOverlay,
    Unregister,
    Update,
    Updated,
)
from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry
from orion_registry.core.events import RegistryEvent
from orion_registry.core.facts import DeleteOverlay, Put, PutOverlay, Stored
from orion_registry.core.frames import Attach, Beat, Hello, RegistryFrame, ServiceBeat, SessionRequest, Sessions
from orion_registry.core.history import Edge
from orion_registry.core.model import (
    Actor,
    LivenessMode,
    Now,
    Record,
    RemovalReason,
    ServiceSpec,
    ServiceStatus,
    SessionRef,
    Snapshot,
    StatusReason,
    StatusReasonCode,
)
from orion_registry.core.overlay import Overlay, OverlayFilter, OverlayMode, ServiceKey
from orion_registry.core.overlay_page import OverlayRow
from orion_registry.core.patience import TICK_S
from orion_registry.core.planning import Settled
from orion_registry.core.registry import Registry
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selector import Selector
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.clock import VirtualClock
from orion_registry.testing.entropy import SeededEntropy

SECRET = "the secret of the first agent, 32+"
OTHER_SECRET = "the secret of another agent, 32++"
ALL = Selector(include_not_ready=True)
LOCAL = Actor(address="127.0.0.1")
F = TypeVar("F", bound=RegistryFrame)
STATIC, TTL, STREAM = LivenessMode.STATIC, LivenessMode.TTL, LivenessMode.STREAM


def make_spec(agent_id: str = "agent", service_name: str = "calc", **fields: Any) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name=service_name, **fields)


def make_record(spec: ServiceSpec | None = None, **fields: Any) -> Record:
    defaults: dict[str, Any] = {
        "secret_hash": "",
        "identity": "",
        "generation": 1,
        "used_epoch": 0,
        "registered_wall": 1.0,
        "request_id": "",
        "payload_hash": "",
    }
    return Record(spec=spec or make_spec(service_id="s"), **{**defaults, **fields})


def make_audit_entry(target: str = "s", **fields: Any) -> AuditEntry:
    defaults: dict[str, Any] = {
        "wall": 1.0,
        "history_id": "h",
        "identity": "me",
        "address": "127.0.0.1",
        "method": "RegisterService",
        "namespace": "default",
    }
    return AuditEntry(target=target, **{**defaults, **fields})


def make_snapshot(
    record: Record | None = None,
    status: ServiceStatus = ServiceStatus.HEALTHY,
    *,
    ready: bool = True,
    revision: int = 1,
) -> Snapshot:
    reasons = (StatusReason(code=StatusReasonCode.STATIC, since_wall=0.0),)
    return Snapshot(
        record=record or make_record(),
        status=status,
        reasons=reasons,
        ready=ready,
        tier=0 if ready else -1,
        selection_tier=Tier.FIRST if ready else Tier.NEVER,
        epoch=1,
        revision=revision,
    )


def make_entry(ordinal: int = 1, spec: ServiceSpec | None = None, **fields: Any) -> Entry:
    alive = StatusReason(code=StatusReasonCode.STATIC, since_wall=0.0)
    return Entry(ordinal, make_snapshot(make_record(spec), **fields), alive)


class World:
    """A registry with a clock, a store that takes everything at once, and the edges that it published."""

    def __init__(
        self, *, store: MemoryStore | None = None, seed: int = 0, balancer: BalancerConfig | None = None, **config: Any
    ) -> None:
        self.clock = VirtualClock()
        self.entropy = SeededEntropy(seed)
        self.edges: list[Edge] = []
        self.told: list[RegistryEvent] = []
        self.stored: dict[str, Record] = {}
        self.overlays: dict[str, Overlay] = {}
        self.registry = Registry(
            RegistryConfig(**config),
            self.entropy,
            self.entropy.history_id(),
            self.edges.append,
            self.told.append,
            balancer=balancer,
            draw=random.Random(seed).random,
        )
        self.reserve()

    @property
    def now(self) -> Now:
        return self.clock.now()

    def reserve(self) -> None:
        """Reserves epochs if any are wanted."""
        if (fact := self.registry.epochs_wanted) is not None:
            self.registry.epochs_reserved(fact)

    def restart(self, **config: Any) -> "World":
        """Another life, restored from what this one stored."""
        after = World(seed=1, **config)
        after.clock = self.clock
        after.registry = Registry(
            RegistryConfig(**config), after.entropy, "another life", after.edges.append, after.told.append
        )
        below = self.registry._fleet.epochs._below
        overlays = tuple(self.overlays.values())
        stored = Stored(records=tuple(self.stored.values()), epochs_below=below, overlays=overlays)
        after.registry.restore_epochs(stored)
        after.registry.restore(stored, self.now)
        after.stored, after.overlays = dict(self.stored), dict(self.overlays)
        after.reserve()
        return after

    # Commands.

    def run(self, command: Command, actor: Actor = LOCAL) -> Result:
        plan = self.registry.plan(command, actor, self.now)
        if not isinstance(plan, Settled):
            match command:
                case Register() | Update():
                    record: Record = plan.record  # type: ignore[union-attr]  # of these, only a Removal has none
                    self.stored[record.service_id] = record
                case Unregister():
                    del self.stored[command.ref.service_id]
                case Remove():
                    del self.stored[command.service_id]
                case Import():
                    puts = [fact for fact in plan.facts if isinstance(fact, Put)]
                    self.stored.update((put.record.service_id, put.record) for put in puts)
            for fact in plan.facts:
                if isinstance(fact, PutOverlay):
                    self.overlays[fact.overlay.key] = fact.overlay
                elif isinstance(fact, DeleteOverlay):
                    del self.overlays[fact.key]
        return self.registry.apply(plan, self.now)

    def register(
        self,
        spec: ServiceSpec | None = None,
        *,
        secret: str = SECRET,
        request_id: str = "",
        takeover: bool = False,
        actor: Actor = LOCAL,
        **fields: Any,
    ) -> Registered:
        command = Register(spec=spec or make_spec(**fields), secret=secret, request_id=request_id, takeover=takeover)
        result = self.run(command, actor)
        assert isinstance(result, Registered)
        return result

    def add(self, agent_id: str = "agent", **fields: Any) -> Entry:
        """A registered service."""
        return self.register(agent_id=agent_id, **fields).entry

    def update(
        self, ref: SessionRef, paths: tuple[str, ...], etag: int = 0, actor: Actor = LOCAL, **fields: Any
    ) -> Updated:
        result = self.run(Update(ref=ref, spec=make_spec(**fields), paths=paths, etag=etag), actor)
        assert isinstance(result, Updated)
        return result

    def remove(self, service_id: str, reason: RemovalReason = RemovalReason.REMOVED, **bounds: int) -> Removed:
        result = self.run(Remove(service_id=service_id, reason=reason, **bounds))
        assert isinstance(result, Removed)
        return result

    def overlay(
        self,
        target: ServiceKey | Selector | Entry,
        mode: OverlayMode | None = None,
        *,
        actor: Actor = LOCAL,
        **fields: Any,
    ) -> OverlaysSet:
        """Sets an overlay; for an entry by its service_id."""
        meant = ServiceKey(service_id=target.service_id) if isinstance(target, Entry) else target
        result = self.run(SetOverlay(target=meant, mode=mode, **fields), actor)
        assert isinstance(result, OverlaysSet)
        return result

    def overlay_rows(self, **wanted: Any) -> list[OverlayRow]:
        """What is set, all on one page."""
        return list(self.registry.overlays(OverlayFilter(**wanted), 0, "", self.now).rows)

    def take_in(self, stored: Stored) -> Imported:
        result = self.run(Import(stored=stored))
        assert isinstance(result, Imported)
        return result

    # Streams.

    def stream(self, agent_id: str = "agent", *requests: SessionRequest, actor: Actor = LOCAL) -> HeartbeatSession:
        """A stream that has said hello."""
        session = self.registry.open_stream(actor, lambda: None)
        session.receive(Hello(agent_id=agent_id, sessions=requests), self.now)
        return session

    def live(self, entry: Entry, secret: str = SECRET, epoch: int | None = None) -> HeartbeatSession:
        """A stream that carries the service, and has beaten once unless the epoch was given."""
        session = self.stream(entry.spec.agent_id, ask(entry, secret, epoch))
        if epoch is None:
            self.beat(session)
        return session

    def attach(self, session: HeartbeatSession, *requests: SessionRequest) -> Sessions:
        session.receive(Attach(sessions=requests), self.now)
        return last_sessions(session)

    def beat(self, session: HeartbeatSession, *services: ServiceBeat, seq: int = 1) -> None:
        session.receive(Beat(seq=seq, services=services), self.now)

    def close(self, session: HeartbeatSession) -> None:
        self.registry.close_stream(session, self.now)

    # Time and answers.

    def pass_time(self, seconds: float) -> list[Remove]:
        """Ticks go by; returns every removal that was asked for."""
        end = self.now.mono + seconds
        due: list[Remove] = []
        while end - self.now.mono > TICK_S:
            self.clock.advance(TICK_S)
            due += self.registry.advance(self.now)
        self.clock.advance(end - self.now.mono)
        return due + self.registry.advance(self.now)

    def beats(self, session: HeartbeatSession, seconds: float, every_s: float = 1.0) -> list[Remove]:
        """The stream beats on for so long."""
        due: list[Remove] = []
        end = self.now.mono + seconds
        while end - self.now.mono > every_s / 2:
            due += self.pass_time(every_s)
            self.beat(session)
        return due

    def found(self, selector: Selector = ALL) -> list[str]:
        return [entry.service_id for entry in self.registry.discover(selector).entries]


def ref_of(entry: Entry, secret: str = SECRET, epoch: int | None = None) -> SessionRef:
    return SessionRef(service_id=entry.service_id, epoch=entry.epoch if epoch is None else epoch, secret=secret)


def ask(
    entry: Entry, secret: str = SECRET, epoch: int | None = None, self_status: ServiceStatus = ServiceStatus.UNSPECIFIED
) -> SessionRequest:
    return SessionRequest(ref=ref_of(entry, secret, epoch), self_status=self_status)


def last_sessions(session: HeartbeatSession) -> Sessions:
    return next(frame for frame in reversed(session.outbox) if isinstance(frame, Sessions))


def frames_of(session: HeartbeatSession, kind: type[F]) -> list[F]:
    return [frame for frame in session.outbox if isinstance(frame, kind)]


def state_of(entry: Entry) -> tuple[str, str]:
    """(status, worst reason) by name."""
    return entry.snapshot.status.name, entry.snapshot.reasons[0].code.name
