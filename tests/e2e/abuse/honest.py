"""An honest client in a process of its own: an agent that beats, and a caller that asks; how long each answer takes.

A child: `python -m tests.e2e.abuse.honest ADDRESS [CA CERT KEY]` prints {"ready": 1}; then for each line that it is
sent the figures since the line before.
"""

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from orion_registry import RegistryClient, ServiceSpec
from orion_registry.client.credentials import PLAINTEXT, Credentials
from orion_registry.core.selector import Selector
from orion_registry.errors import RegistryError
from tests.e2e.fleet import say

PAUSE_S = 0.01
FRESH_S = 0.25
SPEC = ServiceSpec(agent_id="honest", service_name="honest", host="127.0.0.1", port=80)
MINE = Selector(agent_id="honest")


class Figures:
    """Since they were last told."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self.fresh: list[float] = []
        self.failed: list[str] = []
        self.not_let_in = 0
        self.not_ready = 0

    def told(self) -> dict[str, Any]:
        """For the parent."""
        took, fresh = sorted(self.took), sorted(self.fresh)
        return {
            "calls": len(took),
            "p50": _at(took, 0.5),
            "p99": _at(took, 0.99),
            "worst": _at(took, 1.0),
            "fresh": len(fresh),
            "fresh_worst": _at(fresh, 1.0),
            "failed": self.failed[:3],
            "failures": len(self.failed),
            "not_let_in": self.not_let_in,
            "not_ready": self.not_ready,
        }


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Honest:
    """Asks on, whatever happens."""

    def __init__(self, address: str, credentials: Credentials) -> None:
        self._address = address
        self._credentials = credentials
        self.figures = Figures()

    async def ask(self) -> None:
        """On a connection that stands: is the agent there to be used?"""
        async with RegistryClient(self._address, credentials=self._credentials, timeout_s=10.0) as client:
            while True:
                began = time.monotonic()
                try:
                    found = await client.discover(MINE)
                    self.figures.took.append(time.monotonic() - began)
                    self.figures.not_ready += not found.services
                except RegistryError as error:
                    self.figures.failed.append(str(error))
                await asyncio.sleep(PAUSE_S)

    async def come_anew(self) -> None:
        """On a new connection each time."""
        while True:
            await asyncio.sleep(FRESH_S)
            began = time.monotonic()
            async with RegistryClient(self._address, credentials=self._credentials, timeout_s=2.0) as client:
                try:
                    await client.discover(MINE)
                    self.figures.fresh.append(time.monotonic() - began)
                except RegistryError:
                    self.figures.not_let_in += 1


async def run(address: str, credentials: Credentials) -> None:
    """Until the input ends."""
    honest = Honest(address, credentials)
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    async with (
        RegistryClient(address, credentials=credentials) as agent,
        agent.session("honest", [SPEC]),
    ):
        await ready(agent)
        tasks = [asyncio.create_task(honest.ask()), asyncio.create_task(honest.come_anew())]
        say(ready=1)
        while await stdin.readline():
            figures, honest.figures = honest.figures, Figures()
            print(json.dumps(figures.told()), flush=True)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def ready(client: RegistryClient) -> None:
    """Until the agent is there to be used."""
    async with asyncio.timeout(10.0):
        while not (await client.discover(MINE)).services:  # noqa: ASYNC110 - it has no event of its own
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    given = sys.argv[2:]
    shown = Credentials(ca_file=given[0], cert_file=given[1], key_file=given[2]) if given else PLAINTEXT
    asyncio.run(run(sys.argv[1], shown))
