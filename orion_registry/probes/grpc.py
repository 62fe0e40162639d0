"""gRPC probe: passes if grpc.health.v1.Health/Check says SERVING."""

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from orion_registry.core.checks.spec import GrpcProbe
from orion_registry.probes.ends import CheckFailed
from orion_registry.probes.os_errors import end_in
from orion_registry.probes.resolve import Address
from orion_registry.probes.trust import Trust

_ANSWER = 64 * 1024  # bytes; a true one has 2
_METHOD = "/grpc.health.v1.Health/Check"

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),  # no TXT records
    ("grpc.use_local_subchannel_pool", 1),  # each probe has a connection of its own
    ("grpc.enable_retries", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.max_receive_message_length", _ANSWER),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024),
)
_SAYS = {
    grpc.StatusCode.UNIMPLEMENTED: "it does not serve grpc.health.v1",
    grpc.StatusCode.DEADLINE_EXCEEDED: "it answered DEADLINE_EXCEEDED",
}


async def probe_grpc(probe: GrpcProbe, address: Address, trust: Trust) -> None:
    """Returns if it passed.

    Raises:
        Unreached: nobody accepts.
        CheckFailed: the answer is not SERVING.
        CheckUnavailable: an error of this machine.
    """
    channel = _channel(probe, address, trust)
    try:
        check: grpc.aio.UnaryUnaryMultiCallable[health_pb2.HealthCheckRequest, bytes] = channel.unary_unary(
            _METHOD,
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(service=probe.service))
        except grpc.aio.AioRpcError as error:
            raise _end_of(error, probe, channel) from None
    finally:
        await channel.close()
    try:
        status = health_pb2.HealthCheckResponse.FromString(answer).status
    except DecodeError:
        raise CheckFailed("the answer is not of grpc.health.v1") from None
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise CheckFailed(f"it says {_name(status)}, not SERVING")


def _channel(probe: GrpcProbe, address: Address, trust: Trust) -> grpc.aio.Channel:
    # Only ever an address: a target of another scheme could mean a file, a name server or a control plane.
    scheme = "ipv4" if ":" not in str(address.ip) else "ipv6"
    target = f"{scheme}:{address.in_url.replace('%', '%25')}:{probe.port}"
    name = (probe.tls and probe.tls_name) or probe.host
    bare = name.partition("%")[0]
    authority = f"[{bare}]:{probe.port}" if ":" in bare else f"{bare}:{probe.port}"
    options = [*_OPTIONS, ("grpc.default_authority", authority)]
    if not probe.tls:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(trust.roots), options=options)


def _name(status: int) -> str:
    try:
        return health_pb2.HealthCheckResponse.ServingStatus.Name(status)
    except ValueError:
        return "something unknown"


def _end_of(error: grpc.aio.AioRpcError, probe: GrpcProbe, channel: grpc.aio.Channel) -> Exception:
    """What a call's failure says. Its text may be the target's: it is only searched for the system's words."""
    code = error.code()
    if code is grpc.StatusCode.NOT_FOUND:
        return CheckFailed(f"it does not know the service {probe.service!r}"[:200])
    connected = channel.get_state() is grpc.ChannelConnectivity.READY
    if code is grpc.StatusCode.UNAVAILABLE and not connected:
        return end_in(error.details() or "") or CheckFailed("no gRPC connection: not HTTP/2, or TLS failed")
    return CheckFailed(_SAYS.get(code) or f"it answered {code.name}")
