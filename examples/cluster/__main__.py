"""A cluster to try out: etcd and three members on this machine, in one command. Ctrl-C ends all of it.

    scripts/serve --cluster [--port 6746] [flags of `orion-registry serve`]

Nothing is kept: etcd's data lies in a temporary directory. What a real cluster needs: docs/cluster.md.
"""

import argparse
import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

MEMBERS = 3
NO_ETCD = "scripts/serve --cluster needs etcd, which is not installed (Debian: apt-get install etcd-server)"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


async def start_etcd(directory: str) -> tuple[asyncio.subprocess.Process, str]:
    """One node; its log goes to a file in the directory."""
    address, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ETCD")}
    with (Path(directory) / "etcd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "etcd", "--data-dir", str(Path(directory) / "data"), "--name", "try",
            "--listen-client-urls", f"http://{address}", "--advertise-client-urls", f"http://{address}",
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"try={peer}",
            "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    return process, address


def member_flags(number: int, port: int, etcd: str) -> list[str]:
    """HTTP takes a free port: its default, 6747, is the gRPC port of the second member."""
    return [
        "--listen", f"127.0.0.1:{port}", "--http", "127.0.0.1:0", "--ephemeral",
        "--etcd-endpoints", etcd, "--member-name", f"member-{number}",
    ]  # fmt: skip


async def start_member(number: int, port: int, etcd: str, flags: list[str]) -> asyncio.subprocess.Process:
    """One daemon; it logs to this program's stderr."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orion_registry", "serve", *member_flags(number, port, etcd), *flags,
        stdin=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


async def run(first: int, flags: list[str]) -> int:
    """Serves until it is told to end, or something ends by itself."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, over.set)
    with tempfile.TemporaryDirectory(prefix="orion-cluster-") as directory:
        etcd, address = await start_etcd(directory)
        members = [
            await start_member(n + 1, first + n if first else free_port(), address, flags) for n in range(MEMBERS)
        ]
        if first:
            addresses = ",".join(f"127.0.0.1:{first + number}" for number in range(MEMBERS))
            print(f"three members; agents and callers: export ORION_ADDRESS={addresses}", flush=True)
        ends = [asyncio.create_task(process.wait()) for process in (etcd, *members)]
        asked = asyncio.create_task(over.wait())
        await asyncio.wait([asked, *ends], return_when=asyncio.FIRST_COMPLETED)
        failed = not over.is_set()
        for process in reversed((etcd, *members)):  # members first, so that they can say goodbye
            if process.returncode is None:
                process.terminate()
                await process.wait()
        asked.cancel()
    if failed:
        print("a member or etcd ended by itself: all of it was stopped", file=sys.stderr)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/serve --cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=6746, help="of the first member; 0 = free ones")
    options, flags = parser.parse_known_args()
    if shutil.which("etcd") is None:
        print(NO_ETCD, file=sys.stderr)
        return 1
    return asyncio.run(run(options.port, flags))


if __name__ == "__main__":
    sys.exit(main())
