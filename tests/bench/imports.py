"""`import orion_registry` in a fresh interpreter, as an agent does it, beside `import grpc.aio` alone."""

import asyncio
import sys

from tests.bench.figures import Figure
from tests.bench.processes import ROOT
from tests.bench.setting import Setting

TIMED = "import time; began = time.perf_counter(); import {what}; print((time.perf_counter() - began) * 1e3)"


async def measure(setting: Setting) -> list[Figure]:
    """The figure import."""
    figure = Figure(name="import", what="import orion_registry", unit="ms", beside="import grpc.aio")
    for number in range(-1, setting.rounds):
        took = await _import("orion_registry"), await _import("grpc.aio")
        if number >= 0:  # the first round fills the system's cache of files
            figure.add(*took)
    return [figure]


async def _import(what: str) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TIMED.format(what=what), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"import {what} ended with {process.returncode}")
    return float(told)
