"""gRPC probes against real servers."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2

from orion_registry.core.checks.spec import GrpcProbe
from orion_registry.core.checks.verdict import Verdict
from tests.probes import targets
from tests.probes.conftest import Look

S = health_pb2.HealthCheckResponse


async def test_serving_passes_and_the_rest_fails(look: Look) -> None:
    async with targets.grpc_health() as (port, servicer):
        for service in ("", "orion"):
            await servicer.set(service, S.SERVING)
            probe = GrpcProbe(host="127.0.0.1", port=port, service=service)
            assert (await look(probe)).verdict is Verdict.PASSED
            await servicer.set(service, S.NOT_SERVING)
            outcome = await look(probe)
            assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "it says NOT_SERVING, not SERVING")
            await servicer.set(service, S.SERVING)
            assert (await look(probe)).verdict is Verdict.PASSED
        outcome = await look(GrpcProbe(host="127.0.0.1", port=port, service="other"))
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "it does not know the service 'other'")


async def test_a_server_without_health_fails(look: Look) -> None:
    async with targets.grpc_health(with_health=False) as (port, _):
        outcome = await look(GrpcProbe(host="127.0.0.1", port=port))
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "it does not serve grpc.health.v1")


async def test_who_is_no_grpc_server_fails(look: Look) -> None:
    outcome = await look(GrpcProbe(host="127.0.0.1", port=targets.refusing()))
    assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "connection refused")
    async with targets.http(targets.answer()) as target:
        outcome = await look(GrpcProbe(host="127.0.0.1", port=target.port))
        assert outcome.verdict is Verdict.FAILED
        assert outcome.detail in ("no gRPC connection: not HTTP/2, or TLS failed", "connection reset"), outcome
    with targets.listener() as port:
        outcome = await look(GrpcProbe(host="127.0.0.1", port=port), timeout_s=0.3)
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "no answer in 0.3 s")


@pytest.mark.parametrize(
    ("cert", "host", "tls_name", "passes"),
    [
        ("good.pem", "good.example", "", True),
        ("good.pem", "127.0.0.1", "", True),
        ("good.pem", "wrong.example", "good.example", True),
        ("good.pem", "wrong.example", "", False),
        ("good.pem", "good.example", "wrong.example", False),
        ("expired.pem", "good.example", "", False),
        ("stranger.pem", "good.example", "", False),
    ],
)
async def test_certificates(look: Look, cert: str, host: str, tls_name: str, passes: bool) -> None:
    async with targets.grpc_health(cert=cert) as (port, servicer):
        await servicer.set("", S.SERVING)
        outcome = await look(GrpcProbe(host=host, port=port, tls=True, tls_name=tls_name), timeout_s=1.0)
        assert outcome.verdict is (Verdict.PASSED if passes else Verdict.FAILED), outcome


async def test_the_agents_name_is_the_authority(look: Look) -> None:
    """The connection goes to an address; what the server reads is the name."""
    read = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\x04\0\0\0\0\0")  # SETTINGS
        data = b""
        while b"good.example" not in data and (more := await reader.read(1024)):  # at the end it reads nothing for ever
            data += more
            writer.write(b"\0\0\0\x04\x01\0\0\0\0")  # its acknowledgement
        read.set_result(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        outcome = await look(GrpcProbe(host="good.example", port=port), timeout_s=20.0)
        assert outcome.verdict is Verdict.FAILED
        assert f"good.example:{port}".encode() in await read


async def test_no_proxy_is_asked(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    async with targets.http(targets.answer()) as proxy, targets.grpc_health() as (port, servicer):
        await servicer.set("", S.SERVING)
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert (await look(GrpcProbe(host="127.0.0.1", port=port))).verdict is Verdict.PASSED
        assert proxy.seen.connections == 0
