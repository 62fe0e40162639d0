"""Many lean agents in one process, each stream on a connection of its own or spread over a few.

As a child (`python -m tests.e2e.fleet ADDRESS --agents 2000`) it registers, says hello and beats as it is told to. It
prints JSON lines: {"ready": N, "took_s": ...} when all streams stand, and {"ended": N, ...} with how they ended when
all of them have. `--reconnect`: none ever ends, each agent comes back as the SDK does, with the session that it had.
`--bare` speaks to `tests.e2e.mass_kill_bare` instead, with frames of the same size.

As a parent: `Fleet.start(...)`, then `kill()` (a real SIGKILL), `ready` and `ended()`.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import time
from collections import Counter
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is imported: thousands of broken connections are no news

import grpc.aio

from examples.demo.processes import Child, Nursery
from orion_registry.client.backoff import Backoff
from orion_registry.client.failures import registry_error
from orion_registry_pb.v1 import heartbeat_pb2 as hb
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2 as sv
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub

AT_ONCE = 50
"""Agents that open their stream at the same time: more only fill the accept queue."""

OPEN_ATTEMPTS = 5

BARE_METHOD = "/bare.Server/Stream"
BARE_INTERVAL_S = 1.0
"""What the registry assigns up to 2,000 streams."""

CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


def secret_of(agent_id: str) -> str:
    """An agent's secret: always the same, so that a new fleet may speak for the old one's services."""
    return f"secret-of-{agent_id}".ljust(32, "-")


def raise_open_files_limit() -> None:
    """Takes what the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# The parent's side.


class Fleet:
    """A running child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.ready = child.ready

    @classmethod
    async def start(cls, nursery: Nursery, name: str, address: str, agents: int, *options: str) -> "Fleet":
        """Starts a child and waits until all its streams stand."""
        arguments = ("-m", "tests.e2e.fleet", address, "--agents", str(agents), *options)
        return cls(await nursery.start_ready(name, *arguments, timeout_s=30.0 + agents / 20))

    def kill(self) -> float:
        """SIGKILL; returns the monotonic time just before."""
        before = time.monotonic()
        self.child.kill()
        return before

    async def ended(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """How all streams ended, once they have."""
        return await self.child.read_json(timeout_s)


async def start_daemon(nursery: Nursery, *options: str, name: str = "daemon", listen: str = "127.0.0.1:0") -> str:
    """Starts the real daemon and returns its address once it is ready."""
    place = () if "--data-dir" in options else ("--ephemeral",)
    rate = () if "--admission-rate" in options else ("--admission-rate", "1000000")  # fleets are made at once
    arguments = (
        "-m",
        "orion_registry",
        "serve",
        "--http",
        "off",
        *place,
        "--listen",
        listen,
        "--log-format",
        "json",
        *rate,
        *options,
    )
    child = await nursery.start(name, *arguments)
    return await daemon_address(child)


async def daemon_address(child: Child, timeout_s: float = 20.0) -> str:
    """Where a daemon listens, as its log says."""
    address: str = (await daemon_ready(child, timeout_s))["address"]
    return address


async def daemon_ready(child: Child, timeout_s: float = 20.0) -> dict[str, Any]:
    """What a daemon says when it is ready: where it listens, and for what."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and child.exit_code is None:
        for line in child.log.read_text().splitlines():
            if line.startswith("{") and (told := json.loads(line)).get("message") == "ready":
                ready: dict[str, Any] = told
                return ready
        await asyncio.sleep(0.02)
    raise RuntimeError(f"{child.name} is not ready\n{child.log_tail()}")


# The child's side.


class Agent:
    """One agent: one service, one stream."""

    def __init__(self, agent_id: str, channel: grpc.aio.Channel) -> None:
        self._stub = RegistryServiceStub(channel)
        self._agent_id = agent_id
        self._call: Any = None
        self._interval_s = 1.0
        self._away_s = 0.0
        self._ref = sv.SessionRef()
        self.went_away = False
        self.outcome = ""
        self.details = ""

    async def open(self) -> None:
        """Registers and says hello."""
        secret = secret_of(self._agent_id)
        info = sv.ServiceInfo(
            agent_id=self._agent_id,
            service_name="work",
            port=7000,
            capabilities=["work.do", f"work.{self._agent_id}"],
            tags=["fleet"],
        )
        info.retention.FromSeconds(3_600)
        answer = await self._stub.RegisterService(
            pb.RegisterServiceRequest(service=info, secret=secret), wait_for_ready=True
        )
        self._ref = sv.SessionRef(service_id=answer.service.service_id, epoch=answer.service.epoch, secret=secret)
        await self._hello()

    async def _hello(self) -> None:
        """Opens a stream with the session that it had last."""
        self._call = self._stub.Heartbeat()
        hello = hb.Hello(agent_id=self._agent_id, sessions=[hb.Session(ref=self._ref)])
        await self._call.write(hb.HeartbeatRequest(hello=hello))
        welcome, sessions = await self._call.read(), await self._call.read()
        self._interval_s = welcome.welcome.interval.ToTimedelta().total_seconds()
        if sessions.sessions.results[0].HasField("error"):
            raise RuntimeError(f"hello refused: {sessions}")
        self._ref.epoch = sessions.sessions.results[0].epoch
        await self._call.write(hb.HeartbeatRequest(beat=hb.Beat(seq=1)))

    async def live(self) -> None:
        """Beats until the stream ends."""
        beating = asyncio.create_task(self._beat())
        try:
            while isinstance(frame := await self._call.read(), hb.HeartbeatResponse):
                match frame.WhichOneof("frame"):
                    case "ack":
                        self._interval_s = frame.ack.interval.ToTimedelta().total_seconds()
                    case "go_away":
                        self.went_away = True
                        self._away_s = frame.go_away.reconnect_after.ToTimedelta().total_seconds()
            self.outcome = "OK"
        except grpc.aio.AioRpcError as error:
            self.outcome = error.code().name
            self.details = error.details() or ""
        except asyncio.CancelledError:
            self.outcome = "CANCELLED"
        finally:
            beating.cancel()

    async def live_on(self, gate: asyncio.Semaphore) -> None:
        """Lives for ever, with a new stream whenever one ends, paced as the SDK does it."""
        while True:
            await self.live()
            backoff = Backoff(random.random)
            while not await self._returned(backoff.next(self._away_s), gate):
                pass

    async def _returned(self, after_s: float, gate: asyncio.Semaphore) -> bool:
        """One attempt to come back; a refused session is an error, a daemon that is away or asks to wait is not."""
        await asyncio.sleep(after_s)
        self._away_s = 0.0
        async with gate:
            try:
                await self._hello()
            except grpc.aio.AioRpcError as failure:
                self._away_s = registry_error(failure, "").retry_after_s or 0.0
                return False
            except (asyncio.CancelledError, asyncio.InvalidStateError):
                return False
        return True

    async def _beat(self) -> None:
        seq = 1
        await asyncio.sleep(self._interval_s * random.random())  # spread out, as real agents are
        while True:
            seq += 1
            try:
                await self._call.write(hb.HeartbeatRequest(beat=hb.Beat(seq=seq)))
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                return
            await asyncio.sleep(self._interval_s)


class BareAgent:
    """The same traffic for a server that knows nothing: a hello, an answer, then beats."""

    def __init__(self, agent_id: str, channel: grpc.aio.Channel) -> None:
        self._hello = f"{agent_id} {secret_of(agent_id)}".ljust(120).encode()
        self._channel = channel
        self._call: Any = None
        self.went_away = False
        self.outcome = ""
        self.details = ""

    async def open(self) -> None:
        """Says hello."""
        self._call = self._channel.stream_stream(BARE_METHOD)(wait_for_ready=True)
        await self._call.write(self._hello)
        await self._call.read()

    async def live(self) -> None:
        """Beats until the stream ends."""
        beat = hb.HeartbeatRequest(beat=hb.Beat(seq=1)).SerializeToString()
        await asyncio.sleep(BARE_INTERVAL_S * random.random())
        try:
            while True:
                await self._call.write(beat)
                await asyncio.sleep(BARE_INTERVAL_S)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            self.outcome = "ENDED"


async def run(options: argparse.Namespace) -> None:
    """The child: opens all, says so, lives until all streams have ended, says how."""
    began = time.monotonic()
    count = options.connections or options.agents
    channels = [grpc.aio.insecure_channel(options.address, options=CHANNEL_OPTIONS) for _ in range(count)]
    kind = BareAgent if options.bare else Agent
    agents = [kind(f"{options.prefix}-{n}", channels[n % count]) for n in range(options.agents)]
    gate = asyncio.Semaphore(AT_ONCE)
    lives: list[asyncio.Task[None]] = []

    async def open_one(agent: Agent | BareAgent) -> None:
        async with gate:
            await open_patiently(agent)
        living = agent.live_on(gate) if options.reconnect and isinstance(agent, Agent) else agent.live()
        lives.append(asyncio.create_task(living))

    await asyncio.gather(*map(open_one, agents))
    say(ready=len(agents), took_s=time.monotonic() - began)
    await asyncio.gather(*lives)
    away = sum(agent.went_away for agent in agents)
    outcomes = Counter(agent.outcome for agent in agents)
    details = Counter(agent.details for agent in agents).most_common(5)
    say(ended=len(agents), went_away=away, outcomes=outcomes, details=details)


async def open_patiently(agent: Agent | BareAgent) -> None:
    """Opens a stream. On a busy machine a connection may be given up on the way; asked to wait it waits, every time."""
    attempts_left = OPEN_ATTEMPTS
    while True:
        asked_s = None
        try:
            return await agent.open()
        except grpc.aio.AioRpcError as failure:
            asked_s = registry_error(failure, "").retry_after_s
            attempts_left -= asked_s is None
            if attempts_left <= 0:
                raise
        except asyncio.CancelledError:
            attempts_left -= 1
            if attempts_left <= 0:
                raise
        await asyncio.sleep(0.5 if asked_s is None else asked_s * (1.0 + random.random()))


def say(**event: object) -> None:
    """One JSON line for the parent."""
    print(json.dumps(event), flush=True)


def main() -> None:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--connections", type=int, default=0, help="0: one for each agent")
    parser.add_argument("--prefix", default="agent")
    parser.add_argument("--reconnect", action="store_true", help="come back whenever a stream ends")
    parser.add_argument("--bare", action="store_true", help="speak to tests.e2e.mass_kill_bare")
    raise_open_files_limit()
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
