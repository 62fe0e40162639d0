"""The SDK for threads: the same names and arguments as the other, and a shared loop that ends tidily."""

import asyncio
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from orion_registry import sync
from orion_registry.client import admin, balancer, client, selection, session, watch
from orion_registry.client.agent_calls import CallFailed
from orion_registry.client.fold import WatchKind
from orion_registry.client.options import SessionOptions
from orion_registry.client.state import ConnectionState
from orion_registry.core.events import EventFilter, EventType
from orion_registry.core.frames import Drain, LostReason
from orion_registry.core.model import LivenessMode, Load, ServiceSpec, ServiceStatus
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selector import Selector
from orion_registry.errors import Aborted, InvalidArgument, NotFound, ResourceExhausted
from orion_registry.sync.loop import LoopThread, shared
from orion_registry.testing.daemon import running_daemon
from tests.cli.process import clean_environment, daemon_process

pytestmark = pytest.mark.timeout(40)
CALC = Selector(service_name="calc")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with daemon_process() as daemon:
        yield daemon.wait_ready()


@pytest.fixture
def registry(address: str) -> Iterator[sync.RegistryClient]:
    with sync.RegistryClient(address) as connected:
        yield connected
        for service in connected.discover(Selector(include_not_ready=True)).services:
            with sync.AdminClient(address) as operator:
                operator.remove_service(service.service_id)


def static(agent_id: str, **fields: Any) -> ServiceSpec:
    return ServiceSpec(agent_id=agent_id, service_name="calc", liveness=LivenessMode.STATIC, **fields)


TWINS = [
    (sync.RegistryClient, client.RegistryClient),
    (sync.HeartbeatSession, session.HeartbeatSession),
    (sync.Watch, watch.Watch),
    (sync.BalancerClient, balancer.BalancerClient),
    (sync.AdminClient, admin.AdminClient),
]
INSIDE = {"finish"}  # for the twin itself
NOT_FOR_THREADS = {"local_view"}  # docs/sdk.md says so
MORE = {("RegistryClient", "session"): {"on_command", "on_lost"}}


@pytest.mark.parametrize(("twin", "original"), TWINS)
def test_a_twin_has_every_name_of_its_original_with_the_same_arguments(twin: type, original: type) -> None:
    names = {name for name in vars(original) if not name.startswith("_")} - INSIDE - NOT_FOR_THREADS
    assert names <= {name for name in dir(twin) if not name.startswith("_")} | {"synced", "filled"}
    for name in names:
        made = inspect.getattr_static(original, name)
        if not inspect.isfunction(made):
            continue
        mine = inspect.signature(inspect.unwrap(inspect.getattr_static(twin, name))).parameters
        more = MORE.get((twin.__name__, name), set())
        theirs = inspect.signature(made).parameters
        assert {one: (mine[one].kind, mine[one].default) for one in mine if one not in more} == {
            one: (theirs[one].kind, theirs[one].default) for one in theirs
        }, name


def test_a_twin_is_made_with_the_same_arguments() -> None:
    for twin, original in TWINS:
        if twin in (sync.HeartbeatSession, sync.Watch):
            continue  # made by their client
        mine = set(inspect.signature(twin).parameters)
        assert mine == set(inspect.signature(original).parameters) - {"environment"}


def test_a_selection_has_what_its_original_has() -> None:
    fields = {name for name in selection.Selection.__slots__ if not name.startswith("_")} - {"began"}
    assert fields <= set(dir(sync.Selection))


def test_calls_and_their_typed_errors(registry: sync.RegistryClient) -> None:
    made = registry.register(static("a", tags=("x",), port=7))
    assert made.created
    assert registry.get(made.ref.service_id).port == 7
    assert [one.agent_id for one in registry.discover(CALC).services] == ["a"]
    assert registry.discover_page(CALC, page_size=1).services[0].tags == ("x",)
    assert registry.update(made.ref, static("a", tags=("y",)), ["tags"]).tags == ("y",)
    assert registry.update_status(made.ref, ServiceStatus.STOPPING).status is ServiceStatus.STOPPING
    assert registry.unregister(made.ref) > made.revision
    with pytest.raises(NotFound):
        registry.get(made.ref.service_id)
    with pytest.raises(InvalidArgument, match="timeout_s"):
        sync.RegistryClient(timeout_s=0.0)


def test_a_session_beats_while_its_thread_is_blocked_and_is_told_of_its_end(
    address: str, registry: sync.RegistryClient
) -> None:
    spec = ServiceSpec(agent_id="a", service_name="calc", port=7)
    lost: list[tuple[str, LostReason, str]] = []
    told = threading.Event()

    def on_lost(service_id: str, reason: LostReason) -> None:
        lost.append((service_id, reason, threading.current_thread().name))
        told.set()

    drains: list[Drain] = []
    quick = SessionOptions(goodbye_timeout_s=1.0)
    everything = Selector(agent_id="a", include_not_ready=True)

    def live() -> None:
        with registry.session("a", [spec], quick, on_lost=on_lost, on_command=drains.append) as held:
            assert held.connection_state is ConnectionState.CONNECTED
            assert held.wait_for(ConnectionState.CONNECTED) is ConnectionState.CONNECTED
            held.set_load(Load(in_flight=2))
            held.report_task(1)
            held.report_idle()
            time.sleep(3.5)  # more than the registry waits for a beat
            seen = registry.get(held.ref().service_id)
            assert (seen.status, seen.load) == (ServiceStatus.HEALTHY, Load(in_flight=2))
            held.report_status(ServiceStatus.STOPPING)
            with sync.AdminClient(address) as operator:
                operator.set_overlay(everything, OverlayMode.DRAIN)
                operator.set_overlay(everything, OverlayMode.NONE)
            with registry.session("a", [spec], SessionOptions(takeover=True)):
                assert told.wait(5)
                with pytest.raises(Aborted):
                    held.ended()

    with pytest.raises(Aborted):
        live()
    assert [(reason, name == "orion-sync") for _, reason, name in lost] == [(LostReason.SUPERSEDED, False)]
    assert len(drains) == 1


def test_a_watch_is_iterated_and_its_view_is_a_copy(registry: sync.RegistryClient) -> None:
    with registry.watch(CALC) as watching:
        assert watching.synced.wait(5)
        assert watching.synced.is_set()
        before = watching.services
        made = registry.register(static("a"))
        event = next(one for one in watching if one.kind is WatchKind.ADDED)
        assert event.service is not None
        assert event.service.service_id == made.ref.service_id
        assert (set(before), set(watching.services)) == (set(), {made.ref.service_id})
        assert watching.connection_state is ConnectionState.CONNECTED
        assert watching.position[0] >= made.revision
        threading.Timer(0.1, watching.close).start()
        assert list(watching) == []


def test_selections_and_their_outcomes(address: str, registry: sync.RegistryClient) -> None:
    service_id = registry.register(static("a", max_concurrency=1)).ref.service_id
    with sync.BalancerClient(address, caller="ann") as slots, sync.AdminClient(address) as operator:
        with slots.select(CALC) as one:
            assert (one.service.service_id, one.holds, one.ttl_s, one.why_lost) == (service_id, True, 60.0, None)
            assert [held.selection_id for held in slots.held] == [one.selection_id]
            with pytest.raises(ResourceExhausted):
                slots.acquire(CALC)
            assert not one.lost.wait(0.05)
        assert not one.holds
        with suppress(ValueError), slots.select(CALC, wait_s=2.0) as one:
            one.outcome = Outcome.TIMED_OUT
            raise ValueError
        assert (one.outcome, one.holds) == (Outcome.TIMED_OUT, False)
        last = slots.acquire(CALC, wait_s=2.0)
        operator.remove_service(service_id)
        assert last.lost.wait(5)
        slots.release(last, Outcome.FAILED)
        slots.report(registry.register(static("b")).ref.service_id, Outcome.SUCCEEDED, 0.1)


def test_an_agent_is_called(address: str, registry: sync.RegistryClient) -> None:
    source = "\n".join(
        [
            "from orion_registry import Agent",
            "agent = Agent('calc')",
            "@agent.capability('math.div')",
            "def div(a, b): return a / b",
            "agent.run()",
        ]
    )
    agent = subprocess.Popen(
        [sys.executable, "-c", source],
        env=clean_environment(ORION_ADDRESS=address),
        stderr=subprocess.PIPE,
    )
    try:
        with registry.watch(Selector(capabilities=("math.div",))) as watching:
            next(one for one in watching if one.service is not None and one.service.ready)
        with sync.BalancerClient(address) as slots:
            assert slots.call("math.div", {"a": 1, "b": 2}) == 0.5
            with pytest.raises(CallFailed, match="ZeroDivisionError"):
                slots.call("math.div", {"a": 1, "b": 0})
    finally:
        agent.terminate()
        _, said = agent.communicate(timeout=10)
    assert (agent.returncode, b"Traceback" in said) == (0, True)  # of the failed call
    assert b"agent calc serves math.div on 127.0.0.1:" in said


def test_operators(address: str, registry: sync.RegistryClient) -> None:
    service_id = registry.register(static("a")).ref.service_id
    with sync.AdminClient(address) as operator:
        assert operator.server_info().version
        operator.set_overlay(CALC, OverlayMode.QUARANTINE, note="why")
        assert [one.key.service_id for one in operator.overlays()] == [service_id]
        operator.set_overlay(Selector(service_name="calc", include_not_ready=True), OverlayMode.NONE)
        assert operator.list_events(page_size=1).events
        pages = operator.watch_events(EventFilter(types=frozenset({EventType.SERVICE_REGISTERED})))
        assert any(page.events for page in pages)
        pages.close()  # type: ignore[attr-defined] # an iterator that can be
        file = list(operator.export_snapshot())
        assert operator.import_snapshot(file).kept == 1
        assert operator.remove_service(service_id) > 0


def test_many_threads_share_a_client(registry: sync.RegistryClient) -> None:
    registry.register(static("a"))
    found: list[int] = []

    def look() -> None:
        found.extend(len(registry.discover(CALC).services) for _ in range(20))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [1] * 160
    assert sum(thread.name == "orion-sync" for thread in threading.enumerate()) == 1


async def test_a_program_with_a_loop_of_its_own_may_use_it_from_its_threads() -> None:
    """gRPC serves both loops of the process."""
    async with running_daemon() as daemon, client.RegistryClient(daemon.address) as mine:

        def elsewhere() -> int:
            with sync.RegistryClient(daemon.address) as theirs:
                theirs.register(static("a"))
                return sum(len(theirs.discover(CALC).services) for _ in range(50))

        found = await asyncio.gather(asyncio.to_thread(elsewhere), *(mine.discover(CALC) for _ in range(50)))
        assert found[0] == 50


def test_what_would_wait_for_ever_is_refused(registry: sync.RegistryClient) -> None:
    def inside() -> None:
        registry.discover(CALC)

    with pytest.raises(RuntimeError, match="would wait for itself"):
        shared().read(inside)
    child = LoopThread()
    child._pid = os.getpid() + 1
    with pytest.raises(RuntimeError, match="do not survive a fork"):
        child.read(inside)


def test_an_interrupted_call_is_cancelled() -> None:
    """As by Ctrl-C in the thread that waits."""
    loop, cancelled = LoopThread(), threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run(work())
    finally:
        signal.signal(signal.SIGALRM, before)
    assert cancelled.wait(5)
    loop._end()


def test_a_program_that_closes_nothing_ends_all_the_same(address: str) -> None:
    """What still runs is cancelled, so that its clean-up is done."""
    source = "\n".join(
        [
            "import sys; from orion_registry.sync import RegistryClient, BalancerClient",
            "from orion_registry import ServiceSpec, Selector",
            "client = RegistryClient(sys.argv[1]).__enter__()",
            "spec = ServiceSpec(agent_id='left', service_name='left', port=1)",
            "client.session('left', [spec]).start()",
            "client.watch().__enter__().synced.wait(5)",
            "BalancerClient(sys.argv[1]).__enter__().acquire(Selector(service_name='left'))",
            "import asyncio; from orion_registry.sync.loop import shared",
            "async def last():",
            "    try: await asyncio.sleep(60)",
            "    finally: print('tidy')",
            "async def begin(): return asyncio.create_task(last())",
            "kept = shared().run(begin()); shared().read(lambda: None)",
            "print('end')",
        ]
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", source, address],
        capture_output=True,
        text=True,
        timeout=20,
        env=clean_environment(),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\ntidy\n", "")
    assert time.monotonic() - began < 10
