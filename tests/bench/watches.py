"""One change told to 1,000 watchers, each on a connection of its own, beside etcd's watch, from the request on.

The change is synced to disk first, at both. All watchers are one Python process, whose reading is in the figure; so is
its share of the machine.
"""

import contextlib
import tempfile
from pathlib import Path

from tests.bench.beside import etcd, etcd_watched, ours_watched
from tests.bench.durable import DISK
from tests.bench.figures import Figure
from tests.bench.processes import LoadProcess, registry
from tests.bench.setting import Setting

WATCHERS, QUICK_WATCHERS = 1_000, 200
ROUNDS = 3


async def measure(setting: Setting) -> list[Figure]:
    """The figures watch-1000-p50, watch-1000-p99 and watch-1000-last."""
    watchers = QUICK_WATCHERS if setting.quick else WATCHERS
    what = f"a durable change to {watchers:,} watchers"
    figures = {
        f"{share}_ms": Figure(name=f"watch-1000-{share}", what=f"{what}: {share}", unit="ms", beside="etcd")
        for share in ("p50", "p99", "last")
    }
    async with contextlib.AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="orion-bench-", dir=DISK))
        daemon = await stack.enter_async_context(registry(Path(directory)))
        ours = await ours_watched(await stack.enter_async_context(LoadProcess()), daemon, watchers)
        keep, theirs = await stack.enter_async_context(etcd()), None
        if keep is not None:
            theirs = await etcd_watched(await stack.enter_async_context(LoadProcess()), keep, watchers)
        for number in range(-1, min(ROUNDS, setting.rounds)):
            took = await ours(), await theirs() if theirs is not None else {}
            for key, figure in figures.items() if number >= 0 else ():
                figure.add(took[0][key], took[1].get(key))
    return list(figures.values())
