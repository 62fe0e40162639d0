"""Promise 10: a watcher misses no last state, or is told to resync; cut anywhere, resumed anywhere."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orion_registry.core.history import Edge
from orion_registry.core.model import ServiceStatus, Snapshot
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchBuffer, WatchKind, in_view
from tests.building import ALL, STATIC, World, make_spec, ref_of

SELECTORS = [
    ALL,
    Selector(),
    Selector(tags=("red",)),
    Selector(tags=("red",), include_not_ready=True),
    Selector(statuses=frozenset({ServiceStatus.UNHEALTHY})),
]


class Client:
    """A watcher that does what DESIGN section 5 says, and no more: what a RESYNC does not add again is dropped."""

    def __init__(self, world: World, selector: Selector) -> None:
        self.world = world
        self.selector = selector
        self.view: dict[str, Snapshot] = {}
        self.stale: set[str] = set()
        self.revision = 0
        self.resyncs = 0
        self.resumes = 0
        self.buffer = self.connect(0, "")

    def connect(self, revision: int, history_id: str) -> WatchBuffer:
        self.stale = set() if revision else set(self.view)
        self.buffer = self.world.registry.watch(self.selector, revision, history_id)
        return self.buffer

    def resume(self, rng: random.Random) -> None:
        """Cut and back again: nearly always from where it was, now and then with a position that is no good."""
        self.resumes += 1
        history_id = self.world.registry.history_id
        match rng.randrange(20):
            case 0:
                self.connect(self.revision, "another life")
            case 1:
                self.connect(self.revision + 10**6, history_id)
            case 2:
                self.connect(0, history_id)
            case _:
                self.connect(self.revision, history_id)

    def offer(self, edge: Edge) -> None:
        self.buffer.offer(edge, *in_view(self.selector, edge))

    def take(self, most: int) -> None:
        batch = self.buffer.take(most, self.world.registry.revision)
        for event in batch.events:
            match event.kind:
                case WatchKind.RESYNC:
                    self.resyncs += 1
                    self.stale = set(self.view)
                case WatchKind.BOOKMARK:
                    for service_id in self.stale:
                        del self.view[service_id]
                    self.stale = set()
                case WatchKind.REMOVED:
                    assert event.snapshot is not None
                    assert event.removal is not None
                    self.view.pop(event.snapshot.service_id, None)
                    self.stale.discard(event.snapshot.service_id)
                case _:
                    assert event.snapshot is not None
                    assert self.selector.matches(event.snapshot), "out of view is never added"
                    self.view[event.snapshot.service_id] = event.snapshot
                    self.stale.discard(event.snapshot.service_id)
        self.revision = batch.revision

    def check(self) -> None:
        """Drained, the view is what a fresh look at everything finds."""
        while not self.buffer.idle:
            self.take(7)
        entries = self.world.registry._fleet.catalog
        assert self.view == {e.service_id: e.snapshot for e in entries if self.selector.matches(e.snapshot)}
        assert self.revision <= self.world.registry.revision


class Churn:
    """Random changes of a small fleet, and watchers of it."""

    def __init__(self, seed: int, watchers: int, history: int = 1_024, services: int = 25) -> None:
        self.rng = random.Random(seed)
        self.world = World(history=history)
        self.services = services
        self.clients = [Client(self.world, SELECTORS[number % len(SELECTORS)]) for number in range(watchers)]
        self.seen = 0

    def change(self) -> None:
        world, rng = self.world, self.rng
        agent_id = f"a{rng.randrange(self.services)}"
        spec = make_spec(agent_id, liveness=STATIC, tags=("red",) if rng.random() < 0.5 else ())
        kind = rng.randrange(6)
        if kind < 2:
            world.register(spec)
        else:
            known = [entry for entry in world.registry._fleet.catalog if entry.spec.agent_id == agent_id]
            for entry in known:
                if kind == 2:
                    world.remove(entry.service_id)
                else:
                    status = rng.choice([ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY, ServiceStatus.STARTING])
                    world.registry.report_status(ref_of(entry), status, world.now)
        for edge in world.edges[self.seen :]:
            for client in self.clients:
                client.offer(edge)
        self.seen = len(world.edges)


def test_ten_thousand_changes_with_each_watcher_cut_and_resumed_two_hundred_times() -> None:
    """Must-show 9, on the core: the fold equals a fresh snapshot each time."""
    churn = Churn(seed=9, watchers=3)
    changes = checks = 0
    while churn.seen < 10_000:
        churn.change()
        changes += 1
        for client in churn.clients:
            if churn.rng.random() < 0.2:
                client.take(churn.rng.choice([1, 2, 3, 500]))
            if churn.rng.random() < 0.022:
                client.resume(churn.rng)
                if churn.rng.random() < 0.5:
                    client.take(churn.rng.randrange(1, 4))  # and soon cut again, perhaps
                else:
                    client.check()
                    checks += 1
    for client in churn.clients:
        assert client.resumes >= 200
        client.check()
    assert checks > 250


def test_a_ring_too_small_resyncs_and_loses_nothing() -> None:
    churn = Churn(seed=3, watchers=len(SELECTORS), history=8)
    for _ in range(2_000):
        churn.change()
        for client in churn.clients:
            if churn.rng.random() < 0.1:
                client.take(churn.rng.choice([3, 500]))
            if churn.rng.random() < 0.05:
                client.resume(churn.rng)
    for client in churn.clients:
        client.check()
        assert client.resyncs > 10


def run(seed: int, history: int, steps: int) -> None:
    churn = Churn(seed, watchers=3, history=history, services=4)
    rng = churn.rng
    rng.shuffle(churn.clients)
    for _ in range(steps):
        churn.change()
        client = rng.choice(churn.clients)
        match rng.randrange(4):
            case 0:
                client.take(rng.randrange(1, 3))
            case 1:
                client.resume(rng)
            case 2:
                client.buffer.bookmark()
            case _:
                client.check()
    for client in churn.clients:
        client.check()


@settings(max_examples=60, derandomize=True)
@given(seed=st.integers(0, 2**32), history=st.sampled_from([1, 2, 5, 1_000]), steps=st.integers(1, 60))
def test_any_order_of_changes_cuts_and_resumes(seed: int, history: int, steps: int) -> None:
    run(seed, history, steps)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@settings(max_examples=1_500)
@given(seed=st.integers(0, 2**32), history=st.sampled_from([1, 2, 5, 1_000]), steps=st.integers(1, 200))
def test_any_order_of_changes_cuts_and_resumes_at_length(seed: int, history: int, steps: int) -> None:
    run(seed, history, steps)
