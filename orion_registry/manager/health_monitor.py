"""Active checks of the services in a registry: what they do not say of themselves."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from orion_registry.core.checks.schedule import Run
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.limits import CHECK_INTERVAL_MAX_S, CHECK_INTERVAL_MIN_S
from orion_registry.core.model import ServiceStatus
from orion_registry.core.patience import TICK_S
from orion_registry.errors import FailedPrecondition, Reason, bad_field
from orion_registry.manager.events import log
from orion_registry.manager.periodic import Periodic
from orion_registry.manager.probing import NO_HTTP, look, prober, require_http
from orion_registry.manager.registry import ServiceRegistry
from orion_registry.manager.service_info import ServiceInfo
from orion_registry.manager.specs import check_of, number

if TYPE_CHECKING:
    from orion_registry.probes.prober import Prober


class HealthMonitor:
    """Looks at every service with a port or a health_check_url while it runs.

    The rules are the daemon's: three failed runs in a row make a service UNHEALTHY, two passed ones ready again; at
    most 256 run at once, 4 at one host and port. `stop` takes back what its checks said.

    Args:
        registry: whose services. One monitor runs for a registry at a time.
        check_interval: seconds between two checks of a service, give or take 10 %; below 1 counts as 1.

    Raises:
        InvalidArgument: BAD_FIELD.
    """

    def __init__(self, registry: ServiceRegistry, check_interval: float = 30.0) -> None:
        if not isinstance(registry, ServiceRegistry):
            raise bad_field("registry", "a ServiceRegistry", registry)
        self.registry = registry
        self.check_interval = number("check_interval", check_interval, 0, CHECK_INTERVAL_MAX_S)
        self._shell = registry.shell
        self._periodic = Periodic("health checks", TICK_S, self._start_due)
        self._open = AsyncExitStack()
        self._prober: Prober | None = None
        self._runs: set[asyncio.Task[None]] = set()
        self._asked = dict.fromkeys(Verdict, 0)
        self._told_no_http = False

    # Life.

    @property
    def running(self) -> bool:
        """Between `start` and `stop`."""
        return self._periodic.running

    async def start(self) -> None:
        """Begins to check, in this event loop; the first time within 5 s. Calling it again does nothing.

        Raises:
            FailedPrecondition: WRONG_MODE, another monitor of the registry runs.
        """
        if self.running:
            return
        shell = self._shell
        with shell as now:
            other = shell.monitor
            if isinstance(other, HealthMonitor) and other.running:  # not one whose event loop has ended
                raise FailedPrecondition(Reason.WRONG_MODE, "registry: another HealthMonitor runs for it")
            shell.monitor = self
            shell.check_all(max(self.check_interval, CHECK_INTERVAL_MIN_S), now)
        self._open = AsyncExitStack()
        try:
            self._prober = await self._open.enter_async_context(prober())
        except BaseException:
            self._take_back()
            raise
        self._periodic.start()

    async def stop(self) -> None:
        """Ends that, in the event loop that started it; services are what their beats say.

        Started again while this waits for what runs, it runs on.
        """
        if self._prober is None:
            return
        opened, runs = self._open, self._runs  # taken away before anything is awaited: a `start` meanwhile has its own
        self._open, self._runs, self._prober = AsyncExitStack(), set(), None
        try:
            self._take_back()
        finally:
            async with opened:
                await self._periodic.stop()
                ending = list(runs)
                for run in ending:
                    run.cancel()
                await asyncio.gather(*ending, return_exceptions=True)

    # Checks.

    async def check_service_health(self, service_info: ServiceInfo) -> bool:
        """Looks at a service once, now, registered or not; it changes nothing.

        It asks health_check_url if there is one, else it connects to host and port. A service with port 0 is in this
        process, and one that cannot be looked at (its host is none that checks may reach) is no worse than before: it
        is healthy if the registry says so, or, if it is not registered, if it says so itself.

        Raises:
            InvalidArgument: BAD_FIELD, a health_check_url, host or port that is none.
            Unimplemented: NOT_SUPPORTED_YET, what HTTP needs is not installed: the message says what is.
        """
        if not isinstance(service_info, ServiceInfo):
            raise bad_field("service_info", "a ServiceInfo", service_info)
        interval_s = max(self.check_interval, CHECK_INTERVAL_MIN_S)
        check = check_of(service_info.health_check_url, service_info.host, service_info.port, interval_s)
        if check is None:
            return self._as_known(service_info)
        require_http(check)
        async with prober() as opened:
            outcome = await look(opened, check)
        self._asked[outcome.verdict] += 1
        if outcome.verdict in (Verdict.PASSED, Verdict.FAILED):
            return outcome.verdict is Verdict.PASSED
        log.warning("check not run", extra={"service_id": service_info.service_id, "detail": outcome.detail})
        return self._as_known(service_info)

    def get_health_stats(self) -> dict[str, Any]:
        """Checks in numbers: of the monitor's own runs, and, as `asked_*`, of `check_service_health`."""
        with self._shell:
            stats = self._shell.core.monitoring.stats()
        return {
            "running": self.running,
            "check_interval": self.check_interval,
            "monitored_services": stats.checks,
            "passing_services": stats.passing,
            "failing_services": stats.failing,
            "awaiting_services": stats.awaiting,
            "total_checks": stats.total.runs,
            "passed_checks": stats.total.passed,
            "failed_checks": stats.total.failed,
            "unavailable_checks": stats.total.unavailable + stats.total.denied,
            "success_rate": stats.total.success_rate,
            "avg_check_time": stats.total.average_s or 0.0,
            "asked_checks": sum(self._asked.values()),
            "asked_passed": self._asked[Verdict.PASSED],
            "asked_failed": self._asked[Verdict.FAILED],
        }

    # Inside.

    def _as_known(self, info: ServiceInfo) -> bool:
        known = self.registry.get_service(info.service_id)
        return info.is_healthy() if known is None else known.status is ServiceStatus.HEALTHY

    def _take_back(self) -> None:
        """Services have no checks any more, unless they are another monitor's by now."""
        with self._shell as now:
            if self._shell.monitor is self:
                self._shell.monitor = None
                self._shell.check_all(None, now)

    async def _start_due(self) -> None:
        prober = self._prober
        if prober is None:  # being stopped
            return
        with self._shell as now:
            due = self._shell.core.monitoring.due(now)
        for run in due:
            task = asyncio.get_running_loop().create_task(self._run(run, prober), name="check")
            self._runs.add(task)
            task.add_done_callback(self._runs.discard)

    async def _run(self, run: Run, prober: "Prober") -> None:
        outcome = Outcome(verdict=Verdict.UNAVAILABLE, kind=run.spec.probes[0].kind, detail="the monitor stopped")
        try:
            outcome = await look(prober, run.spec)
        finally:  # also when it is cancelled: its place must not stay taken
            with self._shell as now:
                self._shell.core.monitoring.finish(run, outcome, now)
        if outcome.detail == NO_HTTP and not self._told_no_http:
            self._told_no_http = True
            log.error(NO_HTTP, extra={"service_id": run.service_id})
