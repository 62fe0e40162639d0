"""Active checks between protobuf and the model."""

from collections.abc import Iterable, Sequence

from orion_registry.core import limits
from orion_registry.core.checks.spec import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    Probe,
    TcpProbe,
)
from orion_registry.errors import Said, bad_field
from orion_registry.wire.spans import decode_span, span_of
from orion_registry_pb.v1.service_pb2 import HealthCheck

KINDS = "http, tcp, icmp, grpc or custom"
_Kinds = HealthCheck | HealthCheck.Fallback


def decode_checks(field: str, messages: Sequence[HealthCheck]) -> tuple[CheckSpec, ...]:
    """Checks as values; core checks their limits.

    Raises:
        InvalidArgument: too many to copy, a check without a kind, or a span that is none.
    """
    if len(messages) > limits.CHECKS:
        raise bad_field(field, f"at most {limits.CHECKS} entries", len(messages))
    return tuple(_check(f"{field}[{index}]", message) for index, message in enumerate(messages))


def decode_known_checks(messages: Iterable[HealthCheck]) -> tuple[CheckSpec, ...]:
    """Checks that the registry sent. Those with a kind that this version does not know are left out."""
    return tuple(_check("checks", message) for message in messages if _is_known(message))


def _is_known(message: HealthCheck) -> bool:
    kinds: tuple[_Kinds, ...] = (message, *message.fallbacks)
    return all(kind.WhichOneof("kind") is not None for kind in kinds)


def _check(field: str, message: HealthCheck) -> CheckSpec:
    if len(message.fallbacks) > limits.FALLBACKS:
        raise bad_field(f"{field}.fallbacks", f"at most {limits.FALLBACKS} entries", len(message.fallbacks))
    fallbacks = [_probe(f"{field}.fallbacks[{n}]", fallback) for n, fallback in enumerate(message.fallbacks)]
    first = _probe(field, message)
    return CheckSpec(
        name=message.name or first.kind.name.lower(),
        probes=(first, *fallbacks),
        interval_s=decode_span(f"{field}.interval", message.interval) if message.HasField("interval") else 30.0,
        timeout_s=decode_span(f"{field}.timeout", message.timeout) if message.HasField("timeout") else None,
        retries=message.retries,
        fall=message.fall or 3,
        rise=message.rise or 2,
    )


def _probe(field: str, message: _Kinds) -> Probe:
    match message.WhichOneof("kind"):
        case "http":
            return _http(field, message.http)
        case "tcp":
            return TcpProbe(host=message.tcp.host, port=message.tcp.port)
        case "icmp":
            return IcmpProbe(host=message.icmp.host)
        case "grpc":
            grpc = message.grpc
            return GrpcProbe(
                host=grpc.host, port=grpc.port, service=grpc.service, tls=grpc.tls, tls_name=grpc.tls_server_name
            )
        case "custom":
            return CustomProbe(name=message.custom.name)
        case _:
            raise bad_field(f"{field}.kind", KINDS, Said("none"))


def _http(field: str, http: HealthCheck.Http) -> HttpProbe:
    if len(http.headers) > limits.CHECK_HEADERS:
        raise bad_field(f"{field}.http.headers", f"at most {limits.CHECK_HEADERS} entries", len(http.headers))
    return HttpProbe(
        host=http.host,
        port=http.port,
        https=http.https,
        method=http.method or "GET",
        path=http.path,
        headers=tuple(sorted(http.headers.items())),
        status_min=http.status_min or 200,
        status_max=http.status_max or 299,
        tls_name=http.tls_server_name,
        verify=not http.tls_skip_verify,
    )


def encode_check(check: CheckSpec) -> HealthCheck:
    """A check as its agent could have sent it."""
    message = HealthCheck(
        name=check.name,
        interval=span_of(check.interval_s),
        timeout=None if check.timeout_s is None else span_of(check.timeout_s),
        fall=check.fall,
        rise=check.rise,
        retries=check.retries,
    )
    first, *fallbacks = check.probes
    _fill(message, first)
    for probe in fallbacks:
        _fill(message.fallbacks.add(), probe)
    return message


def _fill(message: _Kinds, probe: Probe) -> None:
    match probe:
        case HttpProbe():
            message.http.CopyFrom(
                HealthCheck.Http(
                    host=probe.host,
                    port=probe.port,
                    https=probe.https,
                    method=probe.method,
                    path=probe.path,
                    headers=dict(probe.headers),
                    status_min=probe.status_min,
                    status_max=probe.status_max,
                    tls_server_name=probe.tls_name,
                    tls_skip_verify=not probe.verify,
                )
            )
        case TcpProbe():
            message.tcp.CopyFrom(HealthCheck.Tcp(host=probe.host, port=probe.port))
        case IcmpProbe():
            message.icmp.CopyFrom(HealthCheck.Icmp(host=probe.host))
        case GrpcProbe():
            message.grpc.CopyFrom(
                HealthCheck.Grpc(
                    service=probe.service,
                    host=probe.host,
                    port=probe.port,
                    tls=probe.tls,
                    tls_server_name=probe.tls_name,
                )
            )
        case CustomProbe():
            message.custom.CopyFrom(HealthCheck.Custom(name=probe.name))
