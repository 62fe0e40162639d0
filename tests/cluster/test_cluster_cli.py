"""The command line of a cluster: `members`, and a cluster to try out in one command."""

import asyncio
import json
import re
import signal
import socket
import sys
from pathlib import Path

import pytest

from orion_registry.client.admin import AdminClient
from orion_registry.errors import RegistryError
from tests.cli.process import clean_environment
from tests.cluster.members import of, running_members, until
from tests.etcd.node import needs_etcd

pytestmark = [needs_etcd, pytest.mark.processes, pytest.mark.timeout(120)]
ROOT = Path(__file__).parents[2]


async def cli(*words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orion_registry", *words, cwd=ROOT, env=clean_environment(),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode, out.decode()


async def test_members_are_listed_for_people_and_programs() -> None:
    async with running_members(2) as members:
        await until(lambda: all(of(one).peers.streams for one in members))
        code, text = await cli("members", "--address", members[0].address)
        assert code == 0
        lines = text.splitlines()
        assert re.match(r"MEMBER +STATE +SERVICES +STREAMS +ADDRESSES", lines[0])
        assert re.match(r"m1 +answers +0 +0 +127\.0\.0\.1:\d+", lines[1])
        assert re.match(r"m2 +there +0 +0 +127\.0\.0\.1:\d+", lines[2])
        code, text = await cli("members", "--json", "--address", members[1].address)
        told = [json.loads(line) for line in text.splitlines()]
        assert [(one["name"], one["answers"], one["reachable"]) for one in told] == [
            ("m1", False, True), ("m2", True, True),
        ]  # fmt: skip
        code, text = await cli("info", "--address", members[0].address)
        assert "m1, with m2" in text
        assert re.search(r"store +etcd", text)


def free_run_of_ports() -> int:
    """The first of three ports in a row that are free."""
    for first in range(20_000, 30_000, 7):
        try:
            for port in range(first, first + 3):
                with socket.socket() as one:
                    one.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


async def test_a_cluster_to_try_out_is_one_command() -> None:
    first = free_run_of_ports()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.cluster", "--port", str(first), cwd=ROOT, env=clean_environment(),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with AdminClient(f"127.0.0.1:{first + 2}") as admin, asyncio.timeout(60):
            while True:
                try:
                    names = [member.name for member in (await admin.server_info()).members]
                except RegistryError:
                    names = []
                if names == ["member-1", "member-2", "member-3"]:
                    break
                await asyncio.sleep(0.2)
    finally:
        process.send_signal(signal.SIGTERM)
        code = await process.wait()
    assert code == 0
