"""The core behind one lock: the only room of an embedded registry where threads meet its state.

    with shell as now:
        shell.run(command, now)

Entering takes the lock and lets the core's time pass; leaving hands what happened to the callbacks, outside the lock.
"""

import math
import threading
from dataclasses import replace
from types import TracebackType

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.commands import Command, Register, Registered, Remove, Result, Update
from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry
from orion_registry.core.history import Edge
from orion_registry.core.limits import PAGE_MAX
from orion_registry.core.model import (
    Actor,
    LivenessMode,
    Now,
    RemovalReason,
    ServiceStatus,
    SessionRef,
)
from orion_registry.core.patience import TICK_S
from orion_registry.core.registry import Registry
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selector import Selector
from orion_registry.manager.events import EventKind, Listeners, ServiceEvent
from orion_registry.manager.service_info import STILL, Kept, ServiceInfo, copy_of, kept_of, status_of
from orion_registry.manager.specs import check_of, spec_of
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.entropy import SystemEntropy

CONFIG = RegistryConfig(
    late_tick_s=math.inf,  # nobody ticks: a registry that is asked now and then has not stood still
    hold_share=1.0,  # no network can cut off who lives in this process: who is silent is silent
    registration_rate=1_000_000.0,  # floods come from elsewhere
    history=1,  # nobody resumes a watch here
)
BALANCER = BalancerConfig(leases=1_000_000)
ACTOR = Actor(identity="embedded")

_CLAIMS = frozenset({ServiceStatus.UNHEALTHY, ServiceStatus.STOPPING, ServiceStatus.UNKNOWN})
"""What a service may say of itself when it registers; else it is HEALTHY, for registering is its first beat."""


class Shell:
    """Its methods are to be called within `with`, but for those of `listeners`.

    Attributes:
        core: the registry.
        listeners: who hears what happened.
        check_interval_s: of the checks that services have; None while no monitor runs.
        monitor: the HealthMonitor that gave them, or None.
        expired: services removed because they had been dead for too long.
    """

    def __init__(self) -> None:
        entropy = SystemEntropy()
        self.listeners = Listeners()
        self.check_interval_s: float | None = None
        self.monitor: object | None = None
        self.expired = 0
        self._lock = threading.Lock()
        self._clock = SystemClock()
        self._secret = entropy.secret("", "")
        self._advance_at = -math.inf
        self._due: dict[str, Remove] = {}
        self._kept: dict[str, Kept] = {}
        self._was: dict[str, ServiceStatus] = {}
        self._news: list[ServiceEvent] = []
        self.core = Registry(CONFIG, entropy, entropy.history_id(), self._edge, balancer=BALANCER, draw=entropy.draw)

    def __enter__(self) -> Now:
        self._lock.acquire()
        try:
            now = self._clock.now()
            if now.mono >= self._advance_at:
                self._advance(now)
        except BaseException:
            self._lock.release()
            raise
        return now

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            if self._was:
                self._note_changes()
            news = self._news
            if news:
                self._news = []
        finally:
            self._lock.release()
        if news:
            self.listeners.tell(news)

    def now(self) -> Now:
        """This instant. Needs no lock."""
        return self._clock.now()

    # Services.

    def register(self, info: ServiceInfo, now: Now) -> bool:
        """Registers a service, or updates it; whether it is new.

        Raises:
            InvalidArgument: BAD_FIELD.
            AlreadyExists: AGENT_IN_USE, its service_id belongs to another agent or service_name.
        """
        spec = spec_of(info)
        status = status_of("service.status", info.status)
        own = kept_of(info)  # before anything is done: what cannot be copied raises
        held = self.core.get(spec.service_id) if spec.service_id in self.core else None
        if held is not None:
            spec = replace(spec, weight=held.spec.weight)
        spec = replace(spec, checks=self._checks(info.health_check_url, info.host, info.port))
        done = self.run(Register(spec=spec, secret=self._secret), now)
        assert isinstance(done, Registered)
        self.core.report_status(self._ref(done.entry), status if status in _CLAIMS else ServiceStatus.HEALTHY, now)
        self._keep(done, own, now)
        return done.created

    def beat(self, service_id: str, now: Now) -> None:
        """A beat of a registered service. From its first one on it is expected to go on."""
        entry = self.core.get(service_id)
        report = entry.self_report  # of the life that goes on: claiming anew would clear it
        if entry.spec.liveness is not LivenessMode.TTL:
            spec = replace(entry.spec, liveness=LivenessMode.TTL)
            self.run(Register(spec=spec, secret=self._secret), now)
        self.core.beat(self._ref(entry), None, report, now)
        self._kept[service_id] = {**self._kept[service_id], "last_heartbeat": now.wall, STILL: None}

    def report(self, service_id: str, status: ServiceStatus, now: Now) -> None:
        """What a registered service says of itself."""
        self.core.report_status(self._ref(self.core.get(service_id)), status, now)

    def weigh(self, service_id: str, weight: float, now: Now) -> None:
        """Sets the weight of a registered service.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        entry = self.core.get(service_id)
        wanted = replace(entry.spec, weight=weight)
        self.run(Update(ref=self._ref(entry), spec=wanted, paths=("weight",)), now)

    def unregister(self, service_id: str, now: Now) -> None:
        """Removes a registered service."""
        self.run(Remove(service_id=service_id, reason=RemovalReason.UNREGISTERED), now)

    def sweep(self, now: Now, most: int) -> int:
        """Removes services that have been dead for longer than their retention; returns how many were looked at."""
        places = [self._due.pop(service_id) for service_id in list(self._due)[:most]]
        for removal in places:
            self.run(removal, now)  # spares one that came back
        return len(places)

    def check_all(self, interval_s: float | None, now: Now) -> None:
        """From now on services have checks with this interval, or none."""
        self.check_interval_s = interval_s
        for service_id, kept in list(self._kept.items()):
            checks = self._checks(kept["health_check_url"], kept["host"], kept["port"])
            entry = self.core.get(service_id)
            if checks != entry.spec.checks:
                wanted = replace(entry.spec, checks=checks)
                self.run(Update(ref=self._ref(entry), spec=wanted, paths=("checks",)), now)

    # Reads.

    def copy_of(self, service_id: str) -> ServiceInfo:
        """A copy of a registered service."""
        return copy_of(self._kept[service_id])

    def copies(self, selector: Selector) -> list[ServiceInfo]:
        """Copies of all services that match, in the order of their registration.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        kept = self._kept
        return [copy_of(kept[entry.snapshot.record.spec.service_id]) for entry in self.found(selector)]

    def found(self, selector: Selector) -> list[Entry]:
        """All services that match, in the order of their registration.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        found: list[Entry] = []
        token = ""
        while True:
            page = self.core.discover(selector, PAGE_MAX, token)
            found += page.entries
            token = page.token_after(len(page.entries) - 1)
            if not token:
                return found

    # Events.

    def tell(self, kind: EventKind, name: str, now: Now, service: ServiceInfo | None = None, **details: object) -> None:
        """Something happened that callbacks are to hear of. To be called only if `listeners.hears` of its kind."""
        self._news.append(ServiceEvent(kind=kind, name=name, wall=now.wall, service=service, details=details))

    def run(self, command: Command, now: Now) -> Result:
        """Runs a command; what the core would store is not: the process is all that there is."""
        return self.core.apply(self.core.plan(command, ACTOR, now), now)

    # Inside.

    def _checks(self, url: str | None, host: str, port: int) -> tuple[CheckSpec, ...]:
        """What a service is to be checked by now."""
        check = None if self.check_interval_s is None else check_of(url, host, port, self.check_interval_s)
        return () if check is None else (check,)

    def _ref(self, entry: Entry) -> SessionRef:
        return SessionRef(service_id=entry.service_id, epoch=entry.epoch, secret=self._secret)

    def _keep(self, done: Registered, own: Kept, now: Now) -> None:
        snapshot = done.entry.snapshot
        kept = self._kept[done.entry.service_id] = {
            **own,
            "status": snapshot.status,
            "registration_time": snapshot.record.registered_wall,
            "last_heartbeat": now.wall,
            STILL: now.wall,
        }
        if self.listeners.hears(EventKind.REGISTRATION):
            self.tell(EventKind.REGISTRATION, "registered" if done.created else "updated", now, copy_of(kept))

    def _advance(self, now: Now) -> None:
        """Lets the core's time pass up to now."""
        self._advance_at = now.mono + TICK_S
        fact = self.core.epochs_wanted
        if fact is not None:
            self.core.epochs_reserved(fact)
        self._due.update((removal.service_id, removal) for removal in self.core.advance(now))

    def _edge(self, edge: Edge) -> None:
        """See `Publish`."""
        kept = self._kept.get(edge.service_id)
        if kept is None:  # being registered: `_keep` follows
            return
        if edge.after is None:
            del self._kept[edge.service_id]
            self._was.pop(edge.service_id, None)
            gone = edge.removal is RemovalReason.EXPIRED
            self.expired += gone
            if self.listeners.hears(EventKind.REGISTRATION):
                name = "expired" if gone else "unregistered"
                self.tell(EventKind.REGISTRATION, name, self.now(), copy_of(kept))
        elif edge.after.status is not kept["status"]:
            self._was.setdefault(edge.service_id, kept["status"])
            self._kept[edge.service_id] = {**kept, "status": edge.after.status}

    def _note_changes(self) -> None:
        """One event for each service whose status is another than before the call, however often it changed within."""
        changed, self._was = self._was, {}
        if not self.listeners.hears(EventKind.HEALTH):
            return
        now = self.now()
        for service_id, was in changed.items():
            kept = self._kept[service_id]
            if kept["status"] is not was:
                reason = self.core.get(service_id).snapshot.reasons[0].code.name
                self.tell(EventKind.HEALTH, "status_changed", now, copy_of(kept), was=was, reason=reason)
