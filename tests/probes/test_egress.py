"""The egress policy: the corpus, and rules over all addresses."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.probes.egress import EgressPolicy, peer_of
from orion_registry.probes.prober import ProbeConfig, Prober
from orion_registry.probes.special import IPAddress, IPNetwork, embedded, plain, special
from tests.probes import corpus

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6)
ANY: st.SearchStrategy[IPAddress] = st.one_of(V4, V6)


@pytest.mark.parametrize("listed", [(), corpus.EVERYTHING], ids=["nothing listed", "everything listed"])
async def test_the_corpus_is_refused(listed: tuple[IPNetwork, ...]) -> None:
    """By every kind of probe, through the same entrance as every run. Listing everything opens nothing special."""
    prober = Prober(ProbeConfig(allow=listed), lookup=corpus.lookup)
    for hosts, special_ones in ((corpus.METADATA, True), (corpus.SPECIAL, True), (corpus.NO_HOST, False)):
        for host in hosts:
            assert await corpus.refused(host, prober, special=special_ones) == [], host
    for host in corpus.OTHERS if not listed else ():
        assert await corpus.refused(host, prober, special=True) == [], host
    await prober.close()


async def test_the_metadata_services_are_refused_to_everybody() -> None:
    """Also to an agent on this machine, and to one that claims to connect from such an address."""
    prober = Prober(ProbeConfig(), lookup=corpus.lookup)
    for host in corpus.METADATA:
        for peer in ("", "127.0.0.1", "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "nonsense"):
            assert await corpus.refused(host, prober, special=True, peer=peer) == [], (host, peer)
    await prober.close()


@pytest.mark.parametrize(
    "text",
    ["169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "169.254.42.42/32", "100.100.100.200/32",
     "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128", "fd00:42::42/128"],
)  # fmt: skip
def test_only_its_own_address_opens_a_metadata_service(text: str) -> None:
    """No network that is wider does, whichever special range that one is."""
    ip = ipaddress.ip_network(text)
    address = ip.network_address
    for length in range(ip.prefixlen):
        wider = ipaddress.ip_network(f"{address}/{length}", strict=False)
        refusal = EgressPolicy(allow=(wider,)).judge(address, address)
        assert refusal == f"{address} is a cloud metadata address", wider
    assert EgressPolicy(allow=(ip,)).judge(address, None) is None


@pytest.mark.parametrize("row", corpus.ALLOWED, ids=lambda row: f"{row.host} for {row.peer or 'a local agent'}")
async def test_what_is_allowed_is_reached(row: corpus.Allowed) -> None:
    assert await corpus.permitted(row) == row.to


@pytest.mark.parametrize(
    ("ip", "peer", "refusal"),
    [
        ("169.254.169.254", "", "169.254.169.254 is a cloud metadata address"),
        ("127.0.0.1", "10.0.0.1", "127.0.0.1 is a loopback address"),
        ("10.0.0.2", "10.0.0.1", "10.0.0.2 is not the agent's address, nor in a network that the operator lists"),
        ("fe80::1%2", "fe80::1%3", "fe80::1 is a link-local address"),
        ("169.254.1.1", "169.254.1.2", "169.254.1.1 is a link-local address"),
        ("0.0.0.0", "", "0.0.0.0 is an unspecified address"),
        ("::", "", ":: is an unspecified address"),
        ("255.255.255.255", "", "255.255.255.255 is a broadcast address"),
        ("ff02::1", "", "ff02::1 is a multicast address"),
        ("::ffff:169.254.169.254", "", "169.254.169.254 is a cloud metadata address"),
        ("2002:7f00:1::", "2002:7f00:1::", "2002:7f00:1:: carries 127.0.0.1, and 127.0.0.1 is a loopback address"),
        (
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe carries 169.254.169.254, and 169.254.169.254 is a cloud metadata address",
        ),
    ],
)
def test_a_refusal_says_which_rule(ip: str, peer: str, refusal: str) -> None:
    assert EgressPolicy().judge(ipaddress.ip_address(ip), peer_of(peer)) == refusal


def test_nobody_knows_where_it_came_from() -> None:
    """Then only listed networks are open."""
    policy = EgressPolicy(allow=corpus.networks(("10.0.0.0/8",)))
    assert policy.judge(ipaddress.ip_address("10.1.1.1"), None) is None
    assert policy.judge(ipaddress.ip_address("127.0.0.1"), None) is not None


@given(ip=ANY, peer=ANY)
def test_by_default_only_the_agents_own_address_is_open(ip: IPAddress, peer: IPAddress) -> None:
    if EgressPolicy().judge(ip, peer) is None:
        assert plain(ip) == plain(peer) or (ip.is_loopback and peer.is_loopback)


@given(ip=ANY)
def test_an_agents_own_address_is_open_unless_it_is_special(ip: IPAddress) -> None:
    row = special(plain(ip))
    judged = EgressPolicy().judge(ip, ip) is None
    assert judged is ((row is None or row.own) and not any(special(inner) for inner in embedded(plain(ip))))


@given(inner=V4, form=st.integers(0, 8))
def test_whatever_carries_a_closed_address_is_closed(inner: ipaddress.IPv4Address, form: int) -> None:
    """With everything listed: an IPv6 form is open at most if the IPv4 address in it is."""
    bits = int(inner)
    carrier = ipaddress.IPv6Address(
        (
            0xFFFF << 32 | bits,  # mapped
            bits,  # compatible
            0xFFFF << 48 | bits,  # translated
            0x0064_FF9B << 96 | bits,  # NAT64
            0x0064_FF9B_0001 << 80 | bits,  # local NAT64, /96
            0x0064_FF9B_0001 << 80 | (bits >> 16) << 64 | (bits & 0xFFFF) << 40,  # local NAT64, /48
            0x2002 << 112 | bits << 80,  # 6to4
            0x2001_0000 << 96 | 0x0808_0808 << 64 | (bits ^ 0xFFFF_FFFF),  # Teredo's client
            0x2001_0DB8 << 96 | 0x5EFE << 32 | bits,  # ISATAP
        )[form]
    )
    policy = EgressPolicy(allow=corpus.EVERYTHING)
    if form in (4, 5) and inner in ipaddress.ip_network("0.0.0.0/8"):
        return  # leads nowhere, and may mean another of the forms that local NAT64 has
    if policy.judge(inner, None) is not None:
        assert policy.judge(carrier, None) is not None
