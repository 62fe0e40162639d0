"""A daemon whose store hangs, or refuses, when told to.

A child: prints {"address": ...}; takes {"do": "hang" | "release" | "fail" | "mend"} and answers {"waiting": commits}.
"""

import asyncio
import json
import os
import sys

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.stores import FailingStore, SlowStore
from tests.e2e.fleet import raise_open_files_limit


async def run() -> None:
    """Serves until stdin ends."""
    failing = FailingStore()
    slow = SlowStore(failing)
    async with running_daemon(store=slow) as daemon:
        print(json.dumps({"address": daemon.address}), flush=True)
        stdin = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
        while line := await stdin.readline():
            match json.loads(line)["do"]:
                case "hang":
                    slow.hang()
                case "release":
                    slow.release()
                case "fail":
                    failing.failing = True
                case "mend":
                    failing.failing = False
            print(json.dumps({"waiting": slow.waiting}), flush=True)


if __name__ == "__main__":
    raise_open_files_limit()
    asyncio.run(run())
