"""The registry of services in this process: who is there, and how they are."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any

from orion_registry.core.model import ServiceStatus
from orion_registry.core.selector import Selector
from orion_registry.errors import AlreadyExists
from orion_registry.manager.events import Callback, EventKind, log
from orion_registry.manager.periodic import Periodic
from orion_registry.manager.service_info import ServiceInfo, status_of
from orion_registry.manager.shell import Shell
from orion_registry.manager.specs import number, selector_of, text

INTERVAL_MIN_S, INTERVAL_MAX_S = 0.01, 86_400.0
"""Of clean-up: shorter ones would do nothing else, longer ones nothing."""

AT_ONCE = 256
"""Services removed under one hold of the lock: nobody waits for the rest of a large clean-up."""

ALL = Selector(include_not_ready=True)


class ServiceRegistry:
    """Services, in memory and in this process. Every method works before `start` and from any thread.

    Args:
        registry_id: its name; made if not given.
        cleanup_interval: seconds between two clean-ups while it runs.

    Attributes:
        registry_id: its name.
        cleanup_interval: seconds.
        shell: the core and its lock; for this package alone.

    Raises:
        InvalidArgument: BAD_FIELD.
    """

    def __init__(self, registry_id: str | None = None, cleanup_interval: float = 60.0) -> None:
        self.registry_id = text("registry_id", registry_id) if registry_id else f"registry-{uuid.uuid4().hex[:12]}"
        self.cleanup_interval = number("cleanup_interval", cleanup_interval, INTERVAL_MIN_S, INTERVAL_MAX_S)
        self.shell = Shell()
        self._periodic = Periodic("clean-up", cleanup_interval, self._clean_up)
        self._started_at = self.shell.now().mono
        self._counts: Counter[str] = Counter()

    # Life.

    @property
    def running(self) -> bool:
        """Between `start` and `stop`."""
        return self._periodic.running

    async def start(self) -> None:
        """Begins to clean up every `cleanup_interval` seconds in this event loop. Calling it again does nothing."""
        self._periodic.start()

    async def stop(self) -> None:
        """Ends that; services stay, and everything else goes on working."""
        await self._periodic.stop()

    # Coming and going.

    def register_service(self, service_info: ServiceInfo) -> bool:
        """Registers a copy, or updates the service with the same service_id.

        That is its first beat: it is HEALTHY, unless it says UNHEALTHY, STOPPING or UNKNOWN of itself. It stays so
        without beats until its first `heartbeat`.

        Returns:
            False if the service_id belongs to another agent_id or service_name, which is logged.

        Raises:
            InvalidArgument: BAD_FIELD, naming the field, its limit and what came.
        """
        shell = self.shell
        with shell as now:
            try:
                created = shell.register(service_info, now)
            except AlreadyExists as error:
                log.warning("registration refused", extra={"service_id": service_info.service_id, "error": str(error)})
                return False
            self._counts["registrations" if created else "updates"] += 1
        return True

    def unregister_service(self, service_id: str) -> bool:
        """Removes a service; False if there is none."""
        shell = self.shell
        with shell as now:
            if service_id not in shell.core:
                return False
            shell.unregister(service_id, now)
            self._counts["unregistrations"] += 1
        return True

    def heartbeat(self, service_id: str) -> bool:
        """A sign of life; False if there is no such service.

        From the first one on the service is UNHEALTHY once 30 s pass without another, and HEALTHY again with the next.
        """
        shell = self.shell
        with shell as now:
            if service_id not in shell.core:
                return False
            shell.beat(service_id, now)
            self._counts["heartbeats"] += 1
        return True

    def update_service_status(self, service_id: str, status: ServiceStatus) -> bool:
        """Takes what a service says of itself; False if there is none. HEALTHY takes back what it said before.

        It can make things worse, never better: one that has fallen silent stays UNHEALTHY until its next beat.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        status = status_of("status", status)
        shell = self.shell
        with shell as now:
            if service_id not in shell.core:
                return False
            shell.report(service_id, status, now)
        return True

    def cleanup(self) -> int:
        """Removes now what has been dead for 60 s, as the clean-up of a started registry does; returns how many."""
        shell, before = self.shell, self.shell.expired
        while True:
            with shell as now:
                if not shell.sweep(now, AT_ONCE):
                    return shell.expired - before

    # Reads.

    def discover_services(
        self,
        service_type: str | None = None,
        capability: str | None = None,
        tags: Iterable[str] | None = None,
        healthy_only: bool = True,
    ) -> list[ServiceInfo]:
        """Copies of the services that match all that is given, in the order of their registration.

        Args:
            service_type: theirs.
            capability: one that they have.
            tags: a list; they have all of them.
            healthy_only: only those that may be selected now.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        selector = selector_of(service_type, capability, tags, not_ready=not healthy_only)
        shell = self.shell
        with shell as now:
            found = shell.copies(selector)
            self._counts["discoveries"] += 1
            if shell.listeners.hears(EventKind.DISCOVERY):
                shell.tell(
                    EventKind.DISCOVERY,
                    "discovered",
                    now,
                    count=len(found),
                    service_type=service_type,
                    capability=capability,
                    tags=selector.tags,
                    healthy_only=healthy_only,
                )
        return found

    def get_service(self, service_id: str) -> ServiceInfo | None:
        """A copy of a service, whatever its status; None if there is none."""
        shell = self.shell
        with shell:
            return shell.copy_of(service_id) if service_id in shell.core else None

    def get_all_services(self) -> list[ServiceInfo]:
        """Copies of all services, whatever their status, in the order of their registration."""
        shell = self.shell
        with shell:
            return shell.copies(ALL)

    def get_registry_stats(self) -> dict[str, Any]:
        """The registry in numbers: services as of now, and counts since it was made."""
        shell = self.shell
        with shell as now:
            entries = shell.found(ALL)
            statuses = Counter(entry.snapshot.status for entry in entries)
            types = Counter(entry.spec.service_type for entry in entries)
            capabilities = {capability for entry in entries for capability in entry.spec.capabilities}
            return {
                "registry_id": self.registry_id,
                "running": self.running,
                "uptime_seconds": now.mono - self._started_at,
                "cleanup_interval": self.cleanup_interval,
                "total_services": len(entries),
                "healthy_services": statuses[ServiceStatus.HEALTHY],
                "unhealthy_services": statuses[ServiceStatus.UNHEALTHY],
                "services_by_status": {status.value: count for status, count in statuses.items()},
                "services_by_type": dict(types),
                "capabilities": sorted(capabilities),
                "total_registrations": self._counts["registrations"],
                "total_updates": self._counts["updates"],
                "total_unregistrations": self._counts["unregistrations"],
                "total_expired": shell.expired,
                "total_heartbeats": self._counts["heartbeats"],
                "total_discoveries": self._counts["discoveries"],
            }

    # Events.

    def add_event_listener(self, kind: EventKind, callback: Callback) -> None:
        """Calls `callback(event)` for each event of a kind, after the fact, in the thread that brought it about.

        It may call the registry. If it raises, that is logged, and nothing else suffers.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        self.shell.listeners.add(kind, callback)

    def remove_event_listener(self, kind: EventKind, callback: Callback) -> bool:
        """Takes one addition back; False if there was none.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        return self.shell.listeners.remove(kind, callback)

    # Inside.

    async def _clean_up(self) -> None:
        removed = await asyncio.get_running_loop().run_in_executor(None, self.cleanup)
        if removed:
            log.info("dead services removed", extra={"registry_id": self.registry_id, "services": removed})
