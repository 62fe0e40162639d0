"""The page under load: many services, many changes a second, many pages."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from playwright.async_api import Browser

from tests.e2e.page_browser import TABLED, Look, expect, look
from tests.e2e.page_stage import Stage

SERVICES_PER_AGENT = 50
IN_SIGHT = 24
"""Rows of a window, whose vitals a page asks for."""

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


async def read_as_a_page(base: str, ready: asyncio.Event) -> None:
    """What one more open page asks of the daemon, without the browser: ten of those would be short of two cores."""
    async with aiohttp.ClientSession(f"{base}/api/v1/", timeout=aiohttp.ClientTimeout(total=None)) as session:
        async with session.get("services", params={"include_not_ready": "true", "page_size": IN_SIGHT}) as answer:
            ids = [("service_id", one["service_id"]) for one in (await answer.json())["services"]]

        async def watch() -> None:
            async with session.get("watch", params={"include_not_ready": "true"}) as stream:
                async for _chunk in stream.content.iter_any():
                    ready.set()

        async def ask(path: str, every_s: float, params: list[tuple[str, str]]) -> None:
            while True:
                async with session.get(path, params=params) as answer:
                    await answer.read()
                await asyncio.sleep(every_s)

        await asyncio.gather(watch(), ask("vitals", 1.0, ids), ask("info", 2.0, []), ask("stats/balancer", 2.0, []))


@asynccontextmanager
async def more_pages(made: Stage, count: int) -> AsyncIterator[None]:
    """So many more readers."""
    readies = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(read_as_a_page(made.base, ready)) for ready in readies]
    await asyncio.gather(*(ready.wait() for ready in readies))
    yield
    for task in tasks:
        expect(not task.done(), f"a reader ended: {task}")
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def under_load(browser: Browser, made: Stage, weight: Weight) -> tuple[Frames, float]:
    """Prints frame times of one page, at rest and scrolled, and the daemon's CPU with none and with all pages.

    Returns those at rest, and the share of a core that the page's main thread took, in percent.
    """
    quiet = ("--trouble", "0", "--callers", "0")
    crowd = ("--per-agent", str(SERVICES_PER_AGENT), "--changes", str(weight.changes))
    await made.start_crowd(weight.services, *crowd, *quiet)
    print(f"{weight.services:,} services, {weight.changes} changes a second:")
    await asyncio.sleep(SETTLE_S)
    alone = await daemon_share(made, weight.seconds / 2)
    async with look(browser, made.base) as first:
        await first.go()
        await first.until(TABLED, f"{weight.services:,}")
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
        async with more_pages(made, weight.pages - 1):
            await asyncio.sleep(SETTLE_S)
            with_all = await daemon_share(made, weight.seconds / 2)
            expect(made.info("watchers") == weight.pages, f"a watch for each page, not {made.info('watchers')}")
        expect(await first.page.get_attribute("#connection", "data-state") == "live", "the page follows at the end")
        told = f"{alone:.0f} without a page, {with_one:.0f} with 1, {with_all:.0f} with {weight.pages}"
        print(f"  the daemon, % of a core: {told}")
    return resting, busy
