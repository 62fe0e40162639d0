"""python -m tests.bench: measures the registry beside a bare grpc.aio server and judges the ratios by their budgets."""

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc
from google.protobuf import __version__ as protobuf_version

from tests.bench import beats, beside, durable, growth, h2load, imports, memory, metrics, select, tls, unary, watches
from tests.bench.figures import Figure, table
from tests.bench.processes import LoadProcess, bare, registry
from tests.bench.setting import Setting

GROUPS: Mapping[str, Callable[[Setting], Awaitable[list[Figure]]]] = {
    "unary": unary.measure,
    "select": select.measure,
    "beats": beats.measure,
    "durable": durable.measure,
    "tls": tls.measure,
    "metrics": metrics.measure,
    "h2load": h2load.measure,
    "peers": beside.measure,
    "watches": watches.measure,
    "memory": memory.measure,
    "import": imports.measure,
    "growth": growth.measure,
}
"""What --only names: one file each, each with a daemon and a bare server of its own."""

NOT_QUICK = ("growth",)
"""Left out of --quick: fleets of 10,000 take minutes."""

TOLD = ("tls", "metrics", "peers", "watches")
"""Groups in which --quick judges nothing: there it looks once, to see that they run."""


def main() -> int:
    """Runs the command line; returns the exit code: 0 every budget held, 1 one was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes; fails only where a ratio has halved")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--only", choices=GROUPS, help="only this group of figures")
    parser.add_argument("--rounds", type=int, help="rounds of each figure (default: 7, quick: 3)")
    options = parser.parse_args()
    rounds, seconds = options.rounds or (3 if options.quick else 7), 1.0 if options.quick else 2.0
    names = [options.only] if options.only else [name for name in GROUPS if not options.quick or name not in NOT_QUICK]
    print(f"{machine()}; {rounds} rounds of {seconds:g} s", flush=True)
    figures: list[Figure] = []
    for name in names:
        often = 1 if options.quick and name in TOLD and not options.rounds else rounds
        figures += asyncio.run(_measure(name, often, seconds, quick=options.quick))
        if options.json:  # after each group: the whole takes a quarter of an hour
            result = {figure.name: figure.as_dict(quick=options.quick) for figure in figures}
            options.json.write_text(json.dumps({"machine": machine(), "figures": result}, indent=1) + "\n")
    print(table(figures, quick=options.quick))
    return 1 if any(figure.verdict(quick=options.quick) == "MISSED" for figure in figures) else 0


async def _measure(name: str, rounds: int, seconds: float, *, quick: bool) -> list[Figure]:
    async with registry() as daemon, bare() as reference, LoadProcess() as load:
        setting = Setting(registry=daemon, bare=reference, load=load, rounds=rounds, seconds=seconds, quick=quick)
        return list(await GROUPS[name](setting))


def machine() -> str:
    """Where this ran."""
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return (
        f"{cpu.partition(': ')[2] or platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, grpcio {grpc.__version__}, "
        f"protobuf {protobuf_version}"
    )


if __name__ == "__main__":
    sys.exit(main())
