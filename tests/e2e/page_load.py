"""The page under load: many services, many changes a second, many pages."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from playwright.async_api import Browser

from tests.e2e.page_browser import Look, expect, look
from tests.e2e.page_stage import Stage

SERVICES_PER_AGENT = 50
SETTLE_S = 2.0

FRAMES = """seconds => new Promise(done => {
    const frames = [];
    let last = performance.now();
    const end = last + seconds * 1000;
    const next = now => {
        frames.push(now - last);
        last = now;
        if (now < end) requestAnimationFrame(next); else done(frames.slice(1));
    };
    requestAnimationFrame(next);
})"""

SCROLL = """seconds => {
    const grid = document.querySelector('#fleet-grid');
    const began = performance.now();
    const step = now => {
        grid.scrollTop += 36;
        if (now - began < seconds * 1000) requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """How much: services, changes of status a second, open pages, seconds of each measurement."""

    services: int
    changes: int
    pages: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Times between frames, in milliseconds."""

    median: float
    p99: float
    most: float

    @classmethod
    def of(cls, times: list[float]) -> "Frames":
        """From all of them."""
        ordered = sorted(times)
        return cls(median=statistics.median(ordered), p99=ordered[int(0.99 * (len(ordered) - 1))], most=ordered[-1])

    def __str__(self) -> str:
        return f"median {self.median:.1f} ms, 99 % {self.p99:.1f} ms, most {self.most:.1f} ms"


async def frames(seen: Look, seconds: float) -> Frames:
    """As the page itself sees them."""
    return Frames.of(await seen.page.evaluate(FRAMES, seconds))


async def daemon_share(made: Stage, seconds: float) -> float:
    """Of one core, in percent."""
    before = made.cpu_s()
    await asyncio.sleep(seconds)
    return 100.0 * (made.cpu_s() - before) / seconds


async def open_page(stack: AsyncExitStack, browser: Browser, made: Stage, services: int) -> Look:
    """One more page, with its list whole."""
    seen = await stack.enter_async_context(look(browser, made.base))
    await seen.go()
    await seen.until("text => document.querySelector('#found').textContent.startsWith(text)", f"{services:,}")
    return seen


async def under_load(browser: Browser, made: Stage, weight: Weight) -> Frames:
    """Prints frame times of one page, at rest and scrolled, and the daemon's CPU with none and with all pages."""
    quiet = ("--trouble", "0", "--callers", "0")
    crowd = ("--per-agent", str(SERVICES_PER_AGENT), "--changes", str(weight.changes))
    await made.start_crowd(weight.services, *crowd, *quiet)
    print(f"{weight.services:,} services, {weight.changes} changes a second:")
    await asyncio.sleep(SETTLE_S)
    alone = await daemon_share(made, weight.seconds / 2)
    async with AsyncExitStack() as stack:
        first = await open_page(stack, browser, made, weight.services)
        await asyncio.sleep(SETTLE_S)
        began, revision, busy_s = time.monotonic(), made.info("revision"), await first.busy_s()
        resting = await frames(first, weight.seconds)
        took_s = time.monotonic() - began
        rate = (made.info("revision") - revision) / took_s
        busy = 100.0 * (await first.busy_s() - busy_s) / took_s
        print(f"  frames: {resting}; {rate:.0f} changes a second were made")
        print(f"  the page's main thread, % of a core: {busy:.0f}")
        await first.page.evaluate(SCROLL, weight.seconds / 2)
        print(f"  scrolled a row each frame: {await frames(first, weight.seconds / 2)}")
        with_one = await daemon_share(made, weight.seconds / 2)
        others = [await open_page(stack, browser, made, weight.services) for _ in range(weight.pages - 1)]
        await asyncio.sleep(SETTLE_S)
        with_all = await daemon_share(made, weight.seconds / 2)
        states = [await seen.page.get_attribute("#connection", "data-state") for seen in (first, *others)]
        expect(states == ["live"] * weight.pages, f"all pages follow at the end: {states}")
        expect(made.info("watchers") == weight.pages, f"a watch for each page, not {made.info('watchers')}")
        told = f"{alone:.0f} without a page, {with_one:.0f} with 1, {with_all:.0f} with {weight.pages}"
        print(f"  the daemon, % of a core: {told}")
    return resting
