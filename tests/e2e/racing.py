"""Racing callers never overrun an agent's slots: python -m tests.e2e.racing [--calls N]

50 callers in 5 processes race for 5 agents of 2 slots, over real gRPC; half of them by unary calls, half on Route
streams. An agent counts the calls that it serves, and notes when there are more than it has slots. One process of
callers is killed (SIGKILL) midway, and another one finishes what it had to do. At the end nothing is leaked: no lease
is open, nobody waits, no stream is open. Exits with 1 if any of that does not hold.
"""

import argparse
import asyncio
import json
import random
import sys
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration

from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1 import registry_pb2
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from orion_registry_pb.v1.service_pb2 import LivenessMode, Selector, ServiceInfo

AGENTS, SLOTS, PROCESSES, CALLERS = 5, 2, 5, 10
CALLS = 5_000
WORK = "/agent.Agent/Work"
WORK_MS = (1, 15)
LEASE_S, WAIT_S = 5, 60
"""A lease of a killed caller holds its slot so long; far longer than a call, which must not outlive its lease."""
OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


# Agents.


@dataclass
class Agent:
    """Serves calls, and sees to it that there are never more than it has slots for."""

    running: int = 0
    most: int = 0
    served: int = 0
    overruns: int = 0
    server: Any = None

    async def start(self) -> int:
        """Its port."""
        handlers: dict[str, Any] = {"Work": grpc.unary_unary_rpc_method_handler(self.work)}
        self.server = grpc.aio.server()
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("agent.Agent", handlers),))
        port: int = self.server.add_insecure_port("127.0.0.1:0")
        await self.server.start()
        return port

    async def work(self, request: bytes, _context: Any) -> bytes:
        self.running += 1
        self.most = max(self.most, self.running)
        self.overruns += self.running > SLOTS
        try:
            await asyncio.sleep(int(request) / 1000)
        finally:
            self.running -= 1
            self.served += 1
        return b""


# Callers.


class Unary:
    """Selects and releases by unary calls."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub

    async def select(self, request: pb.SelectServiceRequest) -> pb.Selection:
        selections = (await self._stub.SelectService(request)).selections
        assert len(selections) == 1
        return selections[0]  # type: ignore[no-any-return]

    async def release(self, request: pb.ReleaseServiceRequest) -> None:
        await self._stub.ReleaseService(request)


class Routed:
    """Selects and releases on a Route stream that all callers of the process share."""

    def __init__(self, stub: Any) -> None:
        self._call = stub.Route()
        self._writing = asyncio.Lock()
        self._open: dict[int, asyncio.Future[Any]] = {}
        self._ids = 0
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while (answer := await self._call.read()) is not grpc.aio.EOF:
            for result in answer.results:
                if result.WhichOneof("result") != "waiting":
                    self._open.pop(result.id).set_result(result)

    async def _ask(self, **command: Any) -> Any:
        self._ids += 1
        over = self._open[self._ids] = asyncio.get_running_loop().create_future()
        message = pb.RouteRequest(commands=[pb.RouteCommand(id=self._ids, **command)])
        async with self._writing:
            await self._call.write(message)
        result = await over
        assert not result.HasField("error"), result
        return result

    async def select(self, request: pb.SelectServiceRequest) -> pb.Selection:
        return (await self._ask(select=request)).select.selections[0]  # type: ignore[no-any-return]

    async def release(self, request: pb.ReleaseServiceRequest) -> None:
        await self._ask(release=request)


async def call_all(address: str, name: str, calls: int, routed: bool) -> None:
    """A process of callers: does so many calls, and says after each how many are done."""
    rng = random.Random(name)
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub: Any = BalancerServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        way = Routed(stub) if routed else Unary(stub)
        agents: dict[int, Any] = {}
        left = calls

        async def caller(number: int) -> None:
            nonlocal left
            request = pb.SelectServiceRequest(
                selector=Selector(service_name="race"),
                wait_timeout=Duration(seconds=WAIT_S),
                lease_ttl=Duration(seconds=LEASE_S),
                caller=f"{name}-{number}",
            )
            while left > 0:
                left -= 1
                got = await way.select(request)
                port = got.service.port
                if port not in agents:
                    agents[port] = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
                await agents[port].unary_unary(WORK)(str(rng.randint(*WORK_MS)).encode())
                await way.release(
                    pb.ReleaseServiceRequest(selection_id=got.selection_id, outcome=pb.CALL_OUTCOME_SUCCEEDED)
                )
                print("done", flush=True)

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
        await asyncio.gather(*(agent.close() for agent in agents.values()))


# The race.


@dataclass
class Race:
    """What was seen."""

    calls: int = 0
    killed_after: int = 0
    most: list[int] = field(default_factory=list)
    overruns: int = 0
    left: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def broken(self, calls: int) -> list[str]:
        """What does not hold."""
        found = list(self.failures)
        if self.calls < calls:
            found.append(f"{self.calls} calls of {calls}")
        if self.overruns or max(self.most) != SLOTS:
            found.append(f"at most {self.most} in flight, {self.overruns} overruns of {SLOTS} slots")
        if any(self.left.values()):
            found.append(f"left over: {self.left}")
        if not 0 < self.killed_after < calls:
            found.append(f"the kill came after {self.killed_after} calls")
        return found


async def race(calls: int = CALLS) -> Race:
    """Runs it all."""
    seen = Race()
    agents = [Agent() for _ in range(AGENTS)]
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address) as channel:
        registry: Any = RegistryServiceStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
        for number, agent in enumerate(agents):
            info = ServiceInfo(
                agent_id=f"agent-{number}",
                service_name="race",
                port=await agent.start(),
                liveness=LivenessMode.LIVENESS_MODE_STATIC,
                max_concurrency=SLOTS,
            )
            await registry.RegisterService(registry_pb2.RegisterServiceRequest(service=info))
        share = calls // PROCESSES
        crews = [_crew(daemon.address, f"p{number}", share, number % 2 == 1, seen) for number in range(PROCESSES - 1)]
        await asyncio.gather(*crews, _killed_crew(daemon.address, share, seen))
        await asyncio.sleep(LEASE_S + 1)
        balancing, selections = daemon.coordinator.registry.balancing, daemon.coordinator.selections
        stats = balancing.stats
        seen.left = {"leases": stats.leases_open, "waiting": stats.waiting, "streams": selections.streams}
        seen.left["slots"] = sum(balancing.slots_of(entry.service_id).in_flight for entry in
                                 daemon.coordinator.registry._fleet.catalog)  # fmt: skip
        seen.most, seen.overruns = [agent.most for agent in agents], sum(agent.overruns for agent in agents)
        await asyncio.gather(*(agent.server.stop(None) for agent in agents))
    return seen


async def _start(address: str, name: str, calls: int, routed: bool) -> asyncio.subprocess.Process:
    words = ["-m", "tests.e2e.racing", "--as-callers", address, name, str(calls), "route" if routed else "unary"]
    return await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)


async def _count(process: asyncio.subprocess.Process, seen: Race, most: int | None = None) -> int:
    """Counts the calls that a process says it has done, to its end or to so many."""
    assert process.stdout is not None
    done = 0
    while (most is None or done < most) and await process.stdout.readline():
        done += 1
        seen.calls += 1
    return done


async def _crew(address: str, name: str, calls: int, routed: bool, seen: Race) -> None:
    process = await _start(address, name, calls, routed)
    await _count(process, seen)
    if code := await process.wait():
        seen.failures.append(f"callers {name} ended with {code}")


async def _killed_crew(address: str, calls: int, seen: Race) -> None:
    """One process on a Route stream that is killed midway, and a second one for what is left."""
    process = await _start(address, "victim", calls, True)
    done = await _count(process, seen, calls // 2)
    process.kill()
    seen.killed_after = seen.calls
    done += await _count(process, seen)
    await process.wait()
    await _crew(address, "heir", calls - done, False, seen)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.racing", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--as-callers", nargs=4, metavar=("ADDRESS", "NAME", "CALLS", "WAY"))
    options = parser.parse_args()
    if options.as_callers:
        address, name, calls, way = options.as_callers
        asyncio.run(call_all(address, name, int(calls), way == "route"))
        return 0
    seen = asyncio.run(race(options.calls))
    print(json.dumps({"calls": seen.calls, "killed_after": seen.killed_after, "most": seen.most, "left": seen.left}))
    broken = seen.broken(options.calls)
    print("\n".join(broken) or "holds")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
