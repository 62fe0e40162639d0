"""Bearer tokens: on every call of every client, from a file that may change, and never where others can read them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from orion_registry import BalancerClient, Credentials, RegistryClient, ServiceSpec, sync
from orion_registry.client.admin import AdminClient
from orion_registry.client.agent_calls import CallFailed
from orion_registry.client.bearer import Bearer, BearingChannel, is_private
from orion_registry.client.credentials import resolve_credentials
from orion_registry.client.insight import InsightClient
from orion_registry.client.state import ConnectionState
from orion_registry.core.access.rights import Role
from orion_registry.core.model import Load
from orion_registry.core.selector import Selector
from orion_registry.errors import InvalidArgument, PermissionDenied, Unauthenticated
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from tests.server.serving import until
from tests.server.tls import Certs, running_tls
from tests.server.tokens import Tokens

SPEC = ServiceSpec(agent_id="calc", service_name="calc", host="127.0.0.1", port=80, capabilities=("add",))
OTHER = "orion_abcdefghijkl_" + "x" * 43


@asynccontextmanager
async def known(tokens: Tokens) -> AsyncIterator[Daemon]:
    async with running_daemon(tokens_file=str(tokens.path)) as daemon:
        yield daemon


def file_with(path: Path, text: str) -> str:
    path.write_text(text + "\n")
    return str(path)


async def test_every_client_shows_it(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    shown = Credentials(token_file=file_with(tmp_path / "mine", tokens.add("me")))
    async with known(tokens) as daemon:
        address = daemon.address
        async with (
            RegistryClient(address, credentials=shown) as registry,
            BalancerClient(address, credentials=shown) as balancer,
            AdminClient(address, credentials=shown) as admin,
            InsightClient(address, credentials=shown) as insight,
            registry.session("calc", [SPEC]) as session,
            registry.watch(Selector()) as watch,
        ):
            assert daemon.coordinator.registry.get(session.ref().service_id).snapshot.record.identity == "me"
            assert (await anext(watch)).service is not None
            async with balancer.select(Selector(capabilities=("add",))) as selection:
                assert selection.service.agent_id == "calc"
            assert (await admin.server_info()).streams == 1
            await admin.list_events()
            await insight.stats()
            await registry.health(session.ref().service_id)
        with sync.RegistryClient(address, credentials=shown) as blocking:
            await asyncio.to_thread(blocking.discover)


async def test_without_one_it_says_what_to_do(tmp_path: Path) -> None:
    async with known(Tokens(tmp_path / "t")) as daemon, RegistryClient(daemon.address) as client:
        with pytest.raises(
            Unauthenticated, match=r"got nothing: make one \(orion-registry token create\) and give it to"
        ):
            await client.discover()


def test_the_environment_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORION_TOKEN_FILE", "file")
    assert resolve_credentials(None) == Credentials(token_file="file")
    monkeypatch.setenv("ORION_INSECURE_TOKEN", "1")
    assert resolve_credentials(None) == Credentials(token_file="file", insecure_token=True)
    monkeypatch.setenv("ORION_INSECURE_TOKEN", "yes")
    with pytest.raises(InvalidArgument, match="ORION_INSECURE_TOKEN: must be 1 or 0, got 'yes'"):
        resolve_credentials(None)
    monkeypatch.setenv("ORION_INSECURE_TOKEN", "0")
    monkeypatch.setenv("ORION_TOKEN", OTHER)
    with pytest.raises(InvalidArgument, match="token: must be given without token_file, got both"):
        resolve_credentials(None)


def test_what_is_no_token_is_refused_and_never_shown() -> None:
    with pytest.raises(InvalidArgument, match=r"token: must be a token as .*, got 6 characters of another form$"):
        Credentials(token="s3cret")
    assert "xxx" not in repr(Credentials(token=OTHER))


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/s", True),
        ("10.0.0.1:1", False),
        ("registry:1", False),
        ("127.0.0.1.example.org:1", False),
        ("[::]:1", False),
        ("0.0.0.0:1", False),
    ],
)
async def test_it_goes_nowhere_in_plaintext_but_on_this_machine(address: str, private: bool) -> None:
    assert is_private(address) is private
    bearing = Credentials(token=OTHER)
    if private:
        async with bearing.open_channel(address, ()) as channel:
            assert isinstance(channel, BearingChannel)
        return
    with pytest.raises(InvalidArgument, match=r"token: must be sent over TLS \(set ca_file\), or with insecure_token"):
        bearing.open_channel(address, ())
    async with Credentials(token=OTHER, insecure_token=True).open_channel(address, ()):
        pass


async def test_a_file_that_holds_none_is_named(tmp_path: Path) -> None:
    for text, said in ((None, r"a file that can be read \(no such file"), ("", "a token as"), ("é", "a file that can")):
        path = tmp_path / "token"
        if text is not None:
            path.write_text(text)
        async with RegistryClient("127.0.0.1:1", credentials=Credentials(token_file=str(path))) as client:
            with pytest.raises(InvalidArgument, match=f"token_file: must be {said}"):
                await client.get("any")


def test_a_file_is_read_anew_and_a_broken_one_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(OTHER)
    bearer = Bearer("", str(path))
    assert bearer.metadata()["authorization"] == f"Bearer {OTHER}"
    for broken in ("half", "é"):
        path.write_text(broken)
        assert bearer.metadata()["authorization"] == f"Bearer {OTHER}"
    path.unlink()
    assert bearer.metadata()["authorization"] == f"Bearer {OTHER}"
    newer = OTHER.replace("x", "y")
    path.write_text(newer)
    assert bearer.metadata()["authorization"] == f"Bearer {newer}"


async def test_metadata_of_a_call_stays(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Inner:
        def unary_unary(self, *_: Any, **__: Any) -> Any:
            return lambda request, metadata, **options: seen.append((request, dict(metadata), options))

    channel = BearingChannel(Inner(), Bearer(OTHER, ""))  # type: ignore[arg-type]
    channel.unary_unary("/a/b")(b"x", metadata=(("traceparent", "00"),), timeout=1.0)
    expected = {"authorization": f"Bearer {OTHER}", "traceparent": "00"}
    assert seen == [(b"x", expected, {"timeout": 1.0})]


async def test_a_session_whose_token_ended_comes_back_with_the_next_one(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    first = tokens.add("calc", [Role.AGENT], ["default"])
    path = tmp_path / "mine"
    shown = Credentials(token_file=file_with(path, first))
    async with (
        known(tokens) as daemon,
        RegistryClient(daemon.address, credentials=shown) as client,
        client.session("calc", [SPEC]) as session,
    ):
        tokens.revoke(first)
        await asyncio.wait_for(session.wait_for(ConnectionState.RECONNECTING), 10.0)
        assert isinstance(session.last_error, Unauthenticated)
        file_with(path, tokens.add("calc", [Role.AGENT], ["default"]))
        await asyncio.wait_for(session.wait_for(ConnectionState.CONNECTED), 20.0)
        assert daemon.coordinator.streams


async def test_a_session_moves_to_the_new_token_before_the_old_one_ends(tmp_path: Path) -> None:
    """No change of status is seen, the old stream is gone, and revoking the old token ends nothing."""
    tokens = Tokens(tmp_path / "t")
    first = tokens.add("calc", [Role.AGENT], ["default"])
    path = tmp_path / "mine"
    shown = Credentials(token_file=file_with(path, first))
    specs = [SPEC, replace(SPEC, service_name="second")]
    async with (
        known(tokens) as daemon,
        RegistryClient(daemon.address, credentials=shown) as client,
        client.session("calc", specs) as session,
    ):
        await asyncio.sleep(1.2)
        entry = daemon.coordinator.registry.get(session.ref().service_id)
        epoch = entry.epoch
        seq = daemon.coordinator.events.last_seq
        file_with(path, OTHER)  # the registry does not know it: the session stays where it is
        await asyncio.sleep(2.5)
        assert (session.connection_state, entry.epoch) == (ConnectionState.CONNECTED, epoch)
        file_with(path, tokens.add("calc", [Role.AGENT], ["default"]))
        await until(lambda: entry.epoch > epoch and len(daemon.coordinator.streams) == 1, 20.0)
        tokens.revoke(first)
        await asyncio.sleep(3.0)
        session.set_load(Load(in_flight=3))
        await until(lambda: entry.load is not None and entry.load.in_flight == 3, 10.0)
        assert daemon.coordinator.events.last_seq == seq
        assert session.connection_state is ConnectionState.CONNECTED
        assert session.ref().epoch == entry.epoch


async def test_without_a_file_a_refused_token_ends_the_session(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    first = tokens.add("calc", [Role.AGENT], ["default"])
    async with known(tokens) as daemon, RegistryClient(daemon.address, credentials=Credentials(token=first)) as client:
        session = client.session("calc", [SPEC])
        await session.start()
        tokens.revoke(first)
        await asyncio.wait_for(session.wait_for(ConnectionState.CLOSED), 10.0)
        assert isinstance(session.last_error, Unauthenticated)
        await session.stop()


async def test_over_tls_with_a_certificate_of_the_same_identity(tmp_path: Path) -> None:
    certs, tokens = Certs(tmp_path), Tokens(tmp_path / "t")
    files = certs.client("calc")
    both = Credentials(
        ca_file=files.ca_file,
        cert_file=files.cert_file,
        key_file=files.key_file,
        token=tokens.add("calc", [Role.VIEWER]),
    )
    async with (
        running_tls(certs, tokens_file=str(tokens.path)) as daemon,
        RegistryClient(daemon.address, credentials=both) as client,
    ):
        await client.discover()
        with pytest.raises(PermissionDenied):
            await client.register(SPEC)


async def test_agents_are_never_shown_it(tmp_path: Path) -> None:
    """It is for the registry: an agent that got it could act as its caller."""
    tokens = Tokens(tmp_path / "t")
    shown = Credentials(token=tokens.add("me"))
    seen: list[Any] = []

    async def note(request: Any, context: Any) -> bytes:
        seen.append(dict(context.invocation_metadata()))
        return b""

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(note)

    class All(grpc.GenericRpcHandler):
        def service(self, _details: Any) -> Any:
            return handler

    server.add_generic_rpc_handlers((All(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    spec = ServiceSpec(agent_id="calc", service_name="calc", host="127.0.0.1", port=port, capabilities=("add",))
    async with (
        known(tokens) as daemon,
        RegistryClient(daemon.address, credentials=shown) as client,
        client.session("calc", [spec]),
        BalancerClient(daemon.address, credentials=shown) as balancer,
    ):
        with pytest.raises(CallFailed):  # its answer is empty
            await balancer.call("add")
        await server.stop(0)
    assert seen
    assert all("authorization" not in metadata for metadata in seen)


async def test_a_session_stays_with_its_token_while_the_new_one_may_not_carry_its_services(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path / "t")
    path = tmp_path / "mine"
    shown = Credentials(token_file=file_with(path, tokens.add("calc", [Role.AGENT], ["default"])))
    async with (
        known(tokens) as daemon,
        RegistryClient(daemon.address, credentials=shown) as client,
        client.session("calc", [SPEC]) as session,
    ):
        entry = daemon.coordinator.registry.get(session.ref().service_id)
        for roles, namespace in (([Role.AGENT], "elsewhere"), ([Role.VIEWER], "default")):
            file_with(path, tokens.add("calc", roles, [namespace]))
            await asyncio.sleep(2.0)
            assert (session.connection_state, len(entry.streams)) == (ConnectionState.CONNECTED, 1)
            assert session.ref().epoch == entry.used_epoch
        used = entry.used_epoch
        file_with(path, tokens.add("calc", [Role.AGENT], ["default"]))
        await until(lambda: entry.used_epoch > used and len(daemon.coordinator.streams) == 1, 20.0)
        assert session.connection_state is ConnectionState.CONNECTED
