"""Must-show: tokens and certificates rotated under 500 heartbeat streams; no stream ends that need not; strangers are
refused.

A real daemon with mTLS and tokens, each agent on a connection of its own. The agents get a second token and the first
is revoked; the registry's certificate is renewed; then clients' authority is replaced: both together first, then the
new one alone. Services never change their status through all of it, and after each step a new connection is made to see
who gets in. At last the second token is revoked as well: every stream ends. Exit code 1 on any fault.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is imported: those who are refused are no news

from examples.demo.processes import Nursery
from orion_registry import Credentials, RegistryClient, ServiceSpec
from orion_registry.client.admin import AdminClient
from orion_registry.client.credentials import PLAINTEXT
from orion_registry.client.failures import Unreachable
from orion_registry.client.session import HeartbeatSession
from orion_registry.core.access.rights import Role
from orion_registry.core.events import EventFilter, EventType
from orion_registry.server.development_ca import DevelopmentAuthority
from tests.e2e.fleet import raise_open_files_limit, start_daemon
from tests.server.test_tls import shown_serial
from tests.server.tls import NAMES, Certs
from tests.server.tokens import Tokens

AGENT = "spiffe://fleet/agent"
AT_ONCE = 25
"""Sessions that start at the same time."""
TAKEN_S = 10.0
"""A daemon that has not taken a file by then will not."""
MOVED_S = 60.0
"""Agents that have not moved to another token by then will not."""
CHANGES = EventFilter(types=frozenset({EventType.STATUS_CHANGED}))


class Scene:
    """A daemon, its certificates, and agents that beat."""

    def __init__(self, directory: Path) -> None:
        self.certs = Certs(directory / "first")
        self.second = Certs(directory / "second")
        self.bundle = directory / "clients.pem"
        self.trust(self.certs)
        self.agent = self.certs.client(AGENT)
        self.tokens = Tokens(directory / "tokens.json")
        self.token = self.tokens.add(AGENT, [Role.AGENT])
        self.token_file = directory / "token"
        self.token_file.write_text(self.token)
        self.address = ""
        self.sessions: list[HeartbeatSession] = []

    @property
    def options(self) -> tuple[str, ...]:
        """For the daemon."""
        files = {"tls_client_ca_file": str(self.bundle), "tokens_file": str(self.tokens.path)}
        settings = {**self.certs.settings, **files}
        return tuple(part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value))

    def trust(self, *owners: Certs) -> None:
        """Whose clients may call from now on."""
        self.bundle.write_bytes(b"".join(owner.authority.file.read_bytes() for owner in owners))

    async def start_agents(self, count: int, stack: AsyncExitStack) -> None:
        """Each with a connection of its own."""
        limit = asyncio.Semaphore(AT_ONCE)
        shown = replace(self.agent, token_file=str(self.token_file))

        async def start(number: int) -> HeartbeatSession:
            async with limit:
                name = f"agent-{number}"
                spec = ServiceSpec(agent_id=name, service_name="work", host="127.0.0.1", port=7000)
                client = await stack.enter_async_context(RegistryClient(self.address, credentials=shown))
                return await stack.enter_async_context(client.session(name, [spec]))

        self.sessions = list(await asyncio.gather(*map(start, range(count))))

    async def may_enter(self, credentials: Credentials) -> str:
        """ "in", or what a new connection is told."""
        async with AdminClient(self.address, credentials=credentials, timeout_s=5.0) as admin:
            try:
                await admin.server_info()
            except Unreachable as refused:
                return refused.message
        return "in"

    async def taken(self, credentials: Credentials, wanted: str) -> str:
        """What a new connection is told, once it begins with `wanted`, or after 10 s."""
        for _ in range(int(TAKEN_S / 0.2)):
            said = await self.may_enter(credentials)
            if said.startswith(wanted):
                return said
            await asyncio.sleep(0.2)
        return said


async def rotate(scene: Scene, streams: int, nursery: Nursery) -> list[str]:
    """Faults of the whole story; prints it."""
    scene.address = await start_daemon(nursery, *scene.options)
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(AdminClient(scene.address, credentials=scene.agent))
        await scene.start_agents(streams, stack)
        await asyncio.sleep(2.5)
        began = (await admin.server_info()).event_seq
        faults = await _rotate_token(scene)
        faults += await _renew(scene)
        faults += await _replace_authority(scene)
        faults += await _strangers(scene)
        operator = scene.second.client("operator", ca=scene.certs.authority.file)
        watching = await stack.enter_async_context(AdminClient(scene.address, credentials=operator))
        info = await watching.server_info()
        changes = await watching.list_events(CHANGES, after_seq=began)
        held = sum(session.connection_state.value == "connected" for session in scene.sessions)
        print(
            f"{info.streams} of {streams} streams stand; {len(changes.events)} changes of status; {held} say connected"
        )
        if info.streams != streams or changes.events:
            faults.append(f"{streams - info.streams} streams lost, {len(changes.events)} changes of status")
        faults += await _revoke(scene, watching)
    return faults


async def _rotate_token(scene: Scene) -> list[str]:
    """A second one for the same identity, everybody over to it, then the first is revoked."""
    before = [session.ref().epoch for session in scene.sessions]
    first, scene.token = scene.token, scene.tokens.add(AGENT, [Role.AGENT])
    scene.token_file.write_text(scene.token)
    for _ in range(int(MOVED_S / 0.2)):
        await asyncio.sleep(0.2)
        moved = sum(session.ref().epoch > old for session, old in zip(scene.sessions, before, strict=True))
        if moved == len(scene.sessions):
            break
    scene.tokens.revoke(first)
    await asyncio.sleep(3.0)
    print(f"{moved} of {len(scene.sessions)} agents moved to a second token; the first was revoked")
    return [] if moved == len(scene.sessions) else ["agents stayed with the first token"]


async def _revoke(scene: Scene, admin: AdminClient) -> list[str]:
    """The last token of the agents: they are let in no more."""
    began = time.monotonic()
    scene.tokens.revoke(scene.token)
    left = len(scene.sessions)
    while left and time.monotonic() - began < TAKEN_S:
        await asyncio.sleep(0.05)
        left = (await admin.server_info()).streams
    print(f"the second token revoked: {left} streams left after {time.monotonic() - began:.1f} s")
    return [f"{left} streams of a revoked token go on"] if left else []


async def _renew(scene: Scene) -> list[str]:
    before = await asyncio.to_thread(shown_serial, scene.address, scene.agent)
    scene.certs.authority.issue("registry", NAMES)
    for _ in range(int(TAKEN_S / 0.2)):
        await asyncio.sleep(0.2)
        if await asyncio.to_thread(shown_serial, scene.address, scene.agent) != before:
            print("the registry's certificate renewed: new connections are shown the new one")
            return []
    return ["the renewed certificate is not shown"]


async def _replace_authority(scene: Scene) -> list[str]:
    """A bundle of both while clients change over, then the new one alone."""
    new = scene.second.client("operator", ca=scene.certs.authority.file)
    steps = [
        ((scene.certs,), {"old": "in", "new": "cannot reach"}),
        ((scene.certs, scene.second), {"old": "in", "new": "in"}),
        ((scene.second,), {"new": "in", "old": "cannot reach"}),
    ]
    faults = []
    for owners, wanted in steps:
        scene.trust(*owners)
        for whose, start in wanted.items():
            said = await scene.taken({"old": scene.agent, "new": new}[whose], start)
            if not said.startswith(start):
                faults.append(f"{len(owners)} authorities: a client of the {whose} one was told: {said}")
        names = " and ".join("old" if owner is scene.certs else "new" for owner in owners)
        print(f"clients of the {names} authority get in: {wanted}")
    return faults


async def _strangers(scene: Scene) -> list[str]:
    """Who must not get in, and what each is told. The registry's own certificate is of the first authority."""
    ca = scene.certs.authority.file
    ended = DevelopmentAuthority(scene.second.authority.directory, days=0)
    cert, key = ended.issue("ended", ["ended"])
    foreign = Certs(scene.bundle.parent / "foreign")
    cases: Sequence[tuple[str, Credentials, str]] = (
        ("no certificate", Credentials(ca_file=str(ca)), "another certificate of yours"),
        ("plaintext", PLAINTEXT, "if it speaks TLS"),
        ("of a foreign authority", foreign.client("x", ca=ca), "another certificate of yours"),
        ("ended", Credentials(ca_file=str(ca), cert_file=str(cert), key_file=str(key)), "another certificate of yours"),
        ("trusts another authority", foreign.client("y"), "of no authority in your ca_file"),
    )
    faults = []
    for name, credentials, advice in cases:
        said = await scene.may_enter(credentials)
        print(f"{name:<26}{said.rpartition(': ')[2]}")
        if advice not in said:
            faults.append(f"{name}: {said}")
    return faults


async def run(streams: int) -> int:
    """Runs it; returns the exit code."""
    raise_open_files_limit()
    with tempfile.TemporaryDirectory() as name:
        async with Nursery(Path(name)) as nursery:
            faults = await rotate(Scene(Path(name)), streams, nursery)
    for fault in faults:
        print(f"FAULT {fault}")
    print("failed" if faults else "passed")
    return 1 if faults else 0


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.rotation", description=__doc__)
    parser.add_argument("--streams", type=int, default=500)
    return asyncio.run(run(parser.parse_args().streams))


if __name__ == "__main__":
    sys.exit(main())
