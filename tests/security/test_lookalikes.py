"""Tokens are taken from one header of one form (threat 10): a good token shown anywhere else lets nobody in."""

import asyncio
import base64
from pathlib import Path

import pytest

from orion_registry.core.access.rights import Role
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2
from tests.fuzz.hostile import line
from tests.fuzz.hostile.line import Answer
from tests.server.tokens import Tokens

OK, PERMISSION_DENIED, UNIMPLEMENTED, INTERNAL, UNAUTHENTICATED = 0, 7, 12, 13, 16
DISCOVER = b"/orion.registry.v1.RegistryService/DiscoverServices"
REGISTER = b"/orion.registry.v1.RegistryService/RegisterService"
SERVICE = service_pb2.ServiceInfo(agent_id="calc", service_name="calc", host="127.0.0.1", port=80, liveness=4)  # type: ignore[arg-type] # a number does as well
ASK = pb.RegisterServiceRequest(service=SERVICE).SerializeToString()
Headers = dict[bytes, bytes]

CARRIERS = (
    b"proxy-authorization", b"x-authorization", b"x-forwarded-authorization", b"x-original-authorization",
    b"authorization-bin", b"grpc-authorization", b"x-auth-token", b"x-api-key", b"x-access-token", b"access-token",
    b"x-forwarded-access-token", b"x-amzn-oidc-accesstoken", b"x-goog-iap-jwt-assertion", b"www-authenticate",
    b"authentication", b"authorisation", b"autorization", b"authorization.", b"authorization_", b"_authorization",
    b"x-orion-token", b"orion-token", b"token", b"bearer", b"grpc-metadata-authorization", b"cookie", b"set-cookie",
    b"user-agent", b"referer", b"forwarded", b"grpc-trace-bin", b"host",
)  # fmt: skip
"""Headers in which proxies and clients of others pass credentials on, and names that are nearly the right one."""

ILLEGAL = (
    b"Authorization", b"AUTHORIZATION", b"authorization ", b" authorization", b"authorization\t", b"authorization:",
    b":authorization", b"authorization\x00", b"authorization\r\n", b"authorizat\xc4\xb1on",
)  # fmt: skip
"""Names that HTTP/2 does not know (RFC 9113 section 8.2.1): gRPC's C-core refuses the call."""

CLAIMS: tuple[Headers, ...] = (
    {b"x-forwarded-for": b"127.0.0.1"},
    {b"x-forwarded-for": b"unix:"},
    {b"forwarded": b"for=unix:;by=_registry;proto=https"},
    {b"x-real-ip": b"127.0.0.1", b"x-forwarded-proto": b"https", b"x-forwarded-host": b"localhost"},
    {b"x-forwarded-client-cert": b"URI=spiffe://fleet/calc"},
    {b"x-forwarded-user": b"root", b"x-remote-user": b"root", b"remote-user": b"root"},
    {b"x-ssl-client-verify": b"SUCCESS", b"x-ssl-client-s-dn": b"CN=calc"},
    {b"x-orion-identity": b"spiffe://fleet/calc", b"x-orion-role": b"operator"},
    {b"user-agent": b"Nacos-Server"},
    {b"user-agent": b"orion-registry/1.0 (internal)"},
    {b"grpc-previous-rpc-attempts": b"1", b"grpc-internal-encoding-request": b"identity"},
    {b":authority": b"unix:"},
    {b":authority": b"localhost"},
    {b":authority": b"127.0.0.1"},
    {b":authority": b"root:root@localhost"},
    {b":authority": b"[::1]:6746"},
    {b":authority": b""},
    {b":scheme": b"https"},
    {b"peer": b"unix:", b"x-peer": b"unix:"},
)
"""What somebody says of who it is and where it comes from, without any token."""


def asking(path: bytes, extra: Headers, body: bytes = b"") -> bytes:
    headers: Headers = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"x"}
    headers |= {b"content-type": b"application/grpc", b"te": b"trailers"}
    return line.begun() + line.request(list((headers | extra).items()), body)


async def ask(address: str, path: bytes, extra: Headers, body: bytes = b"") -> Answer:
    """Asks over TCP: over a Unix socket the caller would be the machine's owner."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    return await line.Line(reader, writer).send(asking(path, extra, body), 5.0)


def values(name: bytes, token: bytes) -> tuple[bytes, ...]:
    made = b"Bearer " + token, token, b"authorization=Bearer " + token
    return tuple(map(base64.b64encode, made)) if name.endswith(b"-bin") else made


async def test_a_token_counts_in_its_own_header_alone(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    token = tokens.add("spiffe://fleet/calc").encode()
    async with running_daemon(tokens_file=str(tokens.path)) as daemon:
        assert (await ask(daemon.address, DISCOVER, {b"authorization": b"Bearer " + token})).status == OK
        for name in CARRIERS:
            for value in values(name, token):
                answer = await ask(daemon.address, DISCOVER, {name: value})
                assert answer.status == UNAUTHENTICATED, (name, value)
                assert token not in answer.message
        for name in ILLEGAL:
            answer = await ask(daemon.address, DISCOVER, {name: b"Bearer " + token})
            assert answer.status in {INTERNAL, UNAUTHENTICATED, None}, name
        for path in (DISCOVER + b"?access_token=" + token, DISCOVER + b"#" + token, DISCOVER + b"/" + token):
            assert (await ask(daemon.address, path, {})).status == UNIMPLEMENTED
        for authority in (b"Bearer " + token + b"@x", token + b"@x", b"Bearer:" + token + b"@localhost"):
            answer = await ask(daemon.address, DISCOVER, {b":authority": authority})
            assert answer.status in {UNAUTHENTICATED, None}, authority  # no authority at all, for gRPC


async def test_a_good_token_elsewhere_adds_nothing_to_the_one_that_is_shown(tmp_path: Path) -> None:
    """Of somebody who is known, too: a viewer's token in the header, an agent's in all others."""
    tokens = Tokens(tmp_path / "t")
    agent, viewer = tokens.add("spiffe://fleet/calc").encode(), tokens.add("eve", [Role.VIEWER]).encode()
    async with running_daemon(tokens_file=str(tokens.path)) as daemon:
        for name in CARRIERS:
            value = values(name, agent)[0]
            answer = await ask(daemon.address, REGISTER, {b"authorization": b"Bearer " + viewer, name: value}, ASK)
            assert answer.status == PERMISSION_DENIED, name
        assert not len(daemon.coordinator.registry)
        assert (await ask(daemon.address, REGISTER, {b"authorization": b"Bearer " + agent}, ASK)).status == OK


@pytest.mark.parametrize("shown", [{}, {b"authorization": b"Bearer orion_aaaaaaaaaaaa_" + b"A" * 43}])
async def test_nothing_that_somebody_says_of_itself_lets_it_in(shown: Headers, tmp_path: Path) -> None:
    """Without a token, and with one of the right form that nobody made."""
    tokens = Tokens(tmp_path / "t")
    tokens.add("spiffe://fleet/calc")
    async with running_daemon(tokens_file=str(tokens.path)) as daemon:
        for claim in CLAIMS:
            answer = await ask(daemon.address, DISCOVER, claim | shown)
            assert answer.status == UNAUTHENTICATED, claim
