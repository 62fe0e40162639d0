"""A TCP proxy that is as bad as it is told to be: a process of its own, commanded over its standard input.

    python -m tests.faults.proxy HOST:PORT

It prints {"address": ...}, then answers each line. `way` is "both" (default), "up" (agent to registry) or "down":

    {"do": "freeze", "way": W}   no byte passes and none is lost: a cut link, as TCP sees it. New connections hang, too
    {"do": "drop", "way": W}     reads and throws away
    {"do": "heal"}               all passes again; connections that lost bytes are reset
    {"do": "weather", "way": W, "delay_s": .., "jitter_s": .., "loss": .., "rtt_s": .., "rate": ..}
    {"do": "reset"}              RST to both ends of every connection
    {"do": "cut", "bytes": N}    so many bytes more from each agent, then the end, mid-frame
    {"do": "count"}              how many connections there are

Each is answered with {"connections": N} after it has taken effect.
"""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from examples.demo.processes import Child, Nursery
from orion_registry.testing.proxy import BACKLOG, WAYS, LinkProxy


class Proxy:
    """The runner's side: commands a child."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.address: str = child.ready["address"]

    @classmethod
    async def start(cls, nursery: Nursery, name: str, upstream: str, *options: str) -> "Proxy":
        """Starts one before `upstream`; `address` is where agents are to connect."""
        return cls(await nursery.start_ready(name, "-m", "tests.faults.proxy", upstream, *options))

    async def tell(self, do: str, **details: Any) -> int:
        """Commands it; returns how many connections it has."""
        self.child.write_json({"do": do, **details})
        count: int = (await self.child.read_json(5.0))["connections"]
        return count


class Server(LinkProxy):
    """The child's side: a proxy that takes orders."""

    async def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carries out one order."""
        way = order.get("way", "both")
        match order["do"]:
            case "freeze":
                self.freeze(way)
            case "drop":
                self.drop(way)
            case "heal":
                await self.heal()
            case "weather":
                for one in WAYS[way]:
                    for name in ("delay_s", "jitter_s", "loss", "rtt_s", "rate"):
                        setattr(self.weather[one], name, order.get(name, 0.0))
            case "reset":
                self.reset()
            case "cut":
                self.cut(order["bytes"])
            case "count":
                pass
            case other:
                raise ValueError(f"no such order: {other}")
        return {"connections": self.connections}


async def serve(upstream: str, seed: int) -> None:
    """Serves until standard input ends."""
    proxy = Server(upstream, seed)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(json.dumps({"address": f"{host}:{port}"}), flush=True)
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    while line := await stdin.readline():
        print(json.dumps(await proxy.obey(json.loads(line))), flush=True)
    os._exit(0)  # as a link goes: without a word


def main() -> None:
    """Entry point of the child."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upstream", metavar="HOST:PORT")
    parser.add_argument("--seed", type=int, default=1, help="of jitter and loss")
    options = parser.parse_args()
    asyncio.run(serve(options.upstream, options.seed))


if __name__ == "__main__":
    main()
