"""The daemon as a whole, in this process: start, stop, and what it leaves behind."""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.server.daemon import Daemon
from orion_registry.server.registry_config import registry_config
from orion_registry.server.selection_settings import balancer_config
from orion_registry.server.settings import Settings
from orion_registry.server.start_error import SettingError, StartError
from orion_registry.store.base import StoreFailed
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.daemon import running_daemon
from orion_registry_pb.v1 import heartbeat_pb2, registry_pb2
from tests.server.raw import OWN, bidi, message, server_stream, unary

SERVICE = "/orion.registry.v1.RegistryService/"
HELLO = heartbeat_pb2.HeartbeatRequest(hello=heartbeat_pb2.Hello(agent_id="a")).SerializeToString()


async def test_settings_reach_the_registry() -> None:
    async with running_daemon(retention_s=1.5, beat_budget=7, history_size=9) as daemon:
        config = daemon.coordinator.registry.config
        assert (config.retention_s, config.beat_budget, config.history) == (1.5, 7, 9)


@pytest.mark.parametrize(
    ("profile", "cut_s", "floor_s"), [("lan", 2.5, 3.0), ("wan", 6.0, 8.0), ("dev", 1_199.8, 600.0)]
)
def test_the_core_is_told_what_the_transport_and_the_profile_mean(profile: str, cut_s: float, floor_s: float) -> None:
    config = registry_config(Settings(profile=profile, admission_rate=7, registration_rate=8, stuck_after_s=9.0))
    assert config.cut_silence_s == pytest.approx(cut_s)
    assert config.silence_floor_s == floor_s
    assert config.probation_s == (0.0 if profile == "dev" else 10.0)
    assert (config.admission_rate, config.registration_rate, config.stuck_after_s) == (7, 8, 9.0)


async def test_settings_reach_selection() -> None:
    wanted: dict[str, Any] = {"lease_ttl_s": 7.0, "zone_ready_share": 0.5, "eject_consecutive": 3, "eject_most": 0.2}
    wanted |= {"eject_base_s": 4.0, "slow_start_s": 2.0}
    async with running_daemon(max_leases=9, max_waiting=8, **wanted) as daemon:
        config = daemon.coordinator.registry.balancing.config
        assert {name: getattr(config, name) for name in wanted} == wanted
        assert (config.leases, config.queue) == (9, 8)


def test_selection_has_the_cores_own_defaults_and_waits_for_people_in_a_debugger() -> None:
    assert balancer_config(Settings()) == BalancerConfig()
    assert balancer_config(Settings(profile="dev")) == BalancerConfig(lease_ttl_s=3_600.0)


async def test_settings_are_checked() -> None:
    with pytest.raises(SettingError, match="retention: must be"):
        async with running_daemon(retention_s=-1.0):
            pass


async def test_it_answers_over_tcp_and_unix_sockets(tmp_path: Path) -> None:
    async with running_daemon(listen=("127.0.0.1:0", f"unix:{tmp_path}/s")) as daemon:
        for address in daemon.addresses:
            async with grpc.aio.insecure_channel(address, options=OWN) as channel:
                answer = await unary(channel, SERVICE + "DiscoverServices")
                assert registry_pb2.DiscoverServicesResponse.FromString(answer).history_id


async def test_unknown_methods_are_unimplemented() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        for path in ("/x/Y", SERVICE + "Nothing", "/grpc.health.v1.Health/", "/"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, path)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def rest_of(
    call: "grpc.aio.UnaryStreamCall[bytes, bytes] | grpc.aio.StreamStreamCall[bytes, bytes]",
) -> tuple[list[bytes], grpc.StatusCode]:
    """What still comes on a stream, and how it ends."""
    found: list[bytes] = []
    try:
        while isinstance(data := await call.read(), bytes):
            found.append(data)
    except grpc.aio.AioRpcError as error:
        return found, error.code()
    return found, grpc.StatusCode.OK


async def test_stop_sends_every_stream_away_and_takes_nothing_new() -> None:
    async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
        beats = bidi(channel, SERVICE + "Heartbeat")
        await beats.write(HELLO)
        await message(beats)
        watch = server_stream(channel, SERVICE + "WatchServices")
        await message(watch)
        address = daemon.address.split(":")
        began = time.monotonic()
        stopping = asyncio.ensure_future(daemon.stop())
        frames, code = await rest_of(beats)
        assert heartbeat_pb2.HeartbeatResponse.FromString(frames[-1]).HasField("go_away")
        assert code is grpc.StatusCode.UNAVAILABLE
        assert (await rest_of(watch))[1] is grpc.StatusCode.UNAVAILABLE
        await stopping
        assert time.monotonic() - began < 1.0, "streams that end by themselves use no grace"
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)


async def test_a_store_that_cannot_be_read_is_a_reason_not_to_start() -> None:
    class Broken(MemoryStore):
        async def load(self):  # type: ignore[no-untyped-def]
            raise StoreFailed("orion.db is damaged")

    daemon = Daemon(Settings(listen=("127.0.0.1:0",)), store=Broken())
    with pytest.raises(StartError, match=r"orion\.db is damaged"):
        await daemon.start()
    assert daemon.addresses == ()


async def test_a_failed_start_releases_what_it_had(tmp_path: Path) -> None:
    async with running_daemon() as other:
        daemon = Daemon(Settings(listen=(f"unix:{tmp_path}/s", other.address), ephemeral=True))
        with pytest.raises(StartError, match="is in use"):
            await daemon.start()
    async with running_daemon(listen=(f"unix:{tmp_path}/s",)):
        pass


async def test_stop_twice_and_before_start_does_nothing() -> None:
    daemon = Daemon(Settings(listen=("127.0.0.1:0",), ephemeral=True))
    await daemon.stop()
    await daemon.start()
    await daemon.stop()
    await daemon.stop()


async def test_insecure_listen_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "orion_registry"):
        async with running_daemon(insecure_listen=True, listen=("0.0.0.0:0",)) as daemon:
            port = daemon.address.rpartition(":")[2]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OWN) as channel:
                assert await unary(channel, "/grpc.health.v1.Health/Check") == b"\x08\x01"
    assert "insecure_listen is set" in caplog.text


async def test_daemons_come_and_go_without_leftovers() -> None:
    tasks = len(asyncio.all_tasks())
    for _ in range(5):
        async with running_daemon() as daemon, grpc.aio.insecure_channel(daemon.address, options=OWN) as channel:
            await unary(channel, "/grpc.health.v1.Health/Check")
    await asyncio.sleep(0.1)
    assert len(asyncio.all_tasks()) <= tasks + 1  # the poller of gRPC
