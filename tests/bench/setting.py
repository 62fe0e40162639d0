"""What every figure measures in: the daemon, the bare server, the load, and how long to look."""

from dataclasses import dataclass
from typing import Any

from tests.bench.processes import LoadProcess, Process, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Processes of this run. Rounds of the registry and of its reference alternate."""

    registry: Server
    bare: Server
    load: LoadProcess
    rounds: int
    seconds: float
    quick: bool = False

    async def cost(self, server: Process, what: str, **order: Any) -> tuple[float, float]:
        """Lets the load do something to a server; `what` names the count in its answer.

        Returns:
            Microseconds of the server's CPU for each, and how many a second.
        """
        before = server.cpu_s
        done = await self.load.do(address=server.address, **order)
        cpu_s = server.cpu_s - before
        return cpu_s * 1e6 / done[what], done[what] / done["seconds"]
