"""Reflection as grpcurl and others ask it."""

import asyncio
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2

from orion_registry.server.daemon import SERVICES
from orion_registry.server.reflection import Reflection
from orion_registry.testing.daemon import running_daemon
from orion_registry.testing.entropy import SeededEntropy
from tests.server.raw import OWN, bidi, message

VERSIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
Request = reflection_pb2.ServerReflectionRequest
Response = reflection_pb2.ServerReflectionResponse


def ask(**fields: object) -> Response:
    return Reflection(SERVICES).answer(Request(**fields))  # type: ignore[arg-type]


def files_of(response: Response) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    protos = [
        descriptor_pb2.FileDescriptorProto.FromString(data)
        for data in response.file_descriptor_response.file_descriptor_proto
    ]
    return {proto.name: proto for proto in protos}


@pytest.mark.parametrize("version", VERSIONS)
async def test_both_versions_answer_many_questions_on_one_stream(version: str) -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        call = bidi(channel, f"/{version}.ServerReflection/ServerReflectionInfo")
        for _ in range(3):
            await call.write(Request(host="h", list_services="").SerializeToString())
            answer = Response.FromString(await message(call))
            assert [service.name for service in answer.list_services_response.service] == sorted(SERVICES)
            assert (answer.valid_host, answer.original_request.host) == ("h", "h")
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


@pytest.mark.parametrize("version", VERSIONS)
async def test_garbage_is_an_invalid_argument(version: str) -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        call = bidi(channel, f"/{version}.ServerReflection/ServerReflectionInfo")
        await call.write(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_can_be_built_from_what_is_answered(service: str) -> None:
    files = files_of(ask(file_containing_symbol=service))
    pool = descriptor_pool.DescriptorPool()

    def add(name: str) -> None:
        proto = files.pop(name, None)
        if proto is not None:
            for imported in proto.dependency:
                add(imported)
            pool.Add(proto)

    for name in list(files):
        add(name)
    assert pool.FindServiceByName(service).methods


def test_v1_describes_itself_by_its_own_names() -> None:
    ((name, proto),) = files_of(ask(file_containing_symbol="grpc.reflection.v1.ServerReflection")).items()
    assert (name, proto.package) == ("grpc/reflection/v1/reflection.proto", "grpc.reflection.v1")
    assert b"v1alpha" not in proto.SerializeToString()
    assert files_of(ask(file_by_filename=name)) == {name: proto}


@pytest.mark.parametrize(
    "symbol",
    [
        "RegistryService.GetService",
        "ServiceStatus",
        "SERVICE_STATUS_UNHEALTHY",
        "ServiceStatus.SERVICE_STATUS_UNHEALTHY",
        "ServiceInfo.agent_id",
    ],
)
def test_parts_are_answered_with_the_file_of_the_whole(symbol: str) -> None:
    package = "orion.registry.v1"
    whole = "RegistryService" if symbol.startswith("Registry") else "ServiceInfo"
    of_whole = files_of(ask(file_containing_symbol=f"{package}.{whole}"))
    found = files_of(ask(file_containing_symbol=f"{package}.{symbol}"))
    assert next(iter(found)) in of_whole
    assert symbol.rpartition(".")[2].encode() in next(iter(found.values())).SerializeToString()


def test_unknown_things_are_answered_with_an_error() -> None:
    unknown = [
        ask(file_by_filename="no.proto"),
        ask(file_containing_symbol="no.such.Symbol"),
        ask(file_containing_symbol="x" * 100_000),
        ask(file_containing_symbol="orion.registry.v1.RegistryService.NoSuchMethod"),
        ask(file_containing_symbol="orion.registry.v1.ServiceStatus.NO_SUCH_VALUE"),
        ask(file_containing_symbol="orion.registry.v1.ServiceStatus."),
        ask(file_containing_extension={"containing_type": "no.such.Type", "extension_number": 1}),
        ask(
            file_containing_extension={"containing_type": "google.protobuf.FieldOptions", "extension_number": 2**31 - 1}
        ),
        ask(file_containing_extension={"containing_type": "google.protobuf.FieldOptions", "extension_number": -5}),
        ask(all_extension_numbers_of_type="no.such.Type"),
    ]
    assert [answer.error_response.error_code for answer in unknown] == [5] * len(unknown)
    assert all(len(answer.error_response.error_message) < 200 for answer in unknown)
    assert ask().error_response.error_code == 3


def test_extensions_are_answered() -> None:
    found = ask(all_extension_numbers_of_type="google.protobuf.FieldOptions")
    assert found.all_extension_numbers_response.base_type_name == "google.protobuf.FieldOptions"


def test_whatever_is_asked_is_answered() -> None:
    rng = random.Random(7)
    reflection = Reflection(SERVICES)
    template = Request(host="h", file_containing_symbol="orion.registry.v1.ServiceInfo").SerializeToString()
    parsed = 0
    for _ in range(3_000):
        data = bytearray(template)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            request = Request.FromString(bytes(data))
        except Exception:
            continue
        parsed += 1
        assert reflection.answer(request).WhichOneof("message_response")
    assert parsed > 400


@pytest.fixture(name="grpcurl")
def find_grpcurl() -> str:
    beside = Path(sys.executable).parent / "grpcurl"
    found = str(beside) if beside.exists() else shutil.which("grpcurl")
    if found is None:
        pytest.skip("grpcurl is not installed (scripts/setup --dev)")
    return found


async def run_grpcurl(grpcurl: str, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        grpcurl, "-plaintext", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode()


async def test_grpcurl_lists_and_describes(grpcurl: str) -> None:
    async def run(address: str, *arguments: str) -> str:
        return await run_grpcurl(grpcurl, address, *arguments)

    async with running_daemon() as daemon:
        assert (await run(daemon.address, "list")).split() == sorted(SERVICES)
        described = await run(daemon.address, "describe")
        assert all(f"{service} is a service" in described for service in SERVICES)
        assert "rpc DiscoverServices" in await run(daemon.address, "describe", "orion.registry.v1.RegistryService")
        assert "message ServiceInfo" in await run(daemon.address, "describe", "orion.registry.v1.ServiceInfo")
        for symbol, expected in (
            ("RegistryService.GetService", "GetService is a method"),
            ("ServiceStatus.SERVICE_STATUS_UNHEALTHY", "is an enum value"),
            ("ServiceInfo.agent_id", "agent_id is a field"),
        ):
            assert expected in await run(daemon.address, "describe", f"orion.registry.v1.{symbol}")
        assert '"status": "SERVING"' in await run(daemon.address, "grpc.health.v1.Health/Check")


async def test_grpcurl_configures_a_check_and_sees_verdict_timeline_and_figures(grpcurl: str) -> None:
    """As in the README; the target is the daemon itself, which serves grpc.health.v1."""
    late = SeededEntropy()
    late.draw = lambda: 0.999  # type: ignore[method-assign] # no first run between two calls
    async with running_daemon(entropy=late) as daemon:

        async def call(method: str, request: dict[str, Any]) -> dict[str, Any]:
            name = f"orion.registry.v1.{method}"
            told = await run_grpcurl(grpcurl, "-d", json.dumps(request), daemon.address, name)
            answer: dict[str, Any] = json.loads(told)
            return answer

        host, _, port = daemon.address.rpartition(":")
        service = {
            "agent_id": "calc-1",
            "service_name": "calc",
            "host": host,
            "port": int(port),
            "liveness": "LIVENESS_MODE_CHECK",
            "checks": [{"grpc": {}, "interval": "10s"}],
        }
        registered = await call("RegistryService/RegisterService", {"secret": "s" * 32, "service": service})
        assert registered["service"]["status"] == "SERVICE_STATUS_STARTING"
        which = {"service_id": registered["service"]["service_id"]}
        checked = await call("MonitorService/CheckServiceHealth", which)
        assert [(one["check"], one["verdict"]) for one in checked["results"]] == [("grpc", "CHECK_VERDICT_PASSED")]
        assert (checked["status"], checked["ready"]) == ("SERVICE_STATUS_HEALTHY", True)
        health = await call("MonitorService/GetServiceHealth", which)
        assert health["reasons"][0]["code"] == "STATUS_REASON_CODE_CHECK_OK"
        assert health["checks"][0]["state"] == "CHECK_STATE_PASSING"
        assert [change["status"] for change in health["timeline"]] == [
            "SERVICE_STATUS_STARTING",
            "SERVICE_STATUS_HEALTHY",
        ]
        stats = await call("MonitorService/GetHealthStats", {})
        assert (stats["total"]["passed"], stats["kinds"][0]["kind"]) == ("1", "PROBE_KIND_GRPC")
