"""Durable, must-show 1: kill -9 of the daemon while clients write. Nothing that it acknowledged may be missing.

    python -m tests.e2e.durable --kills 20 --writes 100000

Agents on a few shared connections register, claim, take over, change and unregister services, one write at a time each
and many on a connection, and say hello now and then. The daemon is killed at a random moment and started anew on the
same data directory. Then every service must look, to the byte, as was acknowledged; of a write that got no answer
either outcome will do. Secrets and epochs of the earlier life must still open sessions, and every epoch that is given
must be above all that were given in earlier lives. SQLite checks a copy of what each kill left behind.
"""

import argparse
import asyncio
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from examples.demo.processes import Child, Nursery
from orion_registry.store.data_dir import DATABASE
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from tests.e2e.fleet import start_daemon
from tests.e2e.raw_stream import RawStream, connected
from tests.e2e.raw_watch import ALL

AGENTS = 128
CONNECTIONS = 4
SERVICES = 16
"""Of each agent, at most."""

LINGER_S = 0.03
"""The kill comes up to so long after the writes that it was to wait for."""

Known = sv.ServiceInfo | None
"""What is known of a service; None = it is not registered."""


class Faulty(Exception):
    """The registry did what it must not do."""


@dataclass(slots=True)
class Held:
    """One service as its agent knows it.

    Attributes:
        info: as acknowledged.
        secret: that goes with it.
        asked: what it may be as well, because a write got no answer; with the secret that was sent.
    """

    info: Known = None
    secret: str = ""
    asked: tuple[Known, str] | None = None

    def compare(self, found: Known) -> str:
        """What is wrong with what a new life of the daemon shows; afterwards that is what is known."""
        asked, self.asked = self.asked, None
        if same(self.info, found):
            return ""
        if asked is None or not same(asked[0], found):
            return f"acknowledged: {short(self.info)}, asked: {asked and short(asked[0])}, found: {short(found)}"
        self.info, self.secret = found, asked[1]
        return ""

    @property
    def ref(self) -> sv.SessionRef:
        """The right to act for it."""
        assert self.info is not None
        return sv.SessionRef(service_id=self.info.service_id, epoch=self.info.epoch, secret=self.secret)


def same(expected: Known, found: Known) -> bool:
    """Whether all that is stored is the same; a registration without answer does not know its time."""
    if expected is None or found is None:
        return expected is found
    return stored_part(expected, expected) == stored_part(found, expected)


def stored_part(info: sv.ServiceInfo, expected: sv.ServiceInfo) -> bytes:
    """A service without what belongs to one life of the daemon."""
    copy = sv.ServiceInfo()
    copy.CopyFrom(info)
    for name in ("status", "status_reasons", "ready", "epoch", "last_heartbeat", "load"):
        copy.ClearField(name)
    if not expected.HasField("registration_time"):
        copy.ClearField("registration_time")
    return copy.SerializeToString(deterministic=True)


def short(info: Known) -> str:
    """For a line of faults."""
    return "gone" if info is None else f"generation {info.generation} number {info.version}"


def content(number: int) -> dict[str, Any]:
    """What a write changes: of every size up to about 1 kB."""
    info = sv.ServiceInfo(version=str(number), tags=[f"n-{number}", *(f"t-{n}" for n in range(number % 20))])
    info.metadata.update({"number": number, "text": "ä" * (number % 400)})
    return {"version": info.version, "tags": info.tags, "metadata": info.metadata}


CHANGED = ("version", "tags", "metadata")


def new_service(service_id: str, agent_id: str, number: int) -> sv.ServiceInfo:
    """A service, as the registry answers it."""
    return sv.ServiceInfo(
        service_id=service_id,
        agent_id=agent_id,
        service_name=service_id,
        service_type="agent",
        namespace="default",
        host="127.0.0.1",
        port=7000,
        protocol="http",
        weight=1.0,
        liveness=sv.LIVENESS_MODE_STREAM,
        retention=Duration(),  # the dead stay: nobody but its agent removes a service
        generation=1,
        **content(number),
    )


class Epochs:
    """All epochs that were ever seen."""

    def __init__(self) -> None:
        self.before = 0
        self.life: set[int] = set()

    def given(self, epoch: int) -> int:
        """Takes note of a new one."""
        if epoch <= self.before or epoch in self.life:
            raise Faulty(f"epoch {epoch} was given again, or after {self.before}")
        self.life.add(epoch)
        return epoch

    def end_life(self) -> None:
        """From now on only higher ones."""
        self.before = max(self.life, default=self.before)
        self.life = set()


@dataclass(slots=True)
class Run:
    """What all agents share."""

    rng: random.Random
    epochs: Epochs = field(default_factory=Epochs)
    acknowledged: int = 0
    goal: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    dying: bool = False
    number: int = 0
    hellos: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def done(self, kind: str) -> None:
        """One more acknowledged write."""
        self.acknowledged += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        if self.acknowledged >= self.goal:
            self.reached.set()

    def next_number(self) -> int:
        """Every write has its own."""
        self.number += 1
        return self.number


class Agent:
    """Owns some services, and writes."""

    def __init__(self, number: int, run: Run) -> None:
        self._run = run
        self.agent_id = f"agent-{number}"
        self.services = {f"s-{number}-{n}": Held() for n in range(SERVICES)}

    async def live(self, stub: Any) -> None:
        """Resumes all its services, then writes until the daemon dies.

        Raises:
            Faulty: a refusal, a wrong answer, or an end while nobody killed the daemon.
        """
        try:
            await self._hello(stub)
            while True:
                await self._write(stub)
        except grpc.aio.AioRpcError as error:
            if not self._run.dying:
                raise Faulty(f"{self.agent_id}: {error.code().name} {error.details()}") from error
            # INTERNAL: grpc.aio's own word ("Internal error from Core") for a stream that ended as it was written to.
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL):
                raise Faulty(f"{self.agent_id}: the daemon's death is told as {error.code().name}") from error

    async def _hello(self, stub: Any) -> None:
        """Every secret and the last epoch known must open a session."""
        held = {key: each for key, each in self.services.items() if each.info is not None}
        stream = RawStream(stub)
        try:
            for result in await stream.hello(self.agent_id, *(each.ref for each in held.values())):
                info = held[result.service_id].info
                if result.HasField("error") or info is None:
                    raise Faulty(f"hello refused: {result}")
                info.epoch = self._run.epochs.given(result.epoch)
            await stream.beat()
            await stream.frame("ack")
            await stream.send(goodbye=hb.Goodbye(reason=hb.GOODBYE_REASON_MOVING))
            end = await stream.end()
        except (AssertionError, asyncio.InvalidStateError, TimeoutError) as error:
            if self._run.dying:
                raise _died() from error
            raise
        if end.error is not None:
            if self._run.dying:
                raise _died()
            raise Faulty(f"{self.agent_id}: a goodbye ended with {end.error}")
        self._run.hellos += 1

    async def _write(self, stub: Any) -> None:
        rng = self._run.rng
        if rng.random() < 0.005:
            return await self._hello(stub)
        service_id = rng.choice(list(self.services))
        held = self.services[service_id]
        if held.info is None:
            return await self._register(stub, service_id, held)
        kind = rng.choices(("update", "claim", "takeover", "unregister"), (60, 10, 10, 20))[0]
        if kind == "unregister":
            held.asked = (None, "")
            await stub.UnregisterService(pb.UnregisterServiceRequest(ref=held.ref))
            held.info, held.asked = None, None
        else:
            await self._change(stub, held, held.info, kind)
        self._run.done(kind)
        return None

    async def _register(self, stub: Any, service_id: str, held: Held) -> None:
        number = self._run.next_number()
        asked = new_service(service_id, self.agent_id, number)
        secret = f"{service_id}-{number}".ljust(32, "-")
        held.asked = (asked, secret)
        answer = await stub.RegisterService(pb.RegisterServiceRequest(service=asked, secret=secret))
        self._run.epochs.given(answer.service.epoch)
        self._take(held, answer.service)
        self._run.done("register")

    async def _change(self, stub: Any, held: Held, info: sv.ServiceInfo, kind: str) -> None:
        number = self._run.next_number()
        asked = sv.ServiceInfo()
        asked.CopyFrom(info)
        for name in CHANGED:
            asked.ClearField(name)  # type: ignore[arg-type]  # names of fields
        asked.MergeFrom(sv.ServiceInfo(generation=info.generation + 1, **content(number)))
        secret = held.secret if kind != "takeover" else f"{info.service_id}-{number}".ljust(32, "-")
        held.asked = (asked, secret)
        if kind == "update":
            mask = FieldMask(paths=list(CHANGED))
            answer = await stub.UpdateService(pb.UpdateServiceRequest(ref=held.ref, service=asked, update_mask=mask))
        else:
            answer = await stub.RegisterService(pb.RegisterServiceRequest(service=asked, secret=secret))
        if kind == "takeover":
            self._run.epochs.given(answer.service.epoch)
        elif answer.service.epoch != info.epoch:
            raise Faulty(f"{info.service_id}: epoch {info.epoch} became {answer.service.epoch} by {kind}")
        self._take(held, answer.service)

    def _take(self, held: Held, answered: sv.ServiceInfo) -> None:
        """The answer must be what was asked for; from now on it must stay."""
        assert held.asked is not None
        asked, secret = held.asked
        if not same(asked, answered):
            raise Faulty(f"asked: {asked}, answered: {answered}")
        held.info, held.secret, held.asked = answered, secret, None


def _died() -> grpc.aio.AioRpcError:
    """A stream's end at the daemon's death, as calls tell it."""
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata())


@dataclass(slots=True, kw_only=True)
class Life:
    """One life of the daemon: its row of the table."""

    number: int
    ready_s: float = 0.0
    found: int = 0
    open: int = 0
    done: int = 0
    acknowledged: int = 0
    hellos: int = 0
    took_s: float = 0.0
    epochs: tuple[int, int] = (0, 0)
    faults: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Its line."""
        first, last = self.epochs
        return (
            f"{self.number:4d} {self.ready_s * 1e3:8.0f} {self.found:8d} {self.open:5d} {self.done:5d} "
            f"{self.acknowledged:8d} {self.took_s:6.1f} {self.hellos:7d} {first:10d} {last:10d} {len(self.faults):6d}"
        )


HEADER = (
    "life ready ms    found  open  done    acked   in s  hellos  epochs from         to faults\n"
    "     (found: services after the restart; open: writes of the life before without an answer; done: those stored)"
)


class Kills:
    """One data directory, many lives."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self.run = Run(random.Random(seed))
        self._agents = [Agent(number, self.run) for number in range(AGENTS)]
        self.lives: list[Life] = []

    async def live(self, nursery: Nursery, goal: int) -> Life:
        """Starts the daemon, compares, writes until `goal` writes are acknowledged, kills. Goal 0: compares only."""
        life = Life(number=len(self.lives))
        self.lives.append(life)
        began = time.monotonic()
        name = f"daemon-{life.number}"
        address = await start_daemon(nursery, "--data-dir", str(self._directory / "data"), name=name)
        life.ready_s = time.monotonic() - began
        daemon = nursery.children[-1]
        async with several(address) as stubs:
            await self._compare(stubs[0], life)
            if goal:
                await self._write(stubs, daemon, life, goal)
        if not goal:
            await daemon.stop()
        life.faults += integrity(self._directory / "data", self._directory / "copy")
        return life

    async def _compare(self, stub: Any, life: Life) -> None:
        found = [info async for info in everything(stub)]
        by_id = {info.service_id: info for info in found}
        life.found = len(found)
        if len(by_id) != len(found):
            life.faults.append(f"{len(found) - len(by_id)} services are listed twice")
        for agent in self._agents:
            for service_id, held in agent.services.items():
                asked, info = held.asked, by_id.pop(service_id, None)
                life.open += asked is not None
                life.done += asked is not None and same(asked[0], info)
                if fault := held.compare(info):
                    life.faults.append(f"{service_id}: {fault}")
        life.faults += [f"{service_id}: nobody registered it" for service_id in by_id]

    async def _write(self, stubs: Sequence[Any], daemon: Child, life: Life, goal: int) -> None:
        run = self.run
        run.goal, run.dying, before, hellos = goal, False, run.acknowledged, run.hellos
        run.reached.clear()
        began = time.monotonic()
        lives = [asyncio.create_task(each.live(stubs[n % len(stubs)])) for n, each in enumerate(self._agents)]
        waiting = asyncio.create_task(run.reached.wait())
        await asyncio.wait({waiting, *lives}, return_when=asyncio.FIRST_COMPLETED, timeout=120)
        if run.reached.is_set():
            await asyncio.sleep(run.rng.uniform(0, LINGER_S))
        else:
            life.faults.append("the agents stopped writing")
        waiting.cancel()
        run.dying = True
        daemon.kill()
        life.took_s = time.monotonic() - began
        for outcome in await asyncio.gather(*lives, return_exceptions=True):
            if isinstance(outcome, BaseException):
                life.faults.append(f"{type(outcome).__name__}: {outcome}")
        await daemon.stop()
        life.acknowledged, life.hellos = run.acknowledged - before, run.hellos - hellos
        life.epochs = (min(run.epochs.life, default=0), max(run.epochs.life, default=0))
        run.epochs.end_life()


@asynccontextmanager
async def several(address: str) -> AsyncIterator[list[Any]]:
    """Stubs on connections of their own."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(address)) for _ in range(CONNECTIONS)]


async def everything(stub: Any) -> AsyncIterator[sv.ServiceInfo]:
    """All services, as often as they are listed."""
    token = ""
    while True:
        page = await stub.DiscoverServices(pb.DiscoverServicesRequest(selector=ALL, page_size=1_000, page_token=token))
        for info in page.services:
            yield info
        token = page.next_page_token
        if not token:
            return


def integrity(data: Path, copy: Path) -> list[str]:
    """What SQLite has to say of a copy of what a daemon left behind."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in data.glob(f"{DATABASE}*"):
        shutil.copy(path, copy)
    with closing(sqlite3.connect(copy / DATABASE)) as database:
        told = [str(row[0]) for row in database.execute("PRAGMA integrity_check")]
    return [] if told == ["ok"] else [f"integrity_check: {line}" for line in told[:5]]


def goals(kills: int, writes: int, rng: random.Random) -> list[int]:
    """How many writes are to be acknowledged before each kill: unequal shares, all of them before the last."""
    shares = [rng.uniform(0.5, 1.5) for _ in range(kills)]
    return [round(writes * sum(shares[: n + 1]) / sum(shares)) for n in range(kills)]


async def measure(kills: int, writes: int, seed: int) -> Kills:
    """All lives; each prints its line. The last one only compares, and ends in peace."""
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            lives = Kills(Path(directory), seed)
            print(HEADER, flush=True)
            for goal in (*goals(kills, writes, lives.run.rng), 0):
                life = await lives.live(nursery, goal)
                print(life.row(), flush=True)
            return lives


def faults_of(lives: Iterable[Life]) -> list[str]:
    """All of them, with the life that they showed up in."""
    return [f"life {life.number}: {fault}" for life in lives for fault in life.faults]


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--writes", type=int, default=100_000, help="to be acknowledged over all lives")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    began = time.monotonic()
    result = asyncio.run(measure(options.kills, options.writes, options.seed))
    run, faults = result.run, faults_of(result.lives)
    lost = sum("acknowledged:" in fault for fault in faults)
    print(f"seed {options.seed}, {time.monotonic() - began:.0f} s: {run.acknowledged} acknowledged writes {run.kinds}")
    print(f"{options.kills} kills, {lost} services not as acknowledged, highest epoch {run.epochs.before}")
    for fault in faults[:10]:
        print("fault:", fault)
    print("FAILED" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
