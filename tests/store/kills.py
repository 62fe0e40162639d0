"""kill -9 of a process that writes: nothing that it acknowledged may be missing.

    python -m tests.store.kills --kills 20 --writes 100000

A writer opens a data directory, registers, changes, removes and reserves epochs from many callers at once, and says on
a pipe what was acknowledged; the parent kills it at a random moment, opens the directory itself, compares, starts over.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from orion_registry.core.facts import Delete, Fact, ReserveEpochs, Stored
from orion_registry.store.sqlite import SqliteStore
from tests.store.images import edge, put, store_in

CALLERS = 64
SERVICES = 50
"""Of each caller: its writes to one service never overlap, as the registry's do not."""


@dataclass(slots=True)
class Ledger:
    """What the store must hold: the generation of each service by number (0 = removed), and a bound of epochs.

    A write that was not acknowledged may be there or not.
    """

    acknowledged: dict[int, int] = field(default_factory=dict)
    begun: dict[int, int] = field(default_factory=dict)
    epochs_below: int = 1
    writes: int = 0

    def take(self, line: str) -> None:
        kind, number, value = line.split()
        if kind == "begin":
            self.begun[int(number)] = int(value)
            return
        self.writes += 1
        if kind == "epochs":
            self.epochs_below = max(self.epochs_below, int(value))
        else:
            self.acknowledged[int(number)] = int(value)
            self.begun.pop(int(number), None)

    def faults(self, stored: Stored) -> list[str]:
        found = {int(record.service_id[1:]): record.generation for record in stored.records}
        faults = []
        for number in self.acknowledged.keys() | self.begun.keys() | found.keys():
            there, known = found.get(number, 0), self.acknowledged.get(number, 0)
            if there not in {known, self.begun.get(number, known)}:
                faults.append(f"service {number}: generation {there}, acknowledged {known}")
            self.acknowledged[number] = there
        if stored.epochs_below < self.epochs_below:
            faults.append(f"epochs_below {stored.epochs_below}, acknowledged {self.epochs_below}")
        self.epochs_below = stored.epochs_below
        self.begun.clear()
        return faults


async def write_for_ever(path: Path) -> None:
    """The child."""
    store = store_in(path)
    stored = await store.load()
    generations = {int(record.service_id[1:]): record.generation for record in stored.records}
    await asyncio.gather(*(call(store, caller, generations, stored.epochs_below) for caller in range(CALLERS)))


async def call(store: SqliteStore, caller: int, generations: dict[int, int], epochs_below: int) -> None:
    rng = random.Random(f"{caller} {epochs_below} {len(generations)}")
    below = epochs_below + caller
    clock = max(generations.values(), default=0)
    while True:
        number, clock = caller * SERVICES + rng.randrange(SERVICES), clock + 1
        fact: Fact
        if rng.random() < 0.05:
            below += 100
            await store.commit([ReserveEpochs(below=below)])
            say("epochs", 0, below)
            continue
        gone = generations.get(number, 0) and rng.random() < 0.2
        fact = Delete(service_id=f"s{number:04}") if gone else put(number, clock)
        generations[number] = 0 if gone else clock
        say("begin", number, generations[number])
        await store.commit([fact])
        say("done", number, generations[number])
        store.note([edge(number, float(clock))])


def say(kind: str, number: int, value: int) -> None:
    os.write(1, f"{kind} {number} {value}\n".encode())


async def kill_one(path: Path, ledger: Ledger, writes: int, rng: random.Random) -> list[str]:
    """Lets a writer write, kills it, and compares."""
    goal = ledger.writes + round(writes * rng.uniform(0.5, 1.5))
    async with writer(path) as process:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if not line.endswith(b"\n"):
                break  # it was killed as it spoke
            ledger.take(line.decode())
            if ledger.writes >= goal and process.returncode is None:
                goal = sys.maxsize
                os.kill(process.pid, signal.SIGKILL)
    store = store_in(path)
    try:
        return ledger.faults(await store.load())  # which also checks integrity, checksums and their sum
    finally:
        await store.close()


@asynccontextmanager
async def writer(path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    command = (sys.executable, "-m", "tests.store.kills", "--child", str(path))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def kill(kills: int, writes: int, seed: int) -> tuple[Ledger, list[str]]:
    """Kills a writer so many times within about so many writes; returns what it acknowledged, and the faults."""
    rng, ledger, faults = random.Random(seed), Ledger(), list[str]()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(kills):
            found = await kill_one(Path(folder), ledger, writes // kills, rng)
            faults += [f"kill {number}: {fault}" for fault in found]
    return ledger, faults


def main() -> int:
    parser = argparse.ArgumentParser(description="kill -9 of a writing process, many times")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writes", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        asyncio.run(write_for_ever(arguments.child))
    ledger, faults = asyncio.run(kill(arguments.kills, arguments.writes, arguments.seed))
    print(
        f"kills={arguments.kills} acknowledged={ledger.writes} epochs_below={ledger.epochs_below} faults={len(faults)}"
    )
    print("\n".join(faults[:20]), end="")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
