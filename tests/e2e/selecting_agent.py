"""An agent of the selection tests: python -m tests.e2e.selecting_agent REGISTRY ID SLOTS

Serves calls of so many milliseconds, counts those that run at once, and keeps a heartbeat session that tells its load.
Prints its service_id when it is registered. A call answers with how many ran at once with it. Ends when killed.
"""

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

from orion_registry.client.client import RegistryClient
from orion_registry.client.session import HeartbeatSession
from orion_registry.core.model import Load, ServiceSpec

NAME = "work"
PATH = "/work.Worker/Work"


class Worker:
    """Serves calls and counts them."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.session: HeartbeatSession | None = None

    async def work(self, request: bytes, _context: Any) -> bytes:
        self.count(1)
        at_once = self.running
        try:
            await asyncio.sleep(int(request) / 1000)
        finally:
            self.count(-1)
        return str(at_once).encode()

    def count(self, by: int) -> None:
        self.running += by
        self.most = max(self.most, self.running)
        if self.session is not None:
            self.session.set_load(Load(in_flight=self.running))

    async def listen(self) -> tuple[grpc.aio.Server, int]:
        handlers: dict[str, Any] = {"Work": grpc.unary_unary_rpc_method_handler(self.work)}
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("work.Worker", handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return server, port


async def main(registry: str, agent_id: str, slots: int) -> None:
    worker = Worker()
    _server, port = await worker.listen()
    spec = ServiceSpec(agent_id=agent_id, service_name=NAME, port=port, max_concurrency=slots)
    async with RegistryClient(registry) as client, client.session(agent_id, [spec]) as session:
        worker.session = session
        print(session.ref().service_id, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
