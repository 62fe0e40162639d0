"""Real Chromium, driven by Playwright, looking at the registry's page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, CDPSession, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
DESKTOP = (1440, 900)
PHONE = (390, 844)
PATIENCE_MS = 60_000.0
"""How long a condition may take on a busy machine. What has to be fast is measured, not waited for."""

# Conditions in JavaScript, each of one argument.
TABLED = "text => document.querySelector('#found').textContent.startsWith(text)"
KIND = "kind => document.querySelector('#fleet-rows .row:not([hidden])')?.classList.contains(`kind-${kind}`)"
STATE = "state => document.querySelector('#connection').dataset.state === state"
NOTICE = "text => document.querySelector('#notices').textContent.includes(text)"
SHOWS = "([where, text]) => document.querySelector(where).textContent.includes(text)"
DETAIL = "text => document.querySelector('#detail').textContent.includes(text)"


class Fault(Exception):
    """Something does not hold."""


def expect(holds: object, what: str) -> None:
    """Raises Fault unless it holds."""
    if not holds:
        raise Fault(what)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser, closed at the end."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


class Look:
    """One open page, and all that went wrong in it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self._cdp: CDPSession | None = None
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str) -> None:
        # A registry that is away, or asks for a token, is told by the browser itself.
        if kind == "error" and "Failed to load resource" not in text:
            self.errors.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.base, "data:", "blob:", "about:")):
            self.foreign.append(url)

    async def go(self, place: str = "") -> None:
        """Opens the page, or a place in it."""
        await self.page.goto(f"{self.base}/{place}", timeout=PATIENCE_MS)

    async def until(self, condition: str, argument: object = None) -> Any:
        """Waits until a condition in JavaScript holds; returns its value."""
        handle = await self.page.wait_for_function(condition, arg=argument, timeout=PATIENCE_MS)
        return await handle.json_value()

    async def filter(self, line: str) -> None:
        """Types into the filter."""
        await self.page.keyboard.press("Escape")
        await self.page.fill("#filter", line)
        await self.page.press("#filter", "Enter")

    async def rows(self) -> list[str]:
        """Texts of the rows in the document."""
        texts: list[str] = await self.page.eval_on_selector_all(
            "#fleet-rows .row:not([hidden])", "rows => rows.map(row => row.innerText)"
        )
        return texts

    async def busy_s(self) -> float:
        """Seconds of CPU that the page's main thread has used; it does not matter how busy the machine is."""
        if self._cdp is None:
            self._cdp = await self.page.context.new_cdp_session(self.page)
            await self._cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
        told = await self._cdp.send("Performance.getMetrics")
        return float(next(one["value"] for one in told["metrics"] if one["name"] == "TaskDuration"))

    async def shot(self, directory: Path | None, name: str) -> None:
        """A screenshot, if there is where to put it."""
        if directory is not None:
            await self.page.screenshot(path=directory / f"{name}.png")

    async def accessible(self, axe: str, what: str) -> int:
        """Raises Fault for what axe-core finds serious or critical; returns how many rules passed."""
        await self.page.evaluate(axe)
        found = await self.page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
        grave = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        told = [f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}" for one in grave]
        expect(not grave, f"{what}: axe-core finds\n  " + "\n  ".join(told))
        return len(found["passes"])


@asynccontextmanager
async def look(
    browser: Browser, base: str, *, size: tuple[int, int] = DESKTOP, theme: str = "light", scale: float = 1.0
) -> AsyncIterator[Look]:
    """An empty page in a context of its own, as another visitor has it; raises Fault at the end for what went wrong."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        device_scale_factor=scale,
    )
    try:
        one = Look(await context.new_page(), base)
        yield one
        expect(not one.errors, f"the page's console: {one.errors}")
        expect(not one.foreign, f"the page asked elsewhere: {one.foreign}")
    finally:
        await context.close()
