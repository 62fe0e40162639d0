"""Sends the failing messages of an earlier run again, each after those that went before it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.fuzz.child import Child
from tests.fuzz.schema import Rpc, learn
from tests.fuzz.worker import OPTIONS, method_of


async def replay(file: Path) -> int:
    """Prints how each message is answered now; returns 1 if one is answered INTERNAL or UNKNOWN, or the log tells."""
    failed = False
    faults = [json.loads(line) for line in file.read_text().splitlines()]  # noqa: ASYNC240 - nothing runs yet
    async with Child() as child, grpc.aio.insecure_channel(child.address, options=OPTIONS) as channel:
        rpcs = {rpc.path: rpc for rpc in await learn(channel)}
        for number, fault in enumerate(faults, 1):
            for path, data in fault["before"]:
                if not rpcs[path].client_streams:
                    await _send(channel, rpcs[path], [bytes.fromhex(data)])
            code = await _send(channel, rpcs[fault["path"]], [bytes.fromhex(data) for data in fault["frames"]])
            failed |= code in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}
            print(f"{number}: {fault['path']}: {code.name} (was: {fault['why']:.200})")
    for suspicious in child.suspicious:
        print(f"stderr: {suspicious:.2000}")
    return 1 if failed or child.suspicious else 0


async def _send(channel: grpc.aio.Channel, rpc: Rpc, frames: list[bytes]) -> grpc.StatusCode:
    """Makes one call with these messages; a stream is cut after a second of silence."""
    if not rpc.client_streams and not rpc.server_streams:
        return await _code(method_of(channel, rpc)(frames[0], timeout=10))
    if not rpc.client_streams:
        return await _code(method_of(channel, rpc)(frames[0], timeout=1))
    bidi = method_of(channel, rpc)(timeout=10)
    try:
        for frame in frames:
            await bidi.write(frame)
            await asyncio.sleep(0.005)
        await bidi.done_writing()
        while await bidi.read() is not grpc.aio.EOF:
            pass
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    return await _code(bidi)


async def _code(call: Any) -> grpc.StatusCode:
    code: grpc.StatusCode = await call.code()
    return code
