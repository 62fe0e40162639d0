"""What breaks between agents and a daemon inside a test: a killed process, a frozen one, a cut link, a stalled daemon.

Each agent that is to break connects through a link of its own, a small proxy; what a link does to bytes is all that the
registry, or the agent, ever learns of the fault.
"""

import asyncio
import socket
from collections.abc import Iterable
from types import TracebackType

from orion_registry.server.daemon import Daemon
from orion_registry.testing.proxy import BACKLOG, LinkProxy


class _Link:
    """One agent's way to the daemon."""

    def __init__(self, upstream: str) -> None:
        self.proxy = LinkProxy(upstream)
        self.address = ""
        self._calls: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listens, on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=BACKLOG)
        bound: socket.socket = self._server.sockets[0]
        host, port = bound.getsockname()
        self.address = f"{host}:{port}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        try:
            await self.proxy.accept(reader, writer)
        finally:
            self._calls.discard(task)
            writer.close()

    async def close(self) -> None:
        """Ends every connection, and returns when nothing of it runs any more."""
        if self._server is not None:
            self._server.close()
        await self.proxy.refuse()
        if self._calls:
            await asyncio.wait(set(self._calls))


class Faults:
    """Breaks links. Names are agent_ids: one link for each agent that is to break. `async with`, or `close`.

    A frozen process and a cut link look the same from outside: nothing comes, nothing answers, nothing is lost.
    """

    def __init__(self, daemon: Daemon) -> None:
        """Args: daemon: that the links lead to; it runs in the same event loop."""
        self._daemon = daemon
        self._links: dict[str, _Link] = {}
        self._opening = asyncio.Lock()
        self._stalled = False

    async def link(self, agent_id: str) -> str:
        """The address at which the agent of that name reaches the daemon; made when first asked for."""
        async with self._opening:  # who asks for the same one meanwhile waits until it listens
            if agent_id not in self._links:
                link = _Link(self._daemon.address)
                await link.open()
                if self._stalled:
                    link.proxy.freeze()
                self._links[agent_id] = link
            return self._links[agent_id].address

    def is_cut(self, agent_id: str) -> bool:
        """Whether nothing of that agent reaches the daemon now; False for one without a link."""
        link = self._links.get(agent_id)
        return link is not None and (link.proxy.refusing or not link.proxy.passes)

    def is_frozen(self) -> bool:
        """Whether the daemon stands still now."""
        return self._stalled

    async def kill(self, *agent_ids: str) -> None:
        """As `kill -9` of the agent: its connections end without a goodbye, and it comes back with `heal` only.

        Raises:
            KeyError: the agent has no link.
        """
        for link in self._chosen(agent_ids):
            await link.proxy.refuse()

    def freeze(self, *agent_ids: str) -> None:
        """The agent stops answering (SIGSTOP, a dead host), until `heal`. Its connections stay open.

        Raises:
            KeyError: the agent has no link.
        """
        for link in self._chosen(agent_ids):
            link.proxy.freeze()

    def partition(self, *agent_ids: str) -> None:
        """Cuts those agents off from the daemon, until `heal`; without a name every link.

        Raises:
            KeyError: an agent has no link.
        """
        self.freeze(*(agent_ids or self._links))

    async def heal(self, *agent_ids: str) -> None:
        """Mends the links of those agents; without a name every link.

        What was held up arrives, and those who were killed may return.

        Raises:
            KeyError: an agent has no link.
        """
        for link in self._chosen(agent_ids or tuple(self._links)):
            await link.proxy.heal()

    async def freeze_daemon(self) -> None:
        """The daemon stands still (SIGSTOP): it judges nobody, and answers nothing that comes over a link.

        Agents without a link would go on to be heard: give each its own.
        """
        self._stalled = True
        await self._daemon.coordinator.ticker.stop()
        self.partition()

    async def thaw_daemon(self) -> None:
        """The daemon goes on: it finds that it was away, and holds that against nobody. Mends every link."""
        if self._stalled:
            self._stalled = False
            self._daemon.coordinator.tick()  # it finds its own stall before it hears of ends
            self._daemon.coordinator.ticker.start()
        await self.heal()

    async def close(self) -> None:
        """Ends every link."""
        links, self._links = list(self._links.values()), {}
        for link in links:
            await link.close()

    async def __aenter__(self) -> "Faults":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _chosen(self, agent_ids: Iterable[str]) -> list[_Link]:
        return [self._links[agent_id] for agent_id in agent_ids]
