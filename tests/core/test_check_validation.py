"""core/checks/validation, url, targets: what may be configured, by field and limit; and what it is filled to."""

from dataclasses import replace
from typing import Any

import pytest

from orion_registry.core import limits
from orion_registry.core.admissible import check_spec
from orion_registry.core.checks.spec import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    Probe,
    TcpProbe,
)
from orion_registry.core.checks.targets import effective_checks, target_of
from orion_registry.core.checks.url import probe_of_url
from orion_registry.core.checks.validation import check_checks, check_custom
from orion_registry.core.model import LivenessMode
from orion_registry.errors import InvalidArgument
from tests.building import make_spec
from tests.core.checking import make_check

AT = "service.checks[0]"
CHECK = LivenessMode.CHECK


def refused(**fields: Any) -> str:
    with pytest.raises(InvalidArgument) as caught:
        check_spec(replace(make_spec(port=80), **fields))
    assert ", got " in caught.value.message
    return caught.value.message


def http(**fields: Any) -> HttpProbe:
    return HttpProbe(port=80, **fields)


# Figures.


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interval_s": 1.0},
        {"interval_s": 86_400.0, "timeout_s": 60.0},
        {"interval_s": 1.0, "timeout_s": 0.01},
        {"interval_s": 5.0, "timeout_s": 4.9},
        {"interval_s": 30.0, "retries": 5},
        {"interval_s": 12.0, "timeout_s": 2.0, "retries": 5},
        {"fall": 1, "rise": 1},
        {"fall": 100, "rise": 100},
    ],
    ids=str,
)
def test_figures_within_limits(fields: dict[str, Any]) -> None:
    checks = (make_check(**fields),)
    assert check_checks(make_spec(checks=checks)) == checks


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"interval_s": 0.9}, f"{AT}.interval: must be 1 to 86,400"),
        ({"interval_s": 86_401.0}, f"{AT}.interval: must be 1 to 86,400"),
        ({"interval_s": float("nan")}, f"{AT}.interval: must be 1 to 86,400"),
        ({"timeout_s": 0.001}, f"{AT}.timeout: must be 0.01 to 60"),
        ({"interval_s": 100.0, "timeout_s": 61.0}, f"{AT}.timeout: must be 0.01 to 60"),
        ({"interval_s": 5.0, "timeout_s": 5.0}, f"{AT}.timeout: must be below {AT}.interval, which is 5 s"),
        (
            {"interval_s": 10.0, "timeout_s": 4.0, "retries": 2},
            f"{AT}.timeout: must be so short that 3 attempts fit into {AT}.interval, which is 10 s, got 4",
        ),
        ({"interval_s": 4.0, "retries": 2}, f"{AT}.timeout: must be so short that 3 attempts fit into {AT}.interval"),
        ({"retries": -1}, f"{AT}.retries: must be 0 to 5"),
        ({"retries": 6}, f"{AT}.retries: must be 0 to 5"),
        ({"fall": 0}, f"{AT}.fall: must be 1 to 100"),
        ({"rise": 101}, f"{AT}.rise: must be 1 to 100"),
        ({"name": "a b"}, f"{AT}.name: must be 1 to 128"),
    ],
    ids=str,
)
def test_figures_beyond(fields: dict[str, Any], message: str) -> None:
    assert refused(checks=(replace(make_check(), **fields),)).startswith(message)


def test_how_many_there_may_be() -> None:
    names = [f"c{number}" for number in range(limits.CHECKS + 1)]
    assert check_spec(make_spec(checks=tuple(map(make_check, names[1:])))).checks
    assert refused(checks=tuple(map(make_check, names))).startswith("service.checks: must be at most 8 entries, got 9")
    assert refused(checks=(make_check(), make_check())).startswith("service.checks[1].name: must be that of one check")
    probes = (TcpProbe(),) * (2 + limits.FALLBACKS)
    assert refused(checks=(make_check("c", *probes),)).startswith(f"{AT}.fallbacks: must be at most 3 entries, got 4")
    none = CheckSpec(name="none", probes=())
    assert refused(checks=(none,)).startswith(f"{AT}.fallbacks: must be")


# Probes.

GOOD: tuple[Probe, ...] = (
    HttpProbe(),
    HttpProbe(host="::1", port=65_535, https=True, method="HEAD", path="/a?b=c%20", status_min=100, status_max=599),
    HttpProbe(host="[::1]", tls_name="agent.example", verify=False),
    HttpProbe(path="/", headers=(("Accept", "*/*"), ("X-Probe", "a" * 1024))),
    HttpProbe(path="/" + "p" * 2047),
    TcpProbe(host="10.0.0.1", port=1),
    IcmpProbe(),
    IcmpProbe(host="fe80::1"),
    GrpcProbe(service="pkg.Service", tls=True, tls_name="x"),
    CustomProbe(name="db.up"),
)


@pytest.mark.parametrize("probe", GOOD, ids=lambda probe: probe.kind.name)
def test_probes_within_limits(probe: Probe) -> None:
    spec = make_spec(port=80, checks=(make_check("c", probe),))
    assert check_spec(spec) == spec


BAD: list[tuple[Probe, str]] = [
    (http(host="http://h"), "http.host"),
    (http(host="h:80"), "http.host"),
    (GrpcProbe(host="unix:/run/x", port=1), "grpc.host"),
    (GrpcProbe(host="dns:a:b", port=1), "grpc.host: must be a host name or address"),
    (TcpProbe(host="a::b::c", port=1), "tcp.host: must be a host name or address"),
    (IcmpProbe(host="a\n"), "icmp.host"),
    (TcpProbe(port=-1), "tcp.port"),
    (TcpProbe(port=65_536), "tcp.port"),
    (http(method="POST"), "http.method: must be GET or HEAD"),
    (http(method="get"), "http.method"),
    (http(path="a"), "http.path: must be printable ASCII"),
    (http(path="/a b"), "http.path"),
    (http(path="/a#b"), "http.path"),
    (http(path="/ä"), "http.path"),
    (http(path="/a\r\nHost: x"), "http.path"),
    (http(path="/" + "p" * 2048), "http.path: must be at most 2,048"),
    (http(status_min=99), "http.status_min: must be 100 to 599"),
    (http(status_min=300, status_max=299), "http.status_max: must be 300 to 599"),
    (http(status_max=600), "http.status_max"),
    (http(tls_name="a/b"), "http.tls_server_name"),
    (http(headers=tuple((f"x{n}", "") for n in range(17))), "http.headers: must be at most 16 entries"),
    (http(headers=(("", "v"),)), "http.headers name: must be 1 to 64"),
    (http(headers=(("a b", "v"),)), "http.headers name: must be 1 to 64"),
    (http(headers=(("a:", "v"),)), "http.headers name: must be 1 to 64"),
    (http(headers=(("a" * 65, "v"),)), "http.headers name: must be 1 to 64"),
    (http(headers=(("X", "a\r\nb"),)), "http.headers['X']: must be at most 1,024 characters"),
    (http(headers=(("X", "ä"),)), "http.headers['X']"),
    (http(headers=(("X", "a" * 1025),)), "http.headers['X']"),
    (GrpcProbe(port=1, service="a" * 129), "grpc.service"),
    (GrpcProbe(port=1, tls_name="a b"), "grpc.tls_server_name"),
    (CustomProbe(name="a b"), "custom.name"),
]


@pytest.mark.parametrize(("probe", "message"), BAD, ids=lambda case: str(case)[:60])
def test_probes_beyond(probe: Probe, message: str) -> None:
    assert refused(checks=(make_check("c", probe),)).startswith(f"{AT}.{message}")
    fallback = (make_check("c", TcpProbe(port=1), probe),)
    assert refused(checks=fallback).startswith(f"{AT}.fallbacks[0].{message}")


FORBIDDEN = """host authorization Authorization proxy-authorization Proxy-X cookie connection content-length
transfer-encoding upgrade te trailer expect x-forwarded-for X-Forwarded-Anything forwarded metadata-flavor
x-aws-ec2-metadata-token x-aws-ec2-metadata-token-ttl-seconds Metadata"""


@pytest.mark.parametrize("name", FORBIDDEN.split())
def test_headers_that_no_check_may_send(name: str) -> None:
    message = refused(checks=(make_check("c", http(headers=((name, "secret value"),))),))
    assert message.startswith(f"{AT}.http.headers name: must be none that frames the request")
    assert "secret value" not in message


def test_a_header_value_is_never_repeated() -> None:
    assert "hush\n" not in refused(checks=(make_check("c", http(headers=(("X", "hush\n"),))),))


@pytest.mark.parametrize("probe", [HttpProbe(path="/"), TcpProbe(), GrpcProbe()])
def test_a_port_must_come_from_somewhere(probe: Probe) -> None:
    kind = probe.kind.name.lower()
    message = refused(checks=(make_check("c", probe),), port=0)
    assert message.startswith(f"{AT}.{kind}.port: must be set, for service.port is not, got 0")


@pytest.mark.parametrize("probe", [IcmpProbe(), CustomProbe(name="c"), HttpProbe()])
def test_what_needs_no_port_of_the_service(probe: Probe) -> None:
    spec = make_spec(port=0, checks=(make_check("c", probe),), health_check_url="http://h/")
    assert check_spec(spec) == spec


# CHECK mode, custom names.


def test_check_mode_needs_something_to_go_by() -> None:
    assert refused(liveness=CHECK).startswith("service.checks: must be set, or service.health_check_url, for checks")
    check_spec(make_spec(liveness=CHECK, health_check_url="http://h/"))
    check_spec(make_spec(liveness=CHECK, checks=(make_check(),)))


def test_custom_checks_are_those_of_the_configuration() -> None:
    checks = (make_check(), make_check("c", TcpProbe(), CustomProbe(name="db")))
    check_custom(checks, {"db"})
    with pytest.raises(InvalidArgument, match=r"checks\[1\].fallbacks\[0\].custom.name: must be one of disk, net, got"):
        check_custom(checks, {"net", "disk"})
    with pytest.raises(InvalidArgument, match=r"must be of those in .*custom_checks, where there are none"):
        check_custom(checks, set())


# health_check_url.


@pytest.mark.parametrize(
    ("url", "probe"),
    [
        ("http://h", HttpProbe(host="h", port=80, path="/")),
        ("HTTPS://h/x?y=z", HttpProbe(host="h", port=443, https=True, path="/x?y=z")),
        ("http://h:8080?y", HttpProbe(host="h", port=8080, path="/?y")),
        ("http://[::1]:1/", HttpProbe(host="::1", port=1, path="/")),
        ("http://10.0.0.1/a@b:c", HttpProbe(host="10.0.0.1", port=80, path="/a@b:c")),
    ],
)
def test_urls_as_probes(url: str, probe: HttpProbe) -> None:
    assert probe_of_url("url", url) == probe


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("ftp://h/", "http:// or https://, a host"),
        ("h/", "http:// or https://, a host"),
        ("http:/h", "http:// or https://, a host"),
        ("http://", "http:// or https://, a host"),
        ("http:///x", "http:// or https://, a host"),
        ("http://[]/", "http:// or https://, a host"),
        ("http://h:/", "http:// or https://, a host"),
        ("http://h:80:80/", "http:// or https://, a host"),
        ("http://h]/", "http:// or https://, a host"),
        ("http://h:123456/", "http:// or https://, a host"),
        ("http://u:p@h/", "without user info"),
        ("http://h@/", "without user info"),
        ("http://h/#x", "without a fragment"),
        ("http://h\\@e/", "printable ASCII"),
        ("http://h/\t", "printable ASCII"),
        ("http://h /", "printable ASCII"),
        ("http://hé/", "printable ASCII"),
        ("http://h/" + "x" * 2048, "at most 2,048 characters"),
    ],
)
def test_what_is_no_url_for_a_check(url: str, rule: str) -> None:
    assert refused(health_check_url=url).startswith(f"service.health_check_url: must be {rule}")


@pytest.mark.parametrize(
    ("url", "field"), [("http://h:0/", "port"), ("http://h:65536/", "port"), ("http://[a::b::c]/", "host")]
)
def test_places_of_urls(url: str, field: str) -> None:
    assert refused(health_check_url=url).startswith(f"service.health_check_url {field}: must be")


def test_user_info_is_never_repeated() -> None:
    assert "hush" not in refused(health_check_url="http://me:hush@h/")


# As they run.

URL = "https://health.example:8443/up?full"


def probes_of(*probes: Probe, **fields: Any) -> list[Probe]:
    given = {"host": "[fd00::1]", "port": 9000, **fields}
    (check,) = effective_checks(make_spec(checks=(make_check("c", *probes),), **given))
    assert (check.name, check.interval_s) == ("c", 30.0)
    return list(check.probes)


def test_what_is_left_out_is_the_services_own() -> None:
    assert probes_of(HttpProbe(), TcpProbe(), IcmpProbe(), CustomProbe(name="c")) == [
        HttpProbe(host="fd00::1", port=9000, path="/"),
        TcpProbe(host="fd00::1", port=9000),
        IcmpProbe(host="fd00::1"),
        CustomProbe(name="c", host="fd00::1", port=9000),
    ]
    given: list[Probe] = [
        HttpProbe(host="h", port=1, path="/x"),
        TcpProbe(host="h", port=1),
        GrpcProbe(host="h", port=1),
    ]
    assert probes_of(*given) == given


def test_an_http_probe_without_a_place_goes_to_the_url() -> None:
    headers = (("X", "y"),)
    place = {"host": "health.example", "port": 8443, "https": True, "path": "/up?full"}
    assert probes_of(HttpProbe(method="HEAD", headers=headers, status_max=399), health_check_url=URL) == [
        HttpProbe(method="HEAD", headers=headers, status_max=399, **place)  # type: ignore[arg-type]
    ]
    for own in (HttpProbe(host="h"), HttpProbe(port=1), HttpProbe(path="/x")):
        (filled,) = probes_of(own, health_check_url=URL)
        assert isinstance(filled, HttpProbe)
        assert filled.path != "/up?full"


def test_a_url_alone_is_a_check() -> None:
    (check,) = effective_checks(make_spec(health_check_url=URL))
    assert check == CheckSpec(name="health_check_url", probes=(probe_of_url("", URL),))
    assert effective_checks(make_spec()) == ()


@pytest.mark.parametrize(
    ("probe", "target"),
    [
        (TcpProbe(port=1), ("10.0.0.1", 1)),
        (HttpProbe(host="h"), ("h", 80)),
        (IcmpProbe(), ("10.0.0.1", 0)),
        (CustomProbe(name="c"), ("10.0.0.1", 80)),
    ],
)
def test_the_target_is_that_of_the_first_probe(probe: Probe, target: tuple[str, int]) -> None:
    spec = make_spec(host="10.0.0.1", port=80, checks=(make_check("c", probe, TcpProbe(port=9)),))
    (check,) = effective_checks(spec)
    assert target_of(check) == target
