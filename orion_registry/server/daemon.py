"""The daemon: store, coordinator and gRPC server put together, started and stopped in order. Thin on purpose."""

import asyncio
import gc
import logging
import os
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import grpc.aio

from orion_registry import __version__
from orion_registry.core.access.rates import Rates
from orion_registry.errors import Unavailable
from orion_registry.probes.prober import Prober
from orion_registry.runtime.audit import AuditConfig
from orion_registry.runtime.audit_export import AuditExport
from orion_registry.runtime.clock import Clock, SystemClock
from orion_registry.runtime.coordinator import REGISTRY_ACTOR, Coordinator
from orion_registry.runtime.entropy import Entropy, SystemEntropy
from orion_registry.runtime.monitor import Probe
from orion_registry.runtime.selections import Selections
from orion_registry.server.accepting import open_server, serve
from orion_registry.server.access import Access, say_who_may
from orion_registry.server.admin_service import AdminService
from orion_registry.server.balancer_service import BalancerService
from orion_registry.server.health import Health
from orion_registry.server.identity import Identities
from orion_registry.server.limit_settings import rate_limits
from orion_registry.server.limited_door import LimitedDoor
from orion_registry.server.listen import Listeners
from orion_registry.server.methods import METHODS, Method
from orion_registry.server.monitor_service import MonitorService
from orion_registry.server.options import server_options
from orion_registry.server.place import store_of
from orion_registry.server.probing import prober_of
from orion_registry.server.reflection import Reflection
from orion_registry.server.registry_config import registry_config
from orion_registry.server.registry_service import RegistryService
from orion_registry.server.rpc_tally import RpcTally
from orion_registry.server.selection_settings import balancer_config
from orion_registry.server.settings import Settings
from orion_registry.server.side_door import Served, SideDoor
from orion_registry.server.start_error import StartError
from orion_registry.server.wrapper import Handlers, build_handlers
from orion_registry.store.audit_file import AuditFile
from orion_registry.store.base import Store, StoreDamaged, StoreFailed

if TYPE_CHECKING:
    from orion_registry.server.clustering import Clustering
    from orion_registry.server.tracing import Tracing

log = logging.getLogger("orion_registry")

GC_EVERY = 10_000
"""Objects between two looks of the garbage collector: measured, it saves 12 to 15% of a durable registration's CPU."""

SERVICES = tuple(dict.fromkeys(method.service for method in METHODS))
"""Full names of the gRPC services that the daemon serves."""


class Daemon:
    """One registry on the network. `start` once, `stop` once; or `async with`.

    Attributes:
        coordinator: for reads and tests; set by `start`.
        addresses: where it listens, as a client writes it; set by `start`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store | None = None,
        clock: Clock | None = None,
        entropy: Entropy | None = None,
        probe: Probe | None = None,
        side_door: SideDoor | None = None,
    ) -> None:
        """Args: settings; store, clock, entropy, probe: what stands in for the real ones, for tests;
        side_door: what serves beside gRPC.
        """
        self.settings = settings
        self.coordinator: Coordinator
        self._store = store
        self._clock = clock or SystemClock()
        self._entropy = entropy or SystemEntropy()
        self._health = Health(SERVICES)
        self._reflection = Reflection(SERVICES)
        self._access: Access
        self._door: LimitedDoor
        self._looking: asyncio.Task[None] | None = None
        self._listeners = Listeners()
        self._rates = Rates(rate_limits(settings))
        self._server: grpc.aio.Server | None = None
        self._probe = probe
        self._export: AuditExport | None = None
        self._prober: Prober | None = None
        self._methods: tuple[Method, ...] = METHODS
        self._clustering: Clustering | None = None
        self._side_door = side_door
        self._tracing: Tracing | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens."""
        return self._listeners.addresses

    @property
    def address(self) -> str:
        """The first address: what a client in the same machine connects to."""
        return self.addresses[0]

    async def start(self) -> None:
        """Binds, answers NOT_SERVING while the registry starts, then serves.

        Raises:
            StartError: with what it was given it cannot start; nothing stays bound.
        """
        # No interceptors: one costs 20 to 50 us a call and none sees bytes that do not parse; see the wrapper.
        server = open_server(server_options(self.settings))
        try:
            await self._bind(server)
            self._tracing = tracing_of(self.settings)
            self.coordinator = self._make_coordinator()
            await self._open(server)
            await self._start_coordinator()
        except BaseException:
            await server.stop(None)
            await self._close_side_door()
            await self._close_prober()
            await self._close_clustering()
            self._listeners.close()
            raise
        self._server = server
        alarms = self.coordinator.alarms
        self._looking = asyncio.create_task(self._access.keep(self._clock, alarms, self._go_by_access))
        self._health.set_serving(True)
        log.info("ready", extra=self.where())

    async def _bind(self, server: grpc.aio.Server) -> None:
        settings = self.settings
        self._access = await asyncio.to_thread(Access, settings, self._clock.now().wall)
        if self._access.certificates is not None:
            self._listeners = Listeners(self._access.certificates.server_credentials)
        await self._listeners.bind(server, settings.listen, exposed=settings.insecure_listen or settings.safe_beyond)
        if self._side_door is not None:
            await self._side_door.bind(settings)

    async def _open(self, server: grpc.aio.Server) -> None:
        """Answers from now on: NOT_SERVING, until the coordinator has started."""
        identities = Identities(self._access, self._clock) if self.settings.callers_known else None
        self._door = self._make_door(identities)
        handlers = self._handlers()
        tally = None if self._side_door is None else RpcTally(self._methods)  # counted where somebody can ask
        serve(server, build_handlers(self._methods, handlers, self._door, tally, self._tracing))
        log.info("starting", extra={"version": __version__, "pid": os.getpid(), **self.where()})
        say_who_may(self.settings, self.where(), exposed=self.settings.insecure_listen)
        await server.start()
        if self._side_door is not None:
            served = Served(
                settings=self.settings,
                coordinator=self.coordinator,
                handlers=handlers,
                authenticate=None if identities is None else identities.bearer,
                rates=self._rates,
                rpcs=tally,
            )
            await self._side_door.open(served)

    def _make_door(self, identities: Identities | None) -> LimitedDoor:
        door = LimitedDoor(
            lambda: self.coordinator.serving,
            lambda: self.coordinator.registry,
            identify=identities,
            prove_member=None if self._clustering is None else self._clustering.prove_member,
            rates=self._rates,
            clock=lambda: self._clock.now().mono,
        )
        door.tell_refusals(self.coordinator.audit.refused)
        return door

    def _make_coordinator(self) -> Coordinator:
        settings = self.settings
        probe = self._probe
        if probe is None:
            self._prober = prober_of(settings)
            probe = self._prober.run
        tracing = self._tracing
        if settings.clustered:
            from orion_registry.server.clustering import ALL_METHODS, Clustering  # a daemon that is alone needs none

            self._methods = ALL_METHODS
            self._clustering = Clustering(
                settings,
                self.addresses,
                self._entropy,
                self._clock.now().wall,
                self._access.certificates,
                config=registry_config(settings),
                clock=self._clock,
                balancer=balancer_config(settings),
                audit=AuditConfig(keep=settings.audit_keep),
                probe=probe if tracing is None else tracing.probe(probe),
            )
            return self._clustering.coordinator
        return Coordinator(
            selections=Selections if tracing is None else tracing.selections,
            config=registry_config(settings),
            store=self._store or store_of(settings, self.address),
            clock=self._clock,
            entropy=self._entropy,
            balancer=balancer_config(settings),
            audit=AuditConfig(keep=settings.audit_keep),
            probe=probe if tracing is None else tracing.probe(probe),
        )

    def _handlers(self) -> Handlers:
        admin = AdminService(self.coordinator, self._listeners.addresses, self.settings.profile)
        return {
            **self._services(),
            **admin.handlers,
            **self._health.handlers,
            **self._reflection.handlers,
        }

    def _services(self) -> Handlers:
        if self._clustering is not None:
            return self._clustering.handlers_behind(self._door)
        return {
            **RegistryService(self.coordinator).handlers,
            **BalancerService(self.coordinator).handlers,
            **MonitorService(self.coordinator).handlers,
        }

    async def _close_clustering(self) -> None:
        clustering, self._clustering = self._clustering, None
        if clustering is not None:
            await clustering.close()

    async def _close_side_door(self) -> None:
        if self._side_door is not None:
            await self._side_door.close()

    async def _close_prober(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            await prober.close()

    async def _start_coordinator(self) -> None:
        coordinator, settings = self.coordinator, self.settings
        if settings.audit_file:
            file = AuditFile(Path(settings.audit_file), settings.audit_file_size, settings.audit_files)
            self._export = AuditExport(coordinator.store, coordinator.audit, file)
        try:
            await coordinator.start()
        except StoreDamaged as error:
            way_out = "restore a snapshot with `orion-registry snapshot restore FILE --data-dir DIR`"
            raise StartError(f"{error}; {way_out}, or move the directory away to begin empty") from error
        except StoreFailed as error:
            raise StartError(str(error)) from error
        except Unavailable as error:
            raise StartError(f"the store cannot be written: {error.message}") from error
        self.coordinator.registry.set_quotas(self._access.rules.quotas)
        if self._export is not None:
            self._export.start()

    async def _go_by_access(self, why: str) -> None:
        """Somebody may do more or less than before, because of these files."""
        self.coordinator.audit.did(REGISTRY_ACTOR, "AccessChanged", target=why)
        self.coordinator.registry.set_quotas(self._access.rules.quotas)
        await self._door.judge_again()

    def reconfigure(self, settings: Settings) -> None:
        """Goes by settings that differ from the present ones in rows that reload; see `Registry.reconfigure`."""
        old, self.settings = self.settings, settings
        self._rates.reconfigure(rate_limits(settings))
        self.coordinator.registry.reconfigure(registry_config(settings), balancer_config(settings))
        changed = [
            field.name for field in fields(settings) if getattr(settings, field.name) != getattr(old, field.name)
        ]
        self.coordinator.audit.did(REGISTRY_ACTOR, "Reload", target=" ".join(changed))

    async def stop(self) -> None:
        """Takes nothing new, sends every stream away and ends it, then stops. Calling it again does nothing.

        gRPC's own stop with a grace closes the ports at once, lets streams live, and returns when the last has ended:
        so it runs beside those who end them, and its grace is only for clients that do not read (measured: 0.3 s of
        1.5 s used when the streams end by themselves; all of it otherwise).
        """
        server, self._server = self._server, None
        if server is None:
            return
        log.info("stopping", extra=self.where())
        if self._looking is not None:
            self._looking.cancel()
        self._health.set_serving(False)
        # The gate shuts with coordinator.stop(), in the same turn of the loop as the ports are closed.
        stopped = asyncio.ensure_future(server.stop(self.settings.shutdown_grace_s))
        if self._export is not None:
            self.coordinator.before_close = self._export.stop
        await self.coordinator.stop()
        await self._close_clustering()
        await self._close_side_door()
        await self._close_prober()
        if self._tracing is not None:
            await self._tracing.close()
        self._health.close()
        self._reflection.close()
        await stopped
        self._listeners.close()
        log.info("stopped")

    def where(self) -> dict[str, object]:
        """Its addresses, for the log."""
        beside = {} if self._side_door is None else self._side_door.where()
        return {"address": self.addresses[0] if self.addresses else "", "addresses": list(self.addresses), **beside}

    async def __aenter__(self) -> "Daemon":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def tracing_of(settings: Settings) -> "Tracing | None":
    """What makes spans; None = nothing does, and nothing is imported for it. Raises StartError."""
    if not settings.traces:
        return None
    try:
        from orion_registry.server.tracing import Tracing
    except ImportError as error:
        raise StartError(f"traces: {error.name} is missing: install orion-registry[server,otel]") from error
    return Tracing(settings.traces)


def settle_memory() -> None:
    """Takes what lives for ever out of the garbage collector's sight; for a process that is nothing but a daemon.

    What comes later is looked at less often than Python's every 700 objects: a registration alone makes dozens that
    stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_EVERY)
