"""The page in real Chromium, beside a real daemon and real agents (docs/page.md).

    python -m tests.e2e.page [--quick] [--only page|load] [--out DIR] [--modules DIR]

Must-shows 2 and 3 of the page: it loads in under a second with 1,000 services; an agent that is killed turns red in
under a second; filter, detail, keys; the connection lost and back; markup stays text; axe-core finds nothing serious;
5,000 services with 200 changes a second: frame times, and the daemon's CPU for ten open pages, of which nine only read
as one does. --quick: less of it. --out: screenshots. Needs chromium, node and npm. Exit code 1 if anything does not
hold.
"""

import argparse
import asyncio
import sys
import tempfile
import traceback
from pathlib import Path

from playwright.async_api import Browser, Error

from tests.e2e import page_shows as shows
from tests.e2e import page_trouble as trouble
from tests.e2e.page_browser import Fault, chromium, expect
from tests.e2e.page_load import Weight, under_load
from tests.e2e.page_stage import stage
from tests.web.units import axe, run_units

FULL = Weight(services=5_000, changes=200, pages=10, seconds=20.0)
QUICK = Weight(services=2_000, changes=100, pages=3, seconds=6.0)
FRAME_MEDIAN_MS = 100.0
BUSY_PERCENT = 60.0
"""Of a core, the page's main thread: it tells whether the page keeps up, however busy the machine is. The longest
frames tell of the machine as well, for this draws without a GPU: they are printed. On a quiet one all take 17 ms."""


async def show_page(browser: Browser, given: argparse.Namespace, directory: Path) -> None:
    """All that one can see. Raises Fault."""
    print(f"{run_units(directory)} units of the page's modules passed")
    source = axe(directory, given.modules)
    out: Path | None = given.out
    async with stage() as made:
        crowd = await made.start_crowd(shows.SERVICES, "--trouble", "40")
        print(f"{crowd.ready['ready']} services after {crowd.ready['took_s']} s")
        hostile = await made.register_hostile()
        await shows.loads(browser, made.base, shows.SERVICES + 1)
        await shows.turns_red(browser, made, out)
        await shows.filters(browser, made.base)
        await shows.keys(browser, made.base)
        await shows.details(browser, made)
        await shows.stays_text(browser, made.base, hostile)
        await shows.asks_for_a_token(browser, made.base)
        await shows.is_accessible(browser, made.base, source, out)
        await trouble.alarms(browser, made, crowd)
        await trouble.resumes(browser, made, frozen=False)
        if not given.quick:
            await trouble.resumes(browser, made, frozen=True)
        await trouble.rests(browser, made)
        await trouble.lost_and_back(browser, made, out)


async def show_load(browser: Browser, given: argparse.Namespace) -> None:
    """How it bears many changes. Raises Fault."""
    async with stage() as made:
        frames, busy = await under_load(browser, made, QUICK if given.quick else FULL)
        expect(frames.median < FRAME_MEDIAN_MS, f"half of the frames within {FRAME_MEDIAN_MS:g} ms")
        expect(busy < BUSY_PERCENT, f"the page's main thread needs less than {BUSY_PERCENT:g} % of a core")


async def show(given: argparse.Namespace, directory: Path) -> None:
    """All that is asked for. Raises Fault."""
    async with chromium() as browser:
        if given.only != "load":
            await show_page(browser, given, directory)
        if given.only != "page":
            await show_load(browser, given)


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less load in the last part")
    parser.add_argument("--only", choices=("page", "load"), default="", help="one of the two parts")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where screenshots go")
    parser.add_argument("--modules", metavar="DIR", default="", help="node_modules to use; npm is not asked")
    given = parser.parse_args()
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="orion-page-units-") as name:
        try:
            asyncio.run(show(given, Path(name)))
        except (Fault, Error, RuntimeError, TimeoutError) as fault:
            traceback.print_exc()  # Playwright says what it waited for, not where
            print(f"FAULT: {fault}")
            return 1
    print("the page holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
