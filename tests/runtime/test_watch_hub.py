"""runtime/watch_hub: news reach who has them in view; one that takes nothing is cut, and costs bounded memory."""

import asyncio
from collections.abc import Callable

from orion_registry.core.history import Edge
from orion_registry.core.model import Snapshot
from orion_registry.core.selector import Selector
from orion_registry.core.watching import WatchBuffer, WatchKind
from orion_registry.errors import Reason
from orion_registry.runtime.watch_hub import BATCH, BOOKMARK_EVERY_S, STALLED_S, Watcher, WatchHub
from orion_registry.testing.clock import VirtualClock
from tests.building import ALL, make_record, make_snapshot, make_spec
from tests.runtime.virtual import in_virtual_time, refused, settle


class Hub(WatchHub):
    def __init__(self) -> None:
        self.virtual = VirtualClock()
        self.at = 1
        super().__init__(self.virtual, lambda: self.at)

    def started(self, selector: Selector = ALL, cut: Callable[[], None] = lambda: None) -> Watcher:
        buffer = WatchBuffer(selector)
        buffer.start([], resync=False)
        return self.open(buffer, cut)

    def change(self, name: str, before: Snapshot | None = None, *, ready: bool = True) -> Snapshot:
        self.at += 1
        after = make_snapshot(make_record(make_spec(service_id=name)), ready=ready, revision=self.at)
        self.publish(Edge(self.at, name, before, after))
        return after


async def kinds(watcher: Watcher) -> list[str]:
    return [event.kind.name for event in (await watcher.next_batch()).events]


@in_virtual_time
async def test_news_reach_a_waiting_watcher_at_once() -> None:
    hub = Hub()
    watcher = hub.started()
    assert await kinds(watcher) == ["BOOKMARK"]
    waiting = asyncio.create_task(kinds(watcher))
    await settle()
    assert not waiting.done()
    hub.change("a")
    assert await waiting == ["ADDED"]


@in_virtual_time
async def test_only_who_has_it_in_view_is_told() -> None:
    hub = Hub()
    every, ready = hub.started(), hub.started(Selector())
    hub.change("a", ready=False)
    assert await kinds(every) == ["ADDED", "BOOKMARK"]
    assert await kinds(ready) == ["BOOKMARK"]
    assert ready.buffer.idle


@in_virtual_time
async def test_watchers_of_one_selector_stand_together_and_each_gets_all() -> None:
    hub = Hub()
    watchers = [hub.started() for _ in range(3)] + [hub.started(Selector())]
    assert len(hub) == 4
    assert len(hub._watchers) == 2
    hub.change("a")
    assert [await kinds(watcher) for watcher in watchers] == [["ADDED", "BOOKMARK"]] * 4
    for watcher in watchers:
        watcher.close()
        watcher.close()
    assert len(hub) == 0
    assert hub._watchers == {}, "selectors that nobody watches are forgotten"


@in_virtual_time
async def test_batches_are_bounded() -> None:
    hub = Hub()
    watcher = hub.started()
    for number in range(BATCH + 1):
        hub.change(f"s{number}")
    first, second = await watcher.next_batch(), await watcher.next_batch()
    assert (len(first.events), first.revision) == (BATCH, 0)
    assert ([event.kind for event in second.events], second.revision) == (
        [WatchKind.ADDED, WatchKind.BOOKMARK],
        hub.at,
    )


@in_virtual_time
async def test_a_slow_watcher_holds_the_last_states_only() -> None:
    hub = Hub()
    watcher = hub.started()
    last = None
    for _ in range(10_000):
        last = hub.change("a", last)
    assert len(watcher.buffer._pending) == 1
    assert (await watcher.next_batch()).events[0].snapshot is last


def test_one_that_takes_nothing_is_cut_once() -> None:
    hub, cuts = Hub(), []
    stalled = hub.started(cut=lambda: cuts.append("stalled"))
    idle = hub.started(cut=lambda: cuts.append("idle"))
    with stalled.sending():
        hub.virtual.advance(STALLED_S)
        hub.tick()
        assert cuts == []
        hub.virtual.advance(0.1)
        hub.tick()
        hub.tick()
        assert cuts == ["stalled"]
    with idle.sending():
        hub.virtual.advance(1)
    hub.virtual.advance(100)
    hub.tick()
    assert cuts == ["stalled"], "one that waits for news is not stalled"


@in_virtual_time
async def test_now_and_then_a_bookmark_tells_how_far_the_registry_is() -> None:
    hub = Hub()
    watcher = hub.started(Selector(tags=("other",)))
    await watcher.next_batch()
    hub.change("a")
    hub.virtual.advance(BOOKMARK_EVERY_S)
    hub.tick()
    batch = await watcher.next_batch()
    assert ([event.kind.name for event in batch.events], batch.revision) == (["BOOKMARK"], hub.at)
    hub.virtual.advance(BOOKMARK_EVERY_S)
    hub.tick()
    assert watcher.buffer.idle, "nothing has happened since"
    hub.change("b")
    hub.virtual.advance(BOOKMARK_EVERY_S - 0.1)
    hub.tick()
    hub.virtual.advance(0.1)
    hub.tick()
    assert await kinds(watcher) == ["BOOKMARK"]


@in_virtual_time
async def test_a_stop_ends_every_watch() -> None:
    hub = Hub()
    watcher = hub.started()
    await watcher.next_batch()
    waiting = asyncio.create_task(refused(watcher.next_batch()))
    await settle()
    hub.stop()
    assert (await waiting).reason is Reason.NOT_SERVING
    assert (await refused(watcher.next_batch())).reason is Reason.NOT_SERVING
