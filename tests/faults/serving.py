"""Agents made with the SDK's `Agent`, which serve real calls and refuse those beyond their max_concurrency.

    python -m tests.faults.serving ADDRESSES --agents 10 --slots 2 --capability race --longest 0.3

ADDRESSES are of all members; each agent begins with another one. It prints {"ready": N, "services": [service_id, ...]}
when all are held, then answers each line of standard input:

    {"do": "report"}    {"calls": N, "most": N}: calls that were let in, and how many ran at once at one agent at most
"""

import argparse
import asyncio
import json
import os
import random
import sys
from contextlib import AsyncExitStack

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from examples.demo.processes import Child, Nursery
from orion_registry.client.agent import Agent
from tests.e2e.fleet import say

SHORTEST_S = 0.005


class Serving:
    """The runner's side: the process of these agents."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.services: list[str] = child.ready["services"]

    @classmethod
    async def start(cls, nursery: Nursery, addresses: str, *, agents: int, slots: int, longest_s: float) -> "Serving":
        """Starts it and waits until all are held. They offer `race`."""
        options = ("--agents", str(agents), "--slots", str(slots), "--longest", str(longest_s))
        arguments = ("-m", "tests.faults.serving", addresses, *options)
        return cls(await nursery.start_ready("serving", *arguments, timeout_s=30.0))

    async def report(self) -> tuple[int, int]:
        """Calls that were let in, and how many ran at once at one agent at most."""
        self.child.write_json({"do": "report"})
        answer = await self.child.read_json(10.0)
        return answer["calls"], answer["most"]


# The child's side.


class Counted:
    """An agent that counts for itself what its helper lets in."""

    def __init__(self, agent_id: str, addresses: list[str], slots: int, longest_s: float) -> None:
        self.agent = Agent("racing", agent_id=agent_id, address=addresses, max_concurrency=slots)
        self.calls = 0
        self.most = 0
        self._running = 0
        self._longest_s = longest_s
        self.agent.capability("race")(self.work)

    async def work(self) -> int:
        """One call."""
        self.calls += 1
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            await asyncio.sleep(random.uniform(SHORTEST_S, self._longest_s))
        finally:
            self._running -= 1
        return self.calls


async def run(options: argparse.Namespace) -> None:
    """Serves until standard input ends."""
    members = options.addresses.split(",")
    agents = []
    async with AsyncExitStack() as stack:
        for number in range(options.agents):
            first = number % len(members)
            turned = members[first:] + members[:first]
            counted = Counted(f"slot-{number}", turned, options.slots, options.longest)
            await stack.enter_async_context(counted.agent)
            agents.append(counted)
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        say(ready=len(agents), services=[one.agent.session.ref().service_id for one in agents])
        while line := await stdin.readline():
            if json.loads(line)["do"] != "report":
                raise ValueError(f"no such order: {line!r}")
            say(calls=sum(one.calls for one in agents), most=max(one.most for one in agents))
        os._exit(0)  # as a crash: no goodbye


def main() -> None:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("addresses")
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--longest", type=float, default=0.3, metavar="SECONDS")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
