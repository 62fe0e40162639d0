"""The one writer of the registry's state: joins core, store, clock and streams in one event loop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from orion_registry.core.audit import AuditFilter, AuditHead, AuditRecord
from orion_registry.core.balancing import Balancing
from orion_registry.core.commands import Command, Import, Imported, Remove, Result
from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry
from orion_registry.core.events import RegistryEvent, RegistryStarted, RegistryStopping, SnapshotImported
from orion_registry.core.facts import Stored
from orion_registry.core.frames import AgentFrame, Beat
from orion_registry.core.history import Edge
from orion_registry.core.model import Actor, Load, ServiceStatus, SessionRef
from orion_registry.core.overlay import OverlayFilter
from orion_registry.core.overlay_page import OverlayPage
from orion_registry.core.registry import Registry
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selector import Selector
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import Reason, Unavailable
from orion_registry.runtime.alarms import Alarms
from orion_registry.runtime.audit import AUDIT, AuditConfig, AuditTrail
from orion_registry.runtime.clock import Clock
from orion_registry.runtime.detection import Detection, is_fall
from orion_registry.runtime.entropy import Entropy
from orion_registry.runtime.epoch_blocks import EpochBlocks
from orion_registry.runtime.events import EventLog
from orion_registry.runtime.journal import Journal
from orion_registry.runtime.monitor import Monitor, Probe, no_prober
from orion_registry.runtime.reaper import Reaper
from orion_registry.runtime.refusal_log import RefusalLog
from orion_registry.runtime.selections import Selections
from orion_registry.runtime.streams import Streams
from orion_registry.runtime.ticker import Ticker
from orion_registry.runtime.timelines import Timelines
from orion_registry.runtime.vitals import VitalSigns
from orion_registry.runtime.watch_hub import Watcher, WatchHub
from orion_registry.runtime.writer import CommitTally, Writer, WriterConfig
from orion_registry.store.base import Store, StoreFailed

if TYPE_CHECKING:
    from orion_registry.core.membership import Sight

log = logging.getLogger("orion_registry")

IMPORT_TIMEOUT_S = 60.0
"""How long an import may wait for the store: it writes up to 64 MiB in one go."""

STORE_DOWN = "STORE_DOWN"
"""Alarm: the store takes no ordinary writes. Health, discovery and watches go on."""

MASS_HOLD = "MASS_HOLD"
"""Alarm: many agents fell silent together, and those not proven dead are held for a while. See `core.mass_hold`."""

STOPPING = "the registry is starting or stopping"
"""Why nobody is served."""

CLOSE_S = 1.0
"""How long a store that hangs may hold up the end of the daemon. What was acknowledged is stored already."""

ANYBODY = Actor()
"""Who has no identity."""

REGISTRY_ACTOR = Actor(identity="the registry")
"""Who removes what has been dead for too long. No certificate and no token names it: identities have no spaces."""


class Coordinator:
    """Owns the registry. Everything else asks it.

    Durable commands are awaited (`execute`); soft edges and reads are plain calls that take effect at once, so a slow
    or full disk touches neither health nor discovery.

    Attributes:
        registry: for reads.
        serving: between `start` and `stop`.
        started_at: when it was made.
        events: what happened.
        alarms: what is wrong with the registry itself.
        audit: takes denials, and changes that store nothing; others come to the chain with what they store.
        timelines: what became of each service of late.
        selections: callers, and what they hold.
        monitor: the runs of active checks.
        detection: how soon falls were seen.
        ticker: lets time pass; a test may stop it, as a stall of the daemon would.
        before_close: what `stop` is to wait for, so many seconds, before it closes the store.
    """

    def __init__(
        self,
        *,
        config: RegistryConfig,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        writer: WriterConfig | None = None,
        balancer: BalancerConfig | None = None,
        audit: AuditConfig | None = None,
        probe: Probe = no_prober,
        history_id: str = "",
        selections: Callable[[Balancing, Clock], Selections] = Selections,
    ) -> None:
        self._clock = clock
        self._store = store
        self.registry = Registry(
            config,
            entropy,
            history_id or entropy.history_id(),
            self._publish,
            self._tell,
            balancer=balancer,
            draw=entropy.draw,
        )
        self.selections = selections(self.registry.balancing, clock)
        self.monitor = Monitor(self.registry.monitoring, clock, probe)
        self.serving = False
        self.started_at = clock.now()
        self._hub = WatchHub(clock, lambda: self.registry.revision, self.registry.unwatch)
        self.events = EventLog(clock, self.registry.history_id)
        self.alarms = Alarms(clock, self.events.add)
        self.audit = AuditTrail(store, clock, self.registry.history_id, audit or AuditConfig())
        self._writer = Writer(self.registry, store, clock, writer or WriterConfig())
        self._journal = Journal()
        self.events.hand_to(self._journal.take)
        self.timelines = Timelines(store, self.events)
        self._vital_signs = VitalSigns(self.registry)
        self._refusal_log = RefusalLog(self.registry.refused)
        self._reaper = Reaper(self._remove)
        self.ticker = Ticker(self.tick)
        self.detection = Detection(self.registry, clock)
        self._streams = Streams(self.registry, clock, self._writer, self.audit, self.detection, self.execute)
        self._epochs = EpochBlocks(self.registry, self._writer)
        self.before_close: Callable[[float], Awaitable[None]] | None = None

    # Life.

    async def start(self) -> None:
        """Reads the store and begins to serve.

        Raises:
            StoreFailed: the store cannot be read.
            Unavailable: STORE_DOWN, it cannot be written.
        """
        await self._restore()
        self.events.settle_restored()
        self.events.add(RegistryStarted(services=len(self.registry)))
        self.ticker.start()
        self.serving = True
        log.info("registry started", extra={"services": len(self.registry), "history_id": self.registry.history_id})

    async def _restore(self) -> None:
        """Takes in what the store holds."""
        stored = await self._store.load()
        self.timelines.restore(stored.edges)
        self.registry.restore_epochs(stored)
        await self._epochs.reserve()
        self.registry.restore(stored, self._clock.now())

    async def _leave(self) -> None:
        """Where there are other members, they hear that this one goes. Here there are none."""

    def _alternates(self, turn: int = 0) -> tuple[str, ...]:
        """Where agents may go instead, the best first; who comes at another turn begins with another."""
        return ()

    async def stop(self) -> None:
        """Stops serving: judges nobody any more, sends every agent away, ends every watch, closes the store."""
        self.serving = False
        self.events.add(RegistryStopping())
        self.registry.stop_judging()
        self.monitor.stop()
        await self.ticker.stop()
        away_s = self.registry.config.go_away_s
        self._streams.send_away(STOPPING, away_s, self._alternates)
        self._hub.stop()
        self.selections.stop()
        self._reaper.stop()
        if unfinished := await self._writer.drain(timeout_s=1.0):
            log.error("stopped with writes under way", extra={"writes": unfinished})
        await self.audit.stop(timeout_s=1.0)
        await self.monitor.over(timeout_s=1.0)
        self.events.stop()
        self.timelines.flush()
        if self.before_close is not None:
            await self.before_close(1.0)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._leave()
                await self._store.close()
        except TimeoutError:
            log.error("the store did not close in time", extra={"seconds": CLOSE_S})

    def tick(self) -> None:
        """Lets time pass."""
        now = self._clock.now()
        self._reaper.add(self.registry.advance(now))
        self.monitor.start_due(now)
        self._hub.tick()
        self.alarms.keep(MASS_HOLD, self.registry.mass_hold)
        self.alarms.keep(STORE_DOWN, self.store_trouble)
        self.audit.tick()
        self.alarms.keep(AUDIT, self.audit.trouble)
        for event in self._vital_signs.news():
            self.events.add(event)
        self.events.tick()
        self._journal.flush()
        self._refusal_log.tick(now.mono)
        self.timelines.flush()
        self._epochs.tick()

    def require_serving(self) -> None:
        """Raises `Unavailable` (NOT_SERVING) before `start` and after `stop`."""
        if not self.serving:
            raise Unavailable(Reason.NOT_SERVING, STOPPING, retry_after_s=1.0)

    # How it is.

    @property
    def store_kind(self) -> str:
        """What keeps registrations."""
        return self._store.kind

    @property
    def store_trouble(self) -> str:
        """Why the store takes no ordinary writes now; empty while it does."""
        return self._store.alarm or self._writer.trouble

    @property
    def store(self) -> Store:
        """Where everything is kept; for reading the audit chain."""
        return self._store

    @property
    def stale_s(self) -> float:
        """How old what is known here may be. 0: this daemon itself holds all of it."""
        return 0.0

    def sights(self) -> "tuple[Sight, ...]":
        """The members of the cluster that it is in; none, for it is alone."""
        return ()

    @property
    def watchers(self) -> int:
        """Watches open."""
        return len(self._hub)

    @property
    def cuts(self) -> int:
        """Watchers that took nothing for too long, and were cut."""
        return self._hub.cuts

    @property
    def commits(self) -> CommitTally:
        """How the store takes writes."""
        return self._writer.tally

    @property
    def streams(self) -> tuple[HeartbeatSession, ...]:
        """Heartbeat streams open."""
        return tuple(self._streams)

    @property
    def uptime_s(self) -> float:
        """Seconds since `started_at`."""
        return self._clock.now().mono - self.started_at.mono

    # The durable lane.

    async def execute(self, command: Command, actor: Actor) -> Result:
        """Runs a durable command; see `Writer.execute`.

        Raises:
            RegistryError: refused, not stored in time, or not serving.
        """
        self.require_serving()
        return await self._writer.execute(command, actor)

    async def import_stored(self, stored: Stored, actor: Actor) -> Imported:
        """Adds the services of a snapshot that are not registered, all or nothing; see `core.importing`.

        Raises:
            RegistryError: refused, not stored in time, or not serving.
        """
        self.require_serving()
        result = await self._writer.execute(Import(stored=stored), actor, IMPORT_TIMEOUT_S)
        assert isinstance(result, Imported)
        self.events.add(SnapshotImported(added=result.added, kept=result.kept))
        log.info("snapshot imported", extra={"added": result.added, "kept": result.kept, "revision": result.revision})
        return result

    def export_stored(self) -> tuple[Stored, float]:
        """Everything acknowledged by now, and when by the wall clock."""
        self.require_serving()
        return self.registry.stored(), self._clock.now().wall

    def overlays(self, wanted: OverlayFilter, page_size: int, page_token: str) -> OverlayPage:
        """One page of what operators have set; see `Registry.overlays`."""
        return self.registry.overlays(wanted, page_size, page_token, self._clock.now())

    async def audit_page(
        self, wanted: AuditFilter, after_seq: int, page_size: int
    ) -> tuple[list[AuditRecord], int, AuditHead, AuditHead]:
        """Records of the next `page_size` that pass, up to where was looked at, and the ends of the chain.

        Raises:
            Unavailable: STORE_DOWN, they cannot be read.
        """
        store = self._store
        try:
            async with asyncio.timeout(self._writer.timeout_s):
                found = await store.audit_records(after_seq, page_size)
        except (StoreFailed, TimeoutError) as error:
            message = f"the audit chain cannot be read: {str(error) or 'the store has not answered'}"
            raise Unavailable(Reason.STORE_DOWN, message, retry_after_s=self._writer.timeout_s) from error
        looked = found[-1].seq if found else max(after_seq, store.audit_head.seq)
        passing = [record for record in found if wanted.passes(record)]
        return passing, looked, store.audit_anchor, store.audit_head

    async def _remove(self, command: Remove) -> None:
        await self.execute(command, REGISTRY_ACTOR)

    # The soft lane.

    def report_status(self, ref: SessionRef, status: ServiceStatus, actor: Actor = ANYBODY) -> Entry:
        """Takes a self-report; see `Registry.report_status`."""
        entry = self.registry.report_status(ref, status, self._clock.now(), actor.identity)
        self.audit.did(actor, "UpdateServiceStatus", entry.spec.namespace, entry.service_id)
        return entry

    def send_heartbeat(
        self, ref: SessionRef, load: Load | None, self_status: ServiceStatus, actor: Actor = ANYBODY
    ) -> tuple[float, Entry]:
        """Takes a unary beat; returns how many seconds it is good for, and the service. See `Registry.beat`."""
        entry = self.registry.beat(ref, load, self_status, self._clock.now(), actor.identity)
        return entry.spec.liveness_ttl_s, entry

    # Heartbeat streams.

    def open_stream(self, actor: Actor, wake: Callable[[], None]) -> HeartbeatSession:
        """A session for a new stream. `wake` is called when it has mail or is to end.

        Raises:
            Unavailable: NOT_SERVING.
        """
        self.require_serving()
        return self._streams.open(actor, wake)

    def beat(self, session: HeartbeatSession, frame: Beat) -> None:
        """Takes a beat: the hot path of `receive`."""
        session.receive(frame, self._clock.now())

    async def receive(self, session: HeartbeatSession, frame: AgentFrame) -> None:
        """Takes any other frame; see `Streams.receive`."""
        await self._streams.receive(session, frame)

    def close_stream(self, session: HeartbeatSession) -> None:
        """The stream is over, however it ended. Calling it again does nothing."""
        self._streams.close(session)

    def drain(self, service_id: str, deadline_s: float | None = None) -> int:
        """Asks the agent of a service, on every stream that carries it, to take nothing new; returns how many streams.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        streams = list(self.registry.get(service_id).streams)
        for session in streams:
            session.drain((service_id,), deadline_s)
        return len(streams)

    # Watches.

    def watch(self, selector: Selector, start_revision: int, history_id: str, cut: Callable[[], None]) -> Watcher:
        """A watcher; `cut` ends it if it takes nothing for 5 s. See `Registry.watch`.

        Raises:
            InvalidArgument: BAD_FIELD.
            ResourceExhausted: TOO_LARGE, the namespace's quota of watches is used up.
            Unavailable: NOT_SERVING.
        """
        self.require_serving()
        return self._hub.open(self.registry.watch(selector, start_revision, history_id), cut)

    def _tell(self, event: RegistryEvent) -> None:
        self.events.add(event)

    def _publish(self, edge: Edge) -> None:
        self._hub.publish(edge)
        self.events.note(edge)
        if is_fall(edge):
            self.detection.fell(edge.service_id)
