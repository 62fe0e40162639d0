"""Must-show: where a daemon starts, by what it shows and what it asks for; each row is a real process.

Beyond this machine it starts only if callers prove who they are over TLS, or if it was asked for by name; where tokens
can be read on their way its log says so. Exit code 1 on fault.
"""

import asyncio
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from examples.demo.processes import Nursery
from tests.e2e.fleet import daemon_address
from tests.e2e.shutdown import EXIT_CANNOT_START, exit_code
from tests.server.tls import Certs
from tests.server.tokens import Tokens

WAYS = (
    "plaintext",
    "tokens",
    "TLS",
    "TLS, tokens",
    "mTLS",
    "mTLS, tokens",
    "insecure_listen",
    "insecure_listen, tokens",
    "insecure_listen, TLS",
)
PROVEN = ("TLS, tokens", "mTLS", "mTLS, tokens")
"""Callers prove who they are, and nobody listens in."""
LOCAL = ("127.0.0.1:0", "[::1]:0", "localhost:0", "unix")


def addresses() -> list[str]:
    """What this machine can listen on: loopback, a Unix socket, everything, and its own address if it has one."""
    found = [*LOCAL, "0.0.0.0:0"]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        found.append("[::]:0")
    except OSError:
        found.remove("[::1]:0")
    try:
        own = socket.gethostbyname(socket.gethostname())
    except OSError:
        return found
    return found if own.startswith("127.") else [*found, f"{own}:0"]


def options(way: str, certs: Certs) -> Iterator[str]:
    """What `serve` is given."""
    settings = certs.settings
    if "TLS" in way:
        yield from ("--tls-cert-file", settings["tls_cert_file"], "--tls-key-file", settings["tls_key_file"])
    if "mTLS" in way:
        yield from ("--tls-client-ca-file", settings["tls_client_ca_file"], "--access-file", settings["access_file"])
    if "tokens" in way:
        yield from ("--tokens-file", str(Tokens(certs.authority.directory / "tokens.json").path))
    if "insecure_listen" in way:
        yield "--insecure-listen"


def starts(way: str, address: str) -> bool:
    """Whether it should."""
    return address in LOCAL or way in PROVEN or "insecure_listen" in way


async def judge(nursery: Nursery, way: str, address: str, certs: Certs) -> tuple[str, str]:
    """What became of one daemon, and what is wrong with that."""
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{way} {address}")
    listen = f"unix:{certs.authority.directory}/{name}" if address == "unix" else address
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
    )
    child = await nursery.start(name, *arguments, *options(way, certs))
    if starts(way, address):
        try:
            await daemon_address(child)
        except RuntimeError as error:
            return "refused", str(error)
        await child.stop()
        loud = "whoever reads tokens on their way can use them" in child.log.read_text()
        readable = way == "insecure_listen, tokens"
        return "starts", "" if loud is readable else f"it {'warns' if loud else 'does not warn'} of tokens in plaintext"
    code = await exit_code(child, within_s=20.0)
    lines = child.log.read_text().splitlines()
    refused = code == EXIT_CANNOT_START and len(lines) == 1 and "tls_client_ca_file or tokens_file" in lines[0]
    return "refused", "" if refused else f"exit code {code}: {lines}"


async def run(ways: Sequence[str] = WAYS) -> list[str]:
    """Prints the table; returns the faults."""
    found = addresses()
    faults = []
    with tempfile.TemporaryDirectory() as name:
        certs = Certs(Path(name) / "certs")
        async with Nursery(Path(name)) as nursery:
            print(f"{'':<25}" + "".join(f"{address:<20}" for address in found))
            for way in ways:
                row = await asyncio.gather(*(judge(nursery, way, address, certs) for address in found))
                print(f"{way:<25}" + "".join(f"{'FAULT' if fault else said:<20}" for said, fault in row))
                faults += [
                    f"{way} on {address}: {fault}" for address, (_, fault) in zip(found, row, strict=True) if fault
                ]
    return faults


def main() -> int:
    """Runs the command line."""
    faults = asyncio.run(run())
    for fault in faults:
        print(f"FAULT {fault}")
    print("failed" if faults else "passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
