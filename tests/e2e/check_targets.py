"""A process with many targets for checks: HTTP servers that note who asks and when, and some that never answer.

python -m tests.e2e.check_targets GOOD HANGING

Its first line names the ports, {"good": [...], "hanging": [...]}. After {"into": FILE} on stdin it writes there when
each path was asked for, {"/3": [seconds, ...]} by the machine's monotonic clock ("" = connections that brought no
request), forgets them, and answers {}.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

Asked = defaultdict[str, list[float]]


class Good(asyncio.Protocol):
    """Answers one request."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._began = 0.0
        self._path = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._began = time.monotonic()

    def data_received(self, data: bytes) -> None:
        self._path = data.split(b" ", 2)[1].decode()
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(ANSWER)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked[self._path].append(self._began)


class Hanging(asyncio.Protocol):
    """Never answers."""


async def serve(good: int, hanging: int) -> None:
    """Serves until stdin closes."""
    loop = asyncio.get_running_loop()
    asked: Asked = defaultdict(list)
    makers = [partial(Good, asked)] * good + [Hanging] * hanging
    servers = [await loop.create_server(maker, "127.0.0.1", 0, backlog=512) for maker in makers]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"good": ports[:good], "hanging": ports[good:]}), flush=True)
    while line := await reader.readline():
        Path(json.loads(line)["into"]).write_text(json.dumps(asked))  # noqa: ASYNC240 - nothing is measured any more
        asked.clear()
        print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
