"""python -m tests.manager.threads: many threads on one embedded manager, against a model: equal.

Each thread has services of its own, which it alone changes: of these every answer is known beforehand. All threads
select among shared services too: of these the sums are known. It takes
seconds, in which nothing ends by itself: silence does so after 30 s, calls after 60.
"""

import argparse
import random
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from orion_registry import LoadBalancingStrategy, ServiceDiscoveryManager, ServiceInfo, ServiceStatus

SHARED = 12
OWN = 6
STATUSES = (ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY, ServiceStatus.STOPPING, ServiceStatus.UNKNOWN)


@dataclass
class Model:
    """One service as it must be."""

    status: ServiceStatus = ServiceStatus.HEALTHY
    weight: float = 1.0
    calls: int = 0


@dataclass
class Life:
    """What one thread did, and what it knows.

    Attributes:
        services: its own, registered now.
        calls: under way on its own, registered or not: a lease outlives its service.
        times: told of its own since they were registered.
        shared: calls begun less calls ended on shared services.
        done: what it did, by name.
        wrong: what was not as the model says.
    """

    services: dict[str, Model] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    shared: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Worker(threading.Thread):
    """One thread."""

    def __init__(self, manager: ServiceDiscoveryManager, number: int, operations: int, seed: int) -> None:
        super().__init__(name=f"worker-{number}")
        self.life = Life()
        self.number = number
        self._manager = manager
        self._operations = operations
        self._random = random.Random(seed * 1_000 + number)
        self._ids = [f"own-{number}-{place}" for place in range(OWN)]
        self._held: list[str] = []

    def run(self) -> None:
        steps = (
            self._register, self._unregister, self._beat, self._report, self._weigh, self._select, self._release,
            self._record, self._discover, self._get, self._select_shared, self._release_shared, self._switch,
        )  # fmt: skip
        weights = (3, 2, 8, 4, 2, 12, 12, 6, 4, 8, 12, 12, 1)
        try:
            for step in self._random.choices(steps, weights, k=self._operations):
                step()
                self.life.done[step.__name__] += 1
        except Exception as error:
            self.life.wrong.append(f"raised {error!r}")

    def _expect(self, what: str, got: object, wanted: object) -> None:
        if got != wanted:
            self.life.wrong.append(f"{self.name}: {what}: got {got!r}, wanted {wanted!r}")

    def _one(self) -> str:
        return self._random.choice(self._ids)

    def _ready(self) -> set[str]:
        return {one for one, model in self.life.services.items() if model.status is ServiceStatus.HEALTHY}

    def _register(self) -> None:
        one, status = self._one(), self._random.choice((*STATUSES, ServiceStatus.STARTING))
        capabilities = [f"of-{self.number}"]
        info = ServiceInfo(
            service_id=one,
            agent_id=f"agent-{self.number}",
            service_name="own",
            status=status,
            capabilities=capabilities,
        )
        self._expect("register", self._manager.registry.register_service(info), True)
        model = self.life.services.setdefault(one, Model())
        model.status = ServiceStatus.HEALTHY if status is ServiceStatus.STARTING else status

    def _unregister(self) -> None:
        one = self._one()
        known = self.life.services.pop(one, None) is not None
        self._expect("unregister", self._manager.unregister_agent_service(one), known)
        if not self.life.calls[one]:  # who has calls under way keeps what is known of it
            self.life.times[one] = 0

    def _beat(self) -> None:
        one = self._one()
        self._expect("heartbeat", self._manager.registry.heartbeat(one), one in self.life.services)

    def _report(self) -> None:
        one, status = self._one(), self._random.choice(STATUSES)
        known = one in self.life.services
        self._expect("report", self._manager.registry.update_service_status(one, status), known)
        if known:
            self.life.services[one].status = status

    def _weigh(self) -> None:
        one, weight = self._one(), self._random.choice((0.5, 1.0, 4.0))
        known = one in self.life.services
        self._expect("weigh", self._manager.set_agent_weight(one, weight), known)
        if known:
            self.life.services[one].weight = weight

    def _select(self) -> None:
        excluded = [self._one()]
        selected = self._manager.select_agent(f"of-{self.number}", exclude_agents=excluded)
        ready = self._ready() - {*excluded}
        self._expect("selected", selected is not None, bool(ready))
        if selected is not None:
            self._expect("selected is ready", selected.service_id in ready, True)
            self._expect("status of selected", selected.status, ServiceStatus.HEALTHY)
            self.life.calls[selected.service_id] += 1

    def _release(self) -> None:
        one = self._one()
        known = self.life.calls[one] > 0
        self._expect("release", self._manager.release_agent(one), known)
        if known:
            self.life.calls[one] -= 1
            if not self.life.calls[one] and one not in self.life.services:
                self.life.times[one] = 0

    def _record(self) -> None:
        one = self._one()
        known = one in self.life.services
        self._expect("record", self._manager.record_agent_response_time(one, 0.25), known)
        self.life.times[one] += known

    def _discover(self) -> None:
        healthy_only = self._random.random() < 0.5
        found = self._manager.discover_agents(f"of-{self.number}", healthy_only=healthy_only)
        wanted = self._ready() if healthy_only else set(self.life.services)
        self._expect("discovered", {one.service_id for one in found}, wanted)

    def _get(self) -> None:
        one = self._one()
        found, performance = self._manager.registry.get_service(one), self._manager.get_agent_performance(one)
        model = self.life.services.get(one)
        self._expect("status", found and found.status, model and model.status)
        if performance is not None and model is not None:
            figures = (performance["connection_count"], performance["weight"], performance["total_requests"])
            self._expect("figures", figures, (self.life.calls[one], model.weight, self.life.times[one]))

    def _select_shared(self) -> None:
        selected = self._manager.select_agent("shared")
        if selected is None:
            self.life.wrong.append("no shared service was selected")
        else:
            self._held.append(selected.service_id)
            self.life.shared[selected.service_id] += 1

    def _release_shared(self) -> None:
        if self._held:
            one = self._held.pop(self._random.randrange(len(self._held)))
            self._expect("release shared", self._manager.release_agent(one), True)
            self.life.shared[one] -= 1

    def _switch(self) -> None:
        self._manager.change_load_balancing_strategy(self._random.choice(list(LoadBalancingStrategy)))


def race(manager: ServiceDiscoveryManager, threads: int, operations: int, seed: int) -> list[str]:
    """So many operations by so many threads; returns what was not as the model says."""
    shared = [
        manager.register_agent_service(f"shared-{place}", "shared", capabilities=["shared"]) for place in range(SHARED)
    ]
    workers = [Worker(manager, number, operations // threads, seed) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    lives = [worker.life for worker in workers]
    wrong = [fault for life in lives for fault in life.wrong]
    done = sum((life.done for life in lives), Counter[str]())
    if done.total() != operations // threads * threads:
        wrong.append(f"{done.total():,} operations were done")
    return wrong + _differences(manager, lives, shared, done)


def _differences(
    manager: ServiceDiscoveryManager, lives: list[Life], shared: list[str], done: Counter[str]
) -> list[str]:
    """Where the end is not the sum of all models."""
    wanted: dict[str, tuple[str, float]] = dict.fromkeys(shared, ("healthy", 0.0))
    for life in lives:
        for one, calls in life.shared.items():
            wanted[one] = ("healthy", wanted[one][1] + calls)
        for one, model in life.services.items():
            wanted[one] = (model.status.value, life.calls[one])
    got: dict[str, tuple[str, float]] = {}
    for info in manager.registry.get_all_services():
        performance = manager.get_agent_performance(info.service_id) or {}
        got[info.service_id] = (info.status.value, performance["connection_count"])
    wrong = [
        f"{one}: got {got.get(one)}, wanted {wanted.get(one)}"
        for one in {*got, *wanted}
        if got.get(one) != wanted.get(one)
    ]
    stats = manager.get_comprehensive_stats()
    figures = stats["registry_stats"], stats["load_balancer_stats"]
    here = figures[0]["total_registrations"] - figures[0]["total_unregistrations"]
    under_way = sum(sum(life.shared.values()) + sum(life.calls.values()) for life in lives)
    pairs = {
        "services": (figures[0]["total_services"], len(wanted)),
        "registered less unregistered": (here, len(wanted)),
        "calls under way": (figures[1]["active_connections"], under_way),
        "selected less released": (figures[1]["total_selections"] - figures[1]["total_releases"], under_way),
        "discoveries": (figures[0]["total_discoveries"], done["_discover"]),
    }
    return wrong + [f"{name}: got {one}, wanted {other}" for name, (one, other) in pairs.items() if one != other]


def main() -> int:
    """Runs the command line; returns the exit code: 0 equal, 1 not."""
    parser = argparse.ArgumentParser(prog="python -m tests.manager.threads", description=__doc__)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=100_000, help="of all threads together")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.setswitchinterval(1e-5)  # threads are interrupted 500 times as often as by default
    begin = time.monotonic()
    wrong = race(ServiceDiscoveryManager(), options.threads, options.operations, options.seed)
    took_s = time.monotonic() - begin
    print(f"{options.operations:,} operations, {options.threads} threads, {took_s:.1f} s: {len(wrong)} differences")
    print("\n".join(wrong[:20]), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
