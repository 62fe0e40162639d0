"""Nobody is trusted for what it says of itself, and nothing ships that opens a door."""

import re
import subprocess
from pathlib import Path

import grpc
import pytest

from orion_registry import RegistryClient
from orion_registry.errors import PermissionDenied, Reason
from orion_registry.testing.daemon import running_daemon
from orion_registry.wire.requests import encode_ref
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.e2e.raw_stream import error_of
from tests.server.test_tls import SPEC
from tests.server.tls import Certs, running_tls

ROOT = Path(__file__).parents[2]
OWNER = "spiffe://fleet/calc"
SPOOFS = (
    ("user-agent", "Nacos-Server"),
    ("x-forwarded-for", "127.0.0.1"),
    ("forwarded", "for=127.0.0.1"),
    ("x-real-ip", "127.0.0.1"),
    ("x-forwarded-client-cert", f"URI={OWNER}"),
    ("x-orion-identity", OWNER),
    ("authorization", "Bearer registry"),
    ("authorization", "Basic YWRtaW46YWRtaW4="),
    ("x-envoy-peer-metadata", OWNER),
    ("grpc-previous-rpc-attempts", "1"),
    ("host", "localhost"),
)


@pytest.mark.parametrize(("key", "value"), SPOOFS)
async def test_no_header_makes_anybody_somebody_else(key: str, value: str, tmp_path: Path) -> None:
    """Another identity knows everything, the secret too, and says that it is the owner."""
    certs = Certs(tmp_path)
    owner, thief = certs.client(OWNER), certs.client("spiffe://fleet/thief")
    async with running_tls(certs) as daemon, RegistryClient(daemon.address, credentials=owner) as client:
        done = await client.register(SPEC)
        request = pb.UnregisterServiceRequest(ref=encode_ref(done.ref))
        async with thief.open_channel(daemon.address, ()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await RegistryServiceStub(channel).UnregisterService(request, metadata=((key, value),))
        error = error_of(refused.value)
        assert (type(error), error.reason) == (PermissionDenied, Reason.NOT_OWNER)
        assert (await client.get(done.ref.service_id)).service_id == done.ref.service_id


async def test_the_address_is_the_connections_own() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address) as channel:
        request = pb.RegisterServiceRequest()
        request.service.agent_id = request.service.service_name = "a"
        request.service.port = 1
        spoofed = (("x-forwarded-for", "10.66.66.66"), ("x-real-ip", "10.66.66.66"))
        answer = await RegistryServiceStub(channel).RegisterService(request, metadata=spoofed)
        assert answer.service.host == "127.0.0.1"


def test_nothing_ships_that_opens_anything() -> None:
    """No key, certificate or password in what is installed; those of the tests are theirs alone."""
    shipped = subprocess.run(
        ["git", "ls-files", "orion_registry", "protos", "generated", "examples", "scripts"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert len(shipped) > 100
    for name in shipped:
        assert not re.search(r"\.(pem|key|crt|p12|jks)$", name), name
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        assert "PRIVATE KEY-----" not in text, name
        assert not re.search(r"(password|passwd|api_key)\s*=\s*[\"'][^\"']+[\"']", text, re.IGNORECASE), name
