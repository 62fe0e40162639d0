"""Must-show 6: a second daemon refuses to start; SIGTERM with 1,000 streams open ends in under 3 s, go_away first.

Rows: a second daemon on the same port, and on the same Unix socket (exit code 2, one line); SIGTERM with all streams on
connections of their own, and spread over 10; a second SIGTERM while clients hang (exit at once). Exit code 1 on fault.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from examples.demo.processes import Child, Nursery
from tests.e2e.fleet import Fleet, daemon_address, raise_open_files_limit
from tests.e2e.raw_stream import connected
from tests.e2e.raw_watch import snapshot

EXIT_CANNOT_START = 2
EXIT_SECOND_SIGNAL = 130
LIMIT_S = 3.0
AT_ONCE_S = 0.5
SECOND_SIGNALS = 8


async def start(nursery: Nursery, listen: str, *options: str) -> Child:
    """Starts a daemon as people do; it may refuse."""
    arguments = (
        "-m",
        "orion_registry",
        "serve",
        "--http",
        "off",
        "--ephemeral",
        "--listen",
        listen,
        "--log-format",
        "json",
        *options,
    )
    return await nursery.start(f"daemon-{len(nursery.children)}", *arguments)


async def start_ready(nursery: Nursery, listen: str, *options: str) -> tuple[Child, str]:
    """Starts a daemon and waits until it is ready; returns it and its address."""
    child = await start(nursery, listen, *options)
    return child, await daemon_address(child)


async def exit_code(child: Child, within_s: float) -> int | None:
    """Its exit code; None if it still runs after that time."""
    deadline = time.monotonic() + within_s
    while child.exit_code is None and time.monotonic() < deadline:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.002)
    return child.exit_code


async def second_refuses(nursery: Nursery, listen: str) -> list[str]:
    """Faults of: two daemons at one address."""
    first, address = await start_ready(nursery, listen)
    second = await start(nursery, address)
    code = await exit_code(second, within_s=10.0)
    lines = second.log.read_text().splitlines()
    faults = [] if code == EXIT_CANNOT_START else [f"the second daemon's exit code is {code}"]
    if len(lines) != 1 or "Traceback" in lines[0]:
        faults.append(f"the second daemon said {lines}")
    else:
        print(f"  it said: {lines[0]}")
    async with connected(address) as stub:
        await snapshot(stub)  # the first one still answers
    await first.stop()
    return faults


async def stops_in_time(nursery: Nursery, streams: int, connections: int) -> list[str]:
    """Faults of: SIGTERM with many streams open."""
    daemon, address = await start_ready(nursery, "127.0.0.1:0")
    fleet = await Fleet.start(
        nursery, f"fleet-{connections}-{len(nursery.children)}", address, streams, "--connections", str(connections)
    )
    told = time.monotonic()
    os.kill(daemon.pid, signal.SIGTERM)
    code = await exit_code(daemon, within_s=30.0)
    took_s = time.monotonic() - told
    ended = await fleet.ended()
    print(f"  exit code {code} after {took_s:.2f} s; {ended['went_away']} of {streams} streams got go_away first")
    print(f"  they ended with {ended['outcomes']}")
    faults = []
    if code != 0 or took_s >= LIMIT_S:
        faults.append(f"exit code {code} after {took_s:.2f} s")
    if ended["went_away"] != streams:
        faults.append(f"{streams - ended['went_away']} streams ended without go_away")
    # INTERNAL: grpc.aio's own word ("Internal error from Core") for a stream whose beat was being written as it ended.
    if not ended["outcomes"].keys() <= {"UNAVAILABLE", "INTERNAL"}:
        faults.append(f"streams ended with {ended['outcomes']}")
    if "Traceback" in daemon.log.read_text():
        faults.append(daemon.log_tail())
    return faults


async def twice(nursery: Nursery, streams: int, connections: int) -> list[str]:
    """Faults of the second play if the first had any: of a thousand connections that end with their process, one may be
    reset by the kernel before its client has read what came before.
    """
    faults = await stops_in_time(nursery, streams, connections)
    if not faults:
        return []
    print(f"  played once more, for {'; '.join(faults)}")
    return await stops_in_time(nursery, streams, connections)


async def second_signal(nursery: Nursery, streams: int) -> list[str]:
    """Faults of: a second SIGTERM while the clients hang; again if the daemon was gone before it came."""
    for _ in range(SECOND_SIGNALS):
        faults = await _second_signal(nursery, streams)
        if faults is not None:
            return faults
    return [f"the daemon was gone before the second signal, {SECOND_SIGNALS} times"]


async def _second_signal(nursery: Nursery, streams: int) -> list[str] | None:
    daemon, address = await start_ready(nursery, "127.0.0.1:0", "--shutdown-grace", "30s")
    fleet = await Fleet.start(nursery, "hung", address, streams, "--connections", "10")
    os.kill(fleet.child.pid, signal.SIGSTOP)
    os.kill(daemon.pid, signal.SIGTERM)
    early = await exit_code(daemon, within_s=0.05)  # it ends in a fraction of a second when all goes well
    told = time.monotonic()
    if early is None:
        os.kill(daemon.pid, signal.SIGTERM)
    code = await exit_code(daemon, within_s=10.0)
    took_s = time.monotonic() - told
    fleet.kill()
    if early is not None:
        return None
    print(f"  exit code {code} after {took_s * 1e3:.0f} ms")
    return [] if code == EXIT_SECOND_SIGNAL and took_s < AT_ONCE_S else [f"exit code {code} after {took_s:.2f} s"]


async def run(streams: int) -> list[str]:
    """All rows; returns the faults."""
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        async with Nursery(Path(directory)) as nursery:
            rows: tuple[tuple[str, Callable[[], Awaitable[list[str]]]], ...] = (
                ("two daemons on one port", lambda: second_refuses(nursery, "127.0.0.1:0")),
                ("two daemons on one Unix socket", lambda: second_refuses(nursery, f"unix:{directory}/orion.sock")),
                (f"SIGTERM, {streams} connections", lambda: twice(nursery, streams, streams)),
                (f"SIGTERM, {streams} streams on 10 connections", lambda: twice(nursery, streams, 10)),
                ("a second SIGTERM", lambda: second_signal(nursery, streams)),
            )
            for title, row in rows:
                print(title)
                try:
                    found = await row()
                except RuntimeError as error:
                    found = [str(error)]
                faults += [f"{title}: {fault}" for fault in found]
    return faults


def main() -> int:
    """The long form."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1_000)
    options = parser.parse_args()
    raise_open_files_limit()
    faults = asyncio.run(run(options.streams))
    for fault in faults:
        print("fault:", fault)
    print("FAILED" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
