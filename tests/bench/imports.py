"""What an agent waits for when it starts, in a fresh interpreter: the package alone, and the SDK's Agent out of it.

`import orion_registry` loads nothing that is not asked for; the first name out of it loads grpc. Beside both stands
`import grpc.aio` alone, which no agent gets around.
"""

import asyncio
import sys

from tests.bench.figures import Figure
from tests.bench.processes import ROOT
from tests.bench.setting import Setting

TIMED = "import time; began = time.perf_counter(); {statement}; print((time.perf_counter() - began) * 1e3)"


async def measure(setting: Setting) -> list[Figure]:
    """The figures import and import-agent."""
    package = Figure(name="import", what="import orion_registry", unit="ms", beside="import grpc.aio")
    agent = Figure(name="import-agent", what="from orion_registry import Agent", unit="ms", beside="import grpc.aio")
    for number in range(-1, setting.rounds):
        reference = await _run("import grpc.aio")
        took = await _run("import orion_registry"), await _run("from orion_registry import Agent")
        if number >= 0:  # the first round fills the system's cache of files
            package.add(took[0], reference)
            agent.add(took[1], reference)
    return [package, agent]


async def _run(statement: str) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", TIMED.format(statement=statement), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{statement} ended with {process.returncode}")
    return float(told)
