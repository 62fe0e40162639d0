"""Proof that a metadata address never sees a packet: `python -m tests.probes.metadata` (as root on Linux).

In a network of its own, where the metadata addresses exist and listen, and where every other address of the corpus has
a route, checks of every kind are run against the whole corpus, with nothing and with everything listed, by a local and
by a remote agent; and against redirects and names that change their answer. Every packet that leaves for an address
but the allowed target's is counted. At the end the operator lists one metadata address, and its packets are seen: the
count counts.
"""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from ipaddress import IPv4Address, IPv6Address, ip_network

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, Probe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes import corpus, targets

METADATA = ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
_SETUP = (
    "link set lo up",
    *(f"addr add {address} dev lo" for address in METADATA),
    "link add far0 type veth peer name far1",
    "link set far0 arp off up",  # whatever has no address here goes out, and is not asked for first
    "link set far1 up",
    "addr add 10.77.0.1/24 dev far0",
    "-6 addr add 2606:4700:77::1/64 dev far0",
    "route add default dev far0",
    "-6 route add default dev far0",
)
_OWN = ("127.0.0.1", "::1")
_ETH_P_ALL = 3
_KERNELS = range(130, 144)  # ICMPv6: neighbours, routers, multicast groups; sent by the kernel, whatever we do


class Meter:
    """Counts packets by the address that they go to."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            packet = self._socket.recv(65_536)
            target = _target(packet)
            if target is not None:
                self.seen[target] += 1

    def foreign(self) -> dict[str, int]:
        """Packets that went to neither end of an allowed connection."""
        return {address: count for address, count in self.seen.items() if address not in _OWN}


def _target(packet: bytes) -> str | None:
    if packet[0] >> 4 == 4:
        return str(IPv4Address(packet[16:20]))
    if packet[0] >> 4 == 6:
        header = packet[6]
        if header == 0 or (header == socket.IPPROTO_ICMPV6 and packet[40] in _KERNELS):
            return None
        return str(IPv6Address(packet[24:40]))
    return None


class Listeners:
    """Something that listens on each metadata address, and counts who connects."""

    def __init__(self) -> None:
        self.connections = 0
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        for address in METADATA:
            self._servers.append(await asyncio.start_server(self._serve, address, 80))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        writer.close()


async def _attack(prober: Prober, peer: str) -> tuple[int, int]:
    """Runs of all probes against the corpus; how many, and how many were refused."""
    runs = refused = 0
    for hosts in (corpus.METADATA, corpus.SPECIAL, corpus.NO_HOST):
        for host in hosts:
            if not peer and hosts is corpus.SPECIAL:
                continue  # loopback is a local agent's own
            wrong = await corpus.refused(host, prober, special=hosts is not corpus.NO_HOST, peer=peer)
            runs += len(corpus.probes(host))
            refused += len(corpus.probes(host)) - len(wrong)
    return runs, refused


class Rebinding:
    """A name server that says 127.0.0.1 at first and a metadata address from then on."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, host: str) -> tuple[str, ...]:
        self.asked += 1
        return ("127.0.0.1",) if self.asked == 1 else ("169.254.169.254",)


async def _run(prober: Prober, probe: Probe) -> Verdict:
    return (await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=0.5), "")).verdict


async def _tricks() -> list[str]:
    """Redirects and names that change their answer; what went wrong."""
    wrong = []
    prober = Prober(ProbeConfig(allow=corpus.EVERYTHING))
    for status in ("301 a", "302 a", "303 a", "307 a", "308 a"):
        for address in METADATA:
            place = f"[{address}]" if ":" in address else address
            async with targets.http(targets.answer(status, (f"Location: http://{place}/latest/",))) as target:
                if await _run(prober, HttpProbe(host="127.0.0.1", port=target.port)) is not Verdict.FAILED:
                    wrong.append(f"{status} to {address}")
    await prober.close()
    async with targets.http(targets.answer()) as target:
        rebinding = Prober(ProbeConfig(allow=corpus.EVERYTHING), lookup=Rebinding())
        verdicts = [await _run(rebinding, HttpProbe(host="rebind.example", port=target.port)) for _ in range(3)]
        if verdicts != [Verdict.PASSED, Verdict.DENIED, Verdict.DENIED]:
            wrong.append(f"rebinding: {verdicts}")
        await rebinding.close()
    return wrong


async def _prove() -> int:
    meter, listeners = Meter(), Listeners()
    await listeners.start()
    ok = True
    for name, allow in (("nothing listed", ()), ("everything listed", corpus.EVERYTHING)):
        for peer in (corpus.PEER, ""):
            prober = Prober(ProbeConfig(allow=allow), lookup=corpus.lookup)
            runs, refused = await _attack(prober, peer)
            await prober.close()
            print(f"{name:18s} {'remote' if peer else 'local':6s} agent: refused {refused} of {runs} runs")
            ok = ok and runs == refused
    wrong = await _tricks()
    print(f"redirects and rebinding: {wrong or 'as they should be'}")
    await asyncio.sleep(0.5)
    foreign = meter.foreign()
    print(f"packets to any address but this machine's own loopback: {sum(foreign.values())} {foreign or ''}")
    print(f"connections to metadata addresses: {listeners.connections}")
    ok = ok and not wrong and not foreign and listeners.connections == 0
    prober = Prober(ProbeConfig(allow=(ip_network("169.254.169.254/32"),)))
    verdict = await _run(prober, HttpProbe(host="169.254.169.254", port=80))
    await prober.close()
    await asyncio.sleep(0.5)
    counted = meter.foreign().get("169.254.169.254", 0)
    print(f"listed by the operator: {verdict.name}, {counted} packets, {listeners.connections} connection")
    return 0 if ok and verdict is Verdict.PASSED and counted > 0 and listeners.connections == 1 else 1


def main() -> int:
    """Enters a network of its own first."""
    if "--inside" not in sys.argv:
        if os.getuid() != 0:
            print("needs root: it makes a network of its own")
            return 2
        return subprocess.run(
            ["unshare", "--net", sys.executable, "-m", "tests.probes.metadata", "--inside"], check=False
        ).returncode
    for line in _SETUP:
        subprocess.run(["ip", *line.split()], check=True)
    return asyncio.run(_prove())


if __name__ == "__main__":
    sys.exit(main())
