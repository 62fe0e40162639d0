"""Hosts that agents may name to reach what they must not, and hosts that checks may reach.

`python -m tests.probes.corpus` runs a check of every kind against each and prints how many were refused.
"""

import asyncio
import sys
from dataclasses import dataclass
from ipaddress import ip_network

from orion_registry.core.checks.spec import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    Probe,
    TcpProbe,
)
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.probes.egress import EgressPolicy
from orion_registry.probes.ends import CheckDenied, CheckFailed
from orion_registry.probes.prober import ProbeConfig, Prober
from orion_registry.probes.resolve import Resolver
from orion_registry.probes.special import IPNetwork

PEER = "10.9.8.7"
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))

METADATA = (
    "169.254.169.254",
    "2852039166",  # the same as one number
    "0xA9FEA9FE",
    "0xa9fea9fe",
    "025177524776",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "0251.254.0xa9.254",
    "169.254.43518",
    "169.16689662",
    "１６９.２５４.１６９.２５４",
    "①⑥⑨.②⑤④.①⑥⑨.②⑤④",
    "169。254。169。254",
    "169．254｡169.254",
    "0x0a9.0x00fe.0xa9.0376",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "0:0:0:0:0:ffff:a9fe:a9fe",
    "0000:0000:0000:0000:0000:FFFF:A9FE:A9FE",
    "::169.254.169.254",
    "::a9fe:a9fe",
    "::ffff:0:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:00a9:fe:a9fe::",
    "64:ff9b:1:0:a9:fea9:fe00::",
    "2002:a9fe:a9fe::",
    "2002:a9fe:a9fe::1",
    "2001:0:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:5601:5601",
    "2001:db8::5efe:a9fe:a9fe",
    "2001:db8::200:5efe:169.254.169.254",
    "fe80::5efe:169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "169.254.42.42",
    "100.100.100.200",
    "1684301000",
    "0x64.100.0144.200",
    "::ffff:100.100.100.200",
    "64:ff9b::6464:64c8",
    "168.63.129.16",
    "2822734096",
    "2002:a83f:8110::1",
    "192.0.0.192",
    "192.192",
    "fd00:ec2::254",
    "FD00:0EC2:0:0:0:0:0:254",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:42::42",
    "metadata.google.internal",
    "METADATA.GOOGLE.INTERNAL",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
    "169.254.169.254.nip.io",
    "a9fea9fe.rbndr.example",
    "one-of-two.example",
    "mapped.example",
    "nat64.example",
)
SPECIAL = (
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "127.127.127.127",
    "0177.0.0.1",
    "0177.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "１２７.0.0.1",
    "①②⑦.0.0.1",
    "127。0。0。1",
    "localhost",
    "LocalHost",
    "localhost.localdomain",
    "localtest.example",
    "::1",
    "0:0:0:0:0:0:0:1",
    "0000::0001",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::7f00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "2001:db8::5efe:127.0.0.1",
    "0",
    "0.0.0.0",
    "0.0.0.1",
    "0x0",
    "00",
    "0.1",
    "::",
    "0::0",
    "::ffff:0.0.0.0",
    "::ffff:0:0",
    "2002::",
    "169.254.1.1",
    "169.254.169.123",
    "169.254.169.253",
    "fe80::1",
    "fe80::1%1",
    "febf::1",
    "224.0.0.1",
    "224.0.0.251",
    "239.255.255.250",
    "ff02::1",
    "ff05::2",
    "::ffff:224.0.0.1",
    "255.255.255.255",
    "4294967295",
    "0xffffffff",
    "240.0.0.1",
    "250.1.2.3",
    "192.0.0.8",
    "192.88.99.1",
    "fec0::1",
    "100::1",
    "4000::1",
    "::2",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "5f00::1",
)
NO_HOST = (
    "",
    " ",
    "unix:/var/run/docker.sock",
    "unix-abstract:docker",
    "/var/run/docker.sock",
    "dns:///169.254.169.254",
    "dns://attacker.example/169.254.169.254",
    "dns:metadata",
    "xds:///anything",
    "google-c2p:///anything",
    "vsock:2:80",
    "ipv4:169.254.169.254:80",
    "ipv6:[fd00:ec2::254]",
    "http://169.254.169.254/",
    "//169.254.169.254",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_x",
    "169.254.169.254:80",
    "169.254.169.254/latest",
    "169.254.169.254#.example",
    "169.254.169.254?x=.example",
    "user@169.254.169.254",
    "user:pass@169.254.169.254",
    "169.254.169.254\\@good.example",
    "[169.254.169.254]",
    "[fd00:ec2::254]",
    "[::1]",
    "169.254.169.254\0.good.example",
    "169.254.169.254\0",
    "good.example\r\nHost: 169.254.169.254",
    "169.254.169.254\n",
    "\t169.254.169.254",
    " 169.254.169.254",
    "169.254.169.254 ",
    "169.254.169.254%0",
    "169.254.169.254.",
    "169.254.169.254,10.9.8.7",
    "169.254.169.999",
    "0xA9FEA9FE1",
    "\u200b169.254.169.254",
    "a" * 254,
    "a" * 64 + ".example",
    "..",
    "nobody.example",
)
OTHERS = (
    "10.9.8.8",
    "10.0.0.1",
    "10.1",
    "167772161",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "8.8.8.8",
    "134744072",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "fd12:3456::1",
    "2606:4700:4700::1111",
    "internal.example",
    "neighbour.example",
)
"""Refused unless the operator lists them."""

NAMES = {
    **dict.fromkeys(
        ("metadata.google.internal", "metadata", "instance-data", "instance-data.ec2.internal",
         "169.254.169.254.nip.io", "a9fea9fe.rbndr.example"), ("169.254.169.254",)
    ),
    "one-of-two.example": ("10.9.8.7", "169.254.169.254"),
    "mapped.example": ("::ffff:169.254.169.254",),
    "nat64.example": ("64:ff9b::a9fe:a9fe",),
    "localhost": ("::1", "127.0.0.1"),
    "localhost.localdomain": ("127.0.0.1",),
    "localtest.example": ("127.0.0.1",),
    "internal.example": ("10.0.0.1",),
    "neighbour.example": ("10.9.8.7", "10.9.8.8"),
    "agent.example": ("10.9.8.7",),
    "agent6.example": ("::ffff:10.9.8.7",),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """A host that a check may reach, by whom and under which list, and the first address it goes to."""

    host: str
    to: str
    peer: str = PEER
    allow: tuple[str, ...] = ()


ALLOWED = (
    Allowed(host="10.9.8.7", to="10.9.8.7"),
    Allowed(host="10.9.2055", to="10.9.8.7"),
    Allowed(host="168364039", to="10.9.8.7"),
    Allowed(host="::ffff:10.9.8.7", to="10.9.8.7"),
    Allowed(host="agent.example", to="10.9.8.7"),
    Allowed(host="AGENT.example", to="10.9.8.7"),
    Allowed(host="agent6.example", to="10.9.8.7"),
    Allowed(host="10.9.8.7", to="10.9.8.7", peer="::ffff:10.9.8.7"),
    Allowed(host="2606:4700::1", to="2606:4700::1", peer="2606:4700::1"),
    Allowed(host="2606:4700:0::0:1", to="2606:4700::1", peer="2606:4700::1"),
    Allowed(host="127.0.0.1", to="127.0.0.1", peer=""),
    Allowed(host="127.0.0.9", to="127.0.0.9", peer=""),
    Allowed(host="2130706433", to="127.0.0.1", peer=""),
    Allowed(host="::1", to="::1", peer=""),
    Allowed(host="localhost", to="::1", peer=""),
    Allowed(host="localhost", to="::1", peer="127.0.0.1"),
    Allowed(host="169.254.7.7", to="169.254.7.7", peer="169.254.7.7"),
    Allowed(host="fe80::7%1", to="fe80::7%1", peer="fe80::7%lo"),
    Allowed(host="fe80::7%1", to="fe80::7%1", peer="fe80::7%25lo"),
    Allowed(host="2002:808:808::1", to="2002:808:808::1", peer="2002:808:808::1"),
    Allowed(host="internal.example", to="10.0.0.1", allow=("10.0.0.0/24",)),
    Allowed(host="neighbour.example", to="10.9.8.7", allow=("10.9.8.8/32",)),
    Allowed(host="8.8.8.8", to="8.8.8.8", allow=("0.0.0.0/0",)),
    Allowed(host="127.0.0.1", to="127.0.0.1", allow=("127.0.0.0/8",)),
    Allowed(host="169.254.1.1", to="169.254.1.1", allow=("169.254.0.0/16",)),
    Allowed(host="169.254.169.254", to="169.254.169.254", allow=("169.254.169.254/32",)),
    Allowed(host="fd00:ec2::254", to="fd00:ec2::254", allow=("fd00:ec2::254/128",)),
    Allowed(host="64:ff9b::a00:1", to="64:ff9b::a00:1", allow=("64:ff9b::/96", "10.0.0.0/8")),
    Allowed(host="64:ff9b:1:a00:0:100::", to="64:ff9b:1:a00:0:100::", allow=("64:ff9b:1::/48", "0.0.0.0/0")),
    Allowed(host="240.0.0.1", to="240.0.0.1", allow=("240.0.0.0/8",)),
)


async def lookup(host: str) -> tuple[str, ...]:
    """The name servers of this corpus."""
    found = NAMES.get(host.lower())
    if found is None:
        raise CheckFailed("the host has no address")
    return found


def probes(host: str, port: int = 80) -> tuple[Probe, ...]:
    """A probe of every kind."""
    return (
        HttpProbe(host=host, port=port),
        HttpProbe(host=host, port=port, https=True, verify=False),
        TcpProbe(host=host, port=port),
        IcmpProbe(host=host),
        GrpcProbe(host=host, port=port),
        CustomProbe(name="any", host=host, port=port),
    )


async def refused(host: str, prober: Prober, *, special: bool, peer: str = PEER) -> list[Outcome]:
    """Outcomes of the probes that were not refused; special ones must be DENIED, others may be no host at all."""
    wrong = []
    for probe in probes(host):
        outcome = await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=0.3), peer)
        no_host = outcome.verdict is Verdict.FAILED and outcome.detail == "the host has no address"
        if outcome.verdict is not Verdict.DENIED and (special or not no_host):
            wrong.append(outcome)
    return wrong


async def permitted(row: Allowed) -> str:
    """Where a check would go, or why it may not."""
    policy = EgressPolicy(allow=networks(row.allow))
    try:
        addresses = await Resolver(policy, lookup).resolve(row.host, row.peer)
    except (CheckDenied, CheckFailed) as end:
        return str(end)
    return str(addresses[0].ip)


def networks(texts: tuple[str, ...]) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


async def judge_all() -> int:
    """Prints the figures; number of wrong ones."""
    strict = Prober(ProbeConfig(), lookup=lookup)
    wide = Prober(ProbeConfig(allow=EVERYTHING), lookup=lookup)
    wrong = 0
    for name, hosts, prober in (
        ("metadata, nothing listed", METADATA, strict),
        ("metadata, everything listed", METADATA, wide),
        ("special, nothing listed", SPECIAL, strict),
        ("special, everything listed", SPECIAL, wide),
        ("no hosts, nothing listed", NO_HOST, strict),
        ("no hosts, everything listed", NO_HOST, wide),
        ("others, nothing listed", OTHERS, strict),
    ):
        bad = {host: found for host in hosts if (found := await refused(host, prober, special=hosts is not NO_HOST))}
        print(f"{name:28s} refused {len(hosts) - len(bad)} of {len(hosts)} hosts, by each of {len(probes(''))} probes")
        for host, outcomes in bad.items():
            print(f"    NOT REFUSED {host!r}: {outcomes}")
        wrong += len(bad)
    await strict.close()
    await wide.close()
    odd = {row: to for row in ALLOWED if (to := await permitted(row)) != row.to}
    print(f"{'allowed':28s} allowed {len(ALLOWED) - len(odd)} of {len(ALLOWED)} hosts")
    for row, reason in odd.items():
        print(f"    NOT ALLOWED {row}: {reason}")
    return wrong + len(odd)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(judge_all()) else 0)
