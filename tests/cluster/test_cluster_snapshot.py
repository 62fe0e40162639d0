"""A registry moves from one daemon into a cluster, and back, by its snapshot: agents come along by themselves."""

from pathlib import Path

import pytest

from orion_registry.client.admin import AdminClient
from orion_registry.client.client import RegistryClient
from orion_registry.core.importing import SINCE_EXPORT
from orion_registry.core.model import LivenessMode
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.errors import FailedPrecondition, Reason
from orion_registry.server.daemon import Daemon
from orion_registry.testing.daemon import running_daemon
from tests.cluster.members import epoch, running_members, shown, until
from tests.cluster.test_cluster_cli import cli
from tests.cluster.test_cluster_members import spec
from tests.etcd.node import needs_etcd

pytestmark = [needs_etcd, pytest.mark.processes, pytest.mark.timeout(120)]

ABSENT = ServiceKey(agent_id="absent", service_name="calc")
"""What an operator set for an agent that is not registered."""


async def fill(daemon: Daemon) -> str:
    """A STATIC service with metadata that look secret, in maintenance; and an overlay alone."""
    async with RegistryClient(daemon.address) as client, AdminClient(daemon.address) as admin:
        static = spec("fixed", liveness=LivenessMode.STATIC, metadata_json='{"api_key":"k","room":"12"}')
        service_id = (await client.register(static)).service.service_id
        await admin.set_overlay(ServiceKey(service_id=service_id), mode=OverlayMode.MAINTENANCE)
        await admin.set_overlay(ABSENT, mode=OverlayMode.QUARANTINE, note="until it is mended")
    return service_id


async def carry(file: Path, source: Daemon, target: Daemon) -> None:
    """Saves one registry and restores the file into another, twice: the second time changes nothing."""
    code, _ = await cli("snapshot", "save", "--with-secrets", str(file), "--address", source.address)
    assert code == 0
    for added, kept in ((2, 0), (0, 2)):
        code, text = await cli("snapshot", "restore", "--json", str(file), "--address", target.address)
        assert code == 0
        assert f'"added": {added}' in text, text
        assert f'"kept": {kept}' in text, text


async def overlays(daemon: Daemon) -> list[tuple[str, str, str]]:
    async with AdminClient(daemon.address) as admin:
        return sorted([(one.key.agent_id, one.mode.name, one.note) async for one in admin.overlays()])


async def metadata(daemon: Daemon, service_id: str) -> object:
    async with RegistryClient(daemon.address) as client:
        return (await client.get(service_id)).metadata


async def test_a_single_daemon_moves_into_a_cluster_and_back(tmp_path: Path) -> None:
    async with running_daemon() as old, running_members(2) as members, running_daemon() as new:
        addresses = (old.address, members[1].address, new.address)
        async with RegistryClient(addresses) as client, client.session("a1", [spec()]) as session:
            fixed, moving = await fill(old), session.ref()
            told = await overlays(old)
            assert len(told) == 2

            await carry(tmp_path / "out", old, members[0])
            await until(lambda: all(shown(one, moving.service_id) == "UNKNOWN(RESTORED)" for one in members))
            await until(lambda: all(shown(one, fixed) == "STOPPING(MAINTENANCE)" for one in members))
            for member in members:
                assert await overlays(member) == told
                assert await metadata(member, fixed) == {"api_key": "k", "room": "12"}
            await old.stop()
            # The agent comes to another member than the one that took the file.
            await until(lambda: all(shown(one, moving.service_id) == "HEALTHY(STREAM_OPEN)" for one in members))
            within = session.ref()
            assert within.epoch > moving.epoch + SINCE_EXPORT
            assert within.secret == moving.secret
            async with RegistryClient(members[0].address) as other:
                with pytest.raises(FailedPrecondition) as refused:
                    await other.unregister(moving)
            assert refused.value.reason is Reason.STALE_EPOCH

            await carry(tmp_path / "back", members[0], new)
            assert shown(new, moving.service_id) == "UNKNOWN(RESTORED)"
            assert await overlays(new) == told
            assert await metadata(new, fixed) == {"api_key": "k", "room": "12"}
            for member in members:
                await member.stop()
            await until(lambda: shown(new, moving.service_id) == "HEALTHY(STREAM_OPEN)")
            assert epoch(new, moving.service_id) > within.epoch + SINCE_EXPORT
