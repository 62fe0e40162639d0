"""What is checked of the active checks that an agent configures. Messages name field, limit and what came."""

import re
from collections.abc import Collection

from orion_registry.core import limits
from orion_registry.core.checks.spec import CheckSpec, CustomProbe, GrpcProbe, HttpProbe, IcmpProbe, Probe, TcpProbe
from orion_registry.core.checks.targets import is_for_url
from orion_registry.core.checks.url import check_target, probe_of_url
from orion_registry.core.model import LivenessMode, ServiceSpec
from orion_registry.core.validation import check_id, check_number, check_text
from orion_registry.errors import Said, bad_field

METHODS = ("GET", "HEAD")

_PATH = re.compile(r"/[!-\"$-~]*")
"""Printable ASCII without "#"."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A token (RFC 9110 section 5.6.2)."""

_HEADER_VALUE = re.compile(r"[ -~]*")

FORBIDDEN_HEADERS = frozenset(
    {
        "authorization", "connection", "content-length", "cookie", "expect", "forwarded", "host", "metadata",
        "metadata-flavor", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
FORBIDDEN_PREFIXES = ("proxy-", "x-aws-ec2-metadata-token", "x-forwarded-")
"""Headers that no check may send: records hold no secrets, requests are framed by the registry alone, and the keys to
the metadata services of clouds (Metadata-Flavor of Google, Metadata of Azure, the token of AWS) open nothing from here.
"""


def check_checks(spec: ServiceSpec) -> tuple[CheckSpec, ...]:
    """The checks of a service, if all is well with them, with its health_check_url, and with its need of either.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if spec.health_check_url:
        probe_of_url("service.health_check_url", spec.health_check_url)
    elif spec.liveness is LivenessMode.CHECK and not spec.checks:
        rule = "set, or service.health_check_url, for checks are all that LIVENESS_MODE_CHECK goes by"
        raise bad_field("service.checks", rule, Said("neither"))
    if len(spec.checks) > limits.CHECKS:
        raise bad_field("service.checks", f"at most {limits.CHECKS} entries", len(spec.checks))
    names = set()
    for index, check in enumerate(spec.checks):
        field = f"service.checks[{index}]"
        check_id(f"{field}.name", check.name)
        if check.name in names:
            raise bad_field(f"{field}.name", "that of one check alone", check.name)
        names.add(check.name)
        _check_figures(field, check)
        _check_probes(field, check, spec)
    return spec.checks


def check_custom(checks: Collection[CheckSpec], known: Collection[str]) -> None:
    """Whether every custom check is one that there is.

    Raises:
        InvalidArgument: BAD_FIELD, with those that there are.
    """
    for index, check in enumerate(checks):
        for position, probe in enumerate(check.probes):
            if isinstance(probe, CustomProbe) and probe.name not in known:
                names = f"one of {', '.join(sorted(known))}" if known else "of those in the registry's custom_checks"
                none = "" if known else ", where there are none"
                raise bad_field(f"{_field(f'service.checks[{index}]', position, probe)}.name", names + none, probe.name)


def _check_figures(field: str, check: CheckSpec) -> None:
    """When it runs, and how often in a row."""
    interval_s, attempt_s = check.interval_s, check.attempt_s
    check_number(f"{field}.interval", interval_s, limits.CHECK_INTERVAL_MIN_S, limits.CHECK_INTERVAL_MAX_S)
    custom = any(isinstance(probe, CustomProbe) for probe in check.probes)
    least_s = limits.CUSTOM_TIMEOUT_MIN_S if custom else limits.CHECK_TIMEOUT_MIN_S
    check_number(f"{field}.timeout", attempt_s, least_s, limits.CHECK_TIMEOUT_MAX_S)
    check_number(f"{field}.retries", check.retries, 0, limits.CHECK_RETRIES)
    check_number(f"{field}.fall", check.fall, 1, limits.CHECK_THRESHOLD)
    check_number(f"{field}.rise", check.rise, 1, limits.CHECK_THRESHOLD)
    if not 1 <= len(check.probes) <= 1 + limits.FALLBACKS:
        raise bad_field(f"{field}.fallbacks", f"at most {limits.FALLBACKS} entries", len(check.probes) - 1)
    if attempt_s >= interval_s:
        raise bad_field(f"{field}.timeout", f"below {field}.interval, which is {interval_s:g} s", attempt_s)
    if check.attempts * attempt_s > interval_s:
        rule = f"so short that {check.attempts} attempts fit into {field}.interval, which is {interval_s:g} s"
        raise bad_field(f"{field}.timeout", rule, attempt_s)


def _check_probes(field: str, check: CheckSpec, spec: ServiceSpec) -> None:
    for position, probe in enumerate(check.probes):
        place = _field(field, position, probe)
        check_target(f"{place}.host", probe.host)
        if not isinstance(probe, IcmpProbe):
            _check_port(place, probe, spec)
        match probe:
            case HttpProbe():
                _check_http(place, probe)
            case GrpcProbe():
                check_text(f"{place}.service", probe.service)
                check_target(f"{place}.tls_server_name", probe.tls_name)
            case CustomProbe():
                check_id(f"{place}.name", probe.name)


def _field(field: str, position: int, probe: Probe) -> str:
    """Where a probe stands in a message: the first in its check, the others among its fallbacks."""
    place = f"{field}.fallbacks[{position - 1}]" if position else field
    return f"{place}.{probe.kind.name.lower()}"


def _check_port(place: str, probe: HttpProbe | TcpProbe | GrpcProbe | CustomProbe, spec: ServiceSpec) -> None:
    """It has one, by itself or by its service; a custom check may do without."""
    check_number(f"{place}.port", probe.port, 0, limits.PORT)
    needed = not isinstance(probe, CustomProbe) and not (spec.health_check_url and is_for_url(probe))
    if needed and not probe.port and not spec.port:
        raise bad_field(f"{place}.port", "set, for service.port is not", probe.port)


def _check_http(place: str, probe: HttpProbe) -> None:
    if probe.method not in METHODS:
        raise bad_field(f"{place}.method", " or ".join(METHODS), probe.method)
    if len(probe.path) > limits.URL:
        raise bad_field(f"{place}.path", f"at most {limits.URL:,} characters", probe.path)
    if probe.path and not _PATH.fullmatch(probe.path):
        raise bad_field(f"{place}.path", 'printable ASCII that begins with "/", without spaces and "#"', probe.path)
    check_number(f"{place}.status_min", probe.status_min, 100, 599)
    check_number(f"{place}.status_max", probe.status_max, probe.status_min, 599)
    check_target(f"{place}.tls_server_name", probe.tls_name)
    if len(probe.headers) > limits.CHECK_HEADERS:
        raise bad_field(f"{place}.headers", f"at most {limits.CHECK_HEADERS} entries", len(probe.headers))
    for name, value in probe.headers:
        _check_header(f"{place}.headers", name, value)


def _check_header(field: str, name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name) or len(name) > limits.HEADER_NAME:
        rule = f"1 to {limits.HEADER_NAME} letters, digits and characters of !#$%&'*+-.^_`|~"
        raise bad_field(f"{field} name", rule, name)
    if name.lower() in FORBIDDEN_HEADERS or name.lower().startswith(FORBIDDEN_PREFIXES):
        raise bad_field(
            f"{field} name", "none that frames the request, holds a secret or opens a cloud's metadata", name
        )
    if len(value) > limits.HEADER_VALUE or not _HEADER_VALUE.fullmatch(value):
        rule = f"at most {limits.HEADER_VALUE:,} characters of printable ASCII"
        raise bad_field(f"{field}[{name!r}]", rule, Said(f"{len(value):,} characters"))
