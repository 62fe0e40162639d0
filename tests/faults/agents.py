"""Agents on the real SDK, many in a process, each with a client (so a connection) of its own.

    python -m tests.faults.agents ADDRESS --agents 10 --prefix a

It prints {"ready": N, "interval_s": ...} when all are held, then answers each line of standard input:

    {"do": "block", "seconds": S}    {"t0": ...} just before the event loop is blocked; when it runs again, nothing
    {"do": "goodbye", "moving": B}   {"t0": ...} just before; all sessions are stopped
    {"do": "report"}                 {"connected": N, "streams": N, "last": T}: streams ever opened, when the last was
    {"do": "silence"}                TTL agents only: no more unary beats; {"t0": of the last beat}
    {"do": "beat"}                   TTL agents only: they beat again

`--ttl S`: unary beats instead of a stream. `--retention S`: how long the dead stay listed.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from examples.demo.processes import Child, Nursery
from orion_registry.client.client import RegistryClient
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.state import ConnectionState
from orion_registry.core.frames import GoodbyeReason
from orion_registry.core.model import LivenessMode, ServiceSpec, SessionRef
from orion_registry.errors import RegistryError
from tests.e2e.fleet import raise_open_files_limit, say

AT_ONCE = 50
RETENTION_S = 3_600.0
"""The dead stay listed for as long as a row looks at them."""


class Agents:
    """The runner's side: one process of agents."""

    def __init__(self, child: Child, ids: tuple[str, ...]) -> None:
        self.child = child
        self.pid = child.pid
        self.ids = ids

    @classmethod
    async def start(cls, nursery: Nursery, address: str, count: int, prefix: str, *options: str) -> "Agents":
        """Starts a process and waits until all its agents are held."""
        arguments = ("-m", "tests.faults.agents", address, "--agents", str(count), "--prefix", prefix, *options)
        child = await nursery.start_ready(prefix, *arguments, timeout_s=30.0 + count / 10)
        return cls(child, tuple(f"{prefix}-{number}" for number in range(count)))

    async def ask(self, do: str, **details: Any) -> dict[str, Any]:
        """One order and its answer."""
        self.child.write_json({"do": do, **details})
        return await self.child.read_json(10.0)

    def kill(self) -> float:
        """SIGKILL; returns the monotonic time just before."""
        before = time.monotonic()
        self.child.kill()
        return before


# The child's side.


class StreamAgent:
    """An agent kept alive by a session of the SDK."""

    def __init__(self, address: str, agent_id: str, retention_s: float) -> None:
        self._client = RegistryClient(address)
        self.session: HeartbeatSession = self._client.session(agent_id, [spec_of(agent_id, retention_s)])
        self.streams = 0
        self.last = 0.0

    async def start(self) -> None:
        """Returns when it is held."""
        await self.session.start()
        self._note()

    async def live(self) -> None:
        """Counts the streams that it has had."""
        while True:
            await self.session.wait_for(ConnectionState.RECONNECTING)
            await self.session.wait_for(ConnectionState.CONNECTED)
            self._note()

    def _note(self) -> None:
        self.streams += 1
        self.last = time.monotonic()

    @property
    def connected(self) -> bool:
        """Whether the registry holds it, as far as it knows."""
        return self.session.connection_state is ConnectionState.CONNECTED

    async def goodbye(self, moving: bool) -> None:
        """Stops the session."""
        await self.session.stop(GoodbyeReason.MOVING if moving else GoodbyeReason.STOPPING)


class TtlAgent:
    """An agent that beats by unary calls, three in a ttl."""

    def __init__(self, address: str, agent_id: str, retention_s: float, ttl_s: float) -> None:
        self._client = RegistryClient(address, timeout_s=ttl_s / 3)
        self._agent_id = agent_id
        self._retention_s = retention_s
        self._ttl_s = ttl_s
        self._ref: SessionRef
        self.beating = True
        self.streams = 0
        self.last = 0.0
        self.connected = False

    async def start(self) -> None:
        """Registers and beats once."""
        spec = spec_of(self._agent_id, self._retention_s, liveness=LivenessMode.TTL, liveness_ttl_s=self._ttl_s)
        self._ref = (await self._client.register(spec, timeout_s=10.0)).ref
        await self._beat()

    async def live(self) -> None:
        """Beats for ever."""
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            if self.beating:
                await self._beat()

    async def _beat(self) -> None:
        sent = time.monotonic()
        try:
            await self._client.send_heartbeat(self._ref)
        except RegistryError:
            self.connected = False
        else:
            self.connected, self.last = True, sent

    async def goodbye(self, moving: bool) -> None:
        """Unregisters, or does nothing."""
        if not moving:
            await self._client.unregister(self._ref)


Agent = StreamAgent | TtlAgent


def spec_of(agent_id: str, retention_s: float, **fields: Any) -> ServiceSpec:
    """The service of an agent."""
    return ServiceSpec(
        agent_id=agent_id,
        service_name="work",
        host="127.0.0.1",
        port=7000,
        capabilities=("work.do",),
        tags=("faults",),
        retention_s=retention_s,
        **fields,
    )


async def obey(agents: list[Agent], order: dict[str, Any]) -> None:
    """Carries out one order."""
    match order["do"]:
        case "block":
            say(t0=time.monotonic())
            time.sleep(order["seconds"])  # noqa: ASYNC251 - that is the fault
        case "goodbye":
            say(t0=time.monotonic())
            await asyncio.gather(*(agent.goodbye(order.get("moving", False)) for agent in agents))
        case "report":
            connected = sum(agent.connected for agent in agents)
            say(
                connected=connected,
                streams=sum(agent.streams for agent in agents),
                last=max(agent.last for agent in agents),
            )
        case "silence" | "beat" as do:
            for agent in agents:
                if isinstance(agent, TtlAgent):
                    agent.beating = do == "beat"
            say(t0=max(agent.last for agent in agents))
        case other:
            raise ValueError(f"no such order: {other}")


async def run(options: argparse.Namespace) -> None:
    """Lives until standard input ends."""
    ids = [f"{options.prefix}-{number}" for number in range(options.agents)]
    agents: list[Agent] = [
        TtlAgent(options.address, one, options.retention, options.ttl)
        if options.ttl
        else StreamAgent(options.address, one, options.retention)
        for one in ids
    ]
    for first in range(0, len(agents), AT_ONCE):
        await asyncio.gather(*(agent.start() for agent in agents[first : first + AT_ONCE]))
    lives = [asyncio.create_task(agent.live()) for agent in agents]
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    say(ready=len(agents))
    while line := await stdin.readline():
        await obey(agents, json.loads(line))
        if failed := [life for life in lives if life.done()]:
            failed[0].result()
    os._exit(0)  # as a crash: no goodbye


def main() -> None:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--agents", type=int, default=1)
    parser.add_argument("--prefix", default="agent")
    parser.add_argument("--ttl", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--retention", type=float, default=RETENTION_S, metavar="SECONDS")
    raise_open_files_limit()
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
