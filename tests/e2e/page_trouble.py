"""What the page shows when something is wrong: alarms, a stall, the way cut, the daemon gone."""

import asyncio
import os
import signal
import time
from pathlib import Path

from playwright.async_api import Browser

from examples.demo.processes import Child
from orion_registry.testing.proxy import LinkProxy
from tests.e2e.page_browser import KIND, NOTICE, STATE, TABLED, expect, look
from tests.e2e.page_stage import VICTIM, Stage

STALL_S = 2.5
HIDDEN_S = 21
"""Longer than a page in the background holds on."""


async def alarms(browser: Browser, made: Stage, crowd: Child) -> None:
    """A whole fleet falls silent: the banner says so, and that it is over; so it does of a stall of the registry."""
    assert made.daemon is not None
    async with look(browser, made.base) as seen:
        await seen.go()
        await seen.until(TABLED, "1,0")
        os.kill(crowd.pid, signal.SIGSTOP)
        try:
            await seen.until(NOTICE, "Mass hold")
            await seen.until("() => document.querySelector('#spoken').textContent.includes('Alarm: Mass hold')")
            await seen.filter("is:degraded reason:held")
            await seen.until(KIND, "degraded")
        finally:
            os.kill(crowd.pid, signal.SIGCONT)
        await seen.until("() => !document.querySelector('#notices').textContent.includes('Mass hold')")
        os.kill(made.daemon.pid, signal.SIGSTOP)
        await asyncio.sleep(STALL_S)
        os.kill(made.daemon.pid, signal.SIGCONT)
        await seen.until(NOTICE, "The registry stood still for")
    print("alarms: a mass hold is told, and its end; so is a stall of the registry")


async def resumes(browser: Browser, made: Stage, *, frozen: bool) -> None:
    """The way is cut while the registry lives on: the page goes on from where it was. Frozen: no byte says so."""
    proxy = LinkProxy(made.http)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        async with look(browser, f"http://{host}:{port}") as seen:
            await seen.go()
            await seen.until(TABLED, "1,0")
            await seen.filter(f"agent:{VICTIM}")
            (await made.start_victim()).kill()  # the one before may have been removed by now
            await seen.until(KIND, "unhealthy")
            began = time.monotonic()
            if frozen:
                proxy.freeze()
            else:
                await proxy.refuse()
            await seen.until(STATE, "lost")
            lost_s = time.monotonic() - began
            victim = await made.start_victim()
            await proxy.heal()
            await seen.until(NOTICE, "meanwhile")
            await seen.until(KIND, "healthy")
            victim.kill()
            await seen.until(KIND, "unhealthy")
    finally:
        server.close()
        proxy.end()
    print(f"the way {'frozen' if frozen else 'cut'}: told after {lost_s:.1f} s; it went on with the changes alone")


async def rests(browser: Browser, made: Stage) -> None:
    """A page that nobody looks at lets go of its connections, and takes them up again."""
    hide = """hidden => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    async with look(browser, made.base) as seen:
        await seen.page.clock.install()
        await seen.go()
        await seen.until(TABLED, "1,0")
        await seen.page.evaluate(hide, True)
        expect(made.info("watchers") == 1, "a glance aside changes nothing")
        await seen.page.clock.fast_forward(HIDDEN_S * 1_000)
        await seen.until(STATE, "paused")
        for _ in range(150):  # the registry notices with its next word to it
            if (left := made.info("watchers")) == 0:
                break
            await asyncio.sleep(0.2)
        expect(left == 0, "the registry has no watch left")
        await seen.page.evaluate(hide, False)
        await seen.until(STATE, "live")
        await seen.until(TABLED, "1,0")
    print("in the background it lets go of its connection, and comes back when it is looked at")


async def lost_and_back(browser: Browser, made: Stage, out: Path | None) -> None:
    """The daemon goes and comes."""
    async with look(browser, made.base) as seen:
        await seen.go()
        await seen.until(TABLED, "1,0")
        before = await seen.page.inner_text("#found")
        await made.stop_daemon()
        began = time.monotonic()
        await seen.until(STATE, "lost")
        lost_ms = 1_000 * (time.monotonic() - began)
        await seen.until(NOTICE, "shown as it was at")
        await seen.shot(out, "lost")
        expect(await seen.page.inner_text("#found") == before, "the fleet stays in sight")
        await made.start_daemon()
        began = time.monotonic()
        await seen.until(STATE, "live")
        back_ms = 1_000 * (time.monotonic() - began)
        await seen.until(NOTICE, "Connected again")
        await seen.until(NOTICE, "read again")
        await seen.until("() => document.querySelector('#spoken').textContent.includes('again')")
        await seen.shot(out, "back")
        await seen.until(TABLED, before)
    print(f"lost: told {max(0.0, lost_ms):.0f} ms after the daemon's end; back: {back_ms:.0f} ms after it answered")
