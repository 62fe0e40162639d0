"""Must-show: every change and denial is in a chain that shows what was done to it, and no secret is anywhere it leaks.

A real daemon with SQLite and an audit file, killed with SIGKILL in the middle of writes: the chain stays whole, and no
acknowledged change lacks its record. Then one line of the file, and one row of a copy of the table, is edited, deleted,
cut off, moved: `audit verify` names each. Then secrets are sent through every RPC, good calls and refused ones: none is
in the log (at debug), the audit file, events, a snapshot; what proves who somebody is, not in the store either.
Exit code 1 on any fault.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before grpc is imported: calls that break off are no news

import grpc
import grpc.aio
from google.protobuf.message import Message

from orion_registry.client.admin import AdminClient
from orion_registry.core.audit import AuditRecord
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.selector import Selector
from orion_registry.server.methods import METHODS, Kind
from orion_registry.store.audit_file import read_lines
from orion_registry_pb.v1 import heartbeat_pb2, registry_pb2, service_pb2
from orion_registry_pb.v1.registry_pb2_grpc import RegistryServiceStub
from tests.cli.process import DaemonProcess, clean_environment

WRITERS = 16
BETWEEN_KILLS_S = 1.5


class Place:
    """A data directory, its audit file, and the daemon on it."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.file = directory / "audit.jsonl"
        self.log: list[str] = []
        self._daemon: DaemonProcess | None = None

    def start(self) -> str:
        options = ("--listen", "127.0.0.1:0", "--data-dir", str(self.data), "--log-level", "debug")
        audit = ("--audit-file", str(self.file), "--audit-file-size", "256KiB", "--audit-files", "1000")
        self._daemon = DaemonProcess([*options, *audit], clean_environment())
        return self._daemon.wait_ready()

    def end(self, number: int) -> None:
        assert self._daemon is not None
        self._daemon.stop(number)
        self.log += self._daemon.raw
        self._daemon.close()

    def close(self) -> None:
        """Leaves no daemon behind."""
        if self._daemon is not None:
            self._daemon.close()

    @property
    def files(self) -> list[Path]:
        return sorted(self.file.parent.glob("audit.jsonl*"))

    def records(self) -> list[AuditRecord]:
        found = itertools.chain.from_iterable(map(read_lines, self.files))
        return sorted((one for one in found if isinstance(one, AuditRecord)), key=lambda one: one.seq)


def verify(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and first line of `audit verify`."""
    command = (sys.executable, "-m", "orion_registry", "audit", "verify", *map(str, arguments))
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    return ended.returncode, (ended.stdout or ended.stderr).partition("\n")[0]


# Killed in the middle of writes.


async def write_until_killed(address: str, place: Place, done: Counter[tuple[str, str]], life: int) -> str:
    """Registers and unregisters, notes what was acknowledged, and kills the daemon. Returns a head seen before."""

    async def write(caller: int, stub: Any) -> None:
        for number in itertools.count():
            name, secret = f"s-{life}-{caller}-{number}", secrets.token_hex(16)
            service = service_pb2.ServiceInfo(
                agent_id=name,
                service_name="w",
                service_id=name,
                host="127.0.0.1",
                port=1,
                liveness=service_pb2.LIVENESS_MODE_STATIC,
            )
            request = registry_pb2.RegisterServiceRequest(service=service, secret=secret)
            made = await stub.RegisterService(request)
            done["RegisterService", name] += 1
            if number % 3 == 0:
                ref = service_pb2.SessionRef(service_id=name, epoch=made.service.epoch, secret=secret)
                await stub.UnregisterService(registry_pb2.UnregisterServiceRequest(ref=ref))
                done["UnregisterService", name] += 1

    async with AdminClient(address) as admin, grpc.aio.insecure_channel(address) as channel:
        stub = RegistryServiceStub(channel)
        writers = [asyncio.create_task(write(caller, stub)) for caller in range(WRITERS)]
        await asyncio.sleep(BETWEEN_KILLS_S)
        info = await admin.server_info()
        await asyncio.to_thread(place.end, signal.SIGKILL)
        for outcome in await asyncio.gather(*writers, return_exceptions=True):
            if not isinstance(outcome, grpc.aio.AioRpcError):
                raise RuntimeError("a writer ended before the daemon did") from outcome
        return f"{info.audit_head_seq}:{info.audit_head_hash}"


async def killed(place: Place, kills: int) -> Iterator[str]:
    """Faults that kills in the middle of writes left."""
    done: Counter[tuple[str, str]] = Counter()
    heads = []
    for life in range(kills):
        address = await asyncio.to_thread(place.start)
        heads.append(await write_until_killed(address, place, done, life))
    address = await asyncio.to_thread(place.start)
    code, said = await asyncio.to_thread(verify, "--address", address)
    faults = [] if code == 0 else [f"after {kills} kills the registry says: {said}"]
    await asyncio.to_thread(place.end, signal.SIGTERM)
    for head in heads:
        for where in (place.files, ["--data-dir", place.data]):
            code, said = verify(*where, "--head", head)
            faults += [] if code == 0 else [f"with head {head[:12]}, {where[0]}: {said}"]
    records = place.records()
    recorded = Counter((one.method, one.target) for one in records)
    missing = [change for change, count in done.items() if recorded[change] < count]
    faults += [f"{len(missing)} acknowledged changes have no record, such as {missing[0]}"] if missing else []
    print(f"{kills} kills: {done.total():,} acknowledged changes, {len(records):,} records, {len(missing)} missing")
    if done.total() < 10 * kills:
        faults.append(f"only {done.total()} changes: that proves nothing")
    return iter(faults)


# Damage.

Lines = list[str]
LINES: dict[str, Callable[[Lines, int], Lines]] = {
    "EDITED": lambda lines, at: [*lines[:at], lines[at].replace('"identity":""', '"identity":"x"'), *lines[at + 1 :]],
    "DELETED": lambda lines, at: [*lines[:at], *lines[at + 1 :]],
    "TRUNCATED": lambda lines, _: lines[:-1],
    "REORDERED": lambda lines, at: [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
}
ROWS = {
    "EDITED": 'UPDATE audit SET record = replace(record, \'"identity":""\', \'"identity":"x"\') WHERE seq = {seq}',
    "DELETED": "DELETE FROM audit WHERE seq = {seq}",
    "TRUNCATED": "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit)",
    "REORDERED": "UPDATE audit SET seq = -seq WHERE seq IN ({seq}, {seq} + 1)",
}


def damaged(place: Place, directory: Path) -> Iterator[str]:
    """Faults of `audit verify`: damage that it does not name."""
    records = place.records()
    head, at = f"{records[-1].seq}:{records[-1].hash}", len(records) // 2
    lines = [line for path in place.files for line in path.read_text().splitlines()]
    lines.sort(key=lambda line: int(line.partition('"seq":')[2].partition(",")[0]))
    for damage, spoil in LINES.items():
        spoiled = directory / f"{damage}.jsonl"
        spoiled.write_text("".join(f"{line}\n" for line in spoil(lines, at)))
        code, said = verify(spoiled, "--head", head)
        print(f"a line {damage.lower()}: exit code {code}, {said}")
        if code != 1 or damage not in said:
            yield f"a line {damage.lower()} was not found: {code}, {said}"
    for damage, statement in ROWS.items():
        copy = Path(shutil.copytree(place.data, directory / f"rows-{damage}"))
        with contextlib.closing(sqlite3.connect(copy / "registry.db", isolation_level=None)) as connection:
            connection.execute(statement.format(seq=at + 1))
            connection.execute("UPDATE audit SET seq = {0} + {0} + 1 + seq WHERE seq < 0".format(at + 1))
        code, said = verify("--data-dir", copy)
        print(f"a row {damage.lower()}: exit code {code}, {said}")
        if code != 1 or damage not in said:
            yield f"a row {damage.lower()} was not found: {code}, {said}"


# Secrets.


def canary(shape: str) -> str:
    """A secret that is nowhere else. `{}` in shape is where its randomness goes."""
    return shape.format(secrets.token_hex(24))


def filled(message: Message, text: str, depth: int = 0) -> Message:
    """Every text in a message is this one."""
    for field in message.DESCRIPTOR.fields:
        value, kind = getattr(message, field.name), field.message_type
        if kind is not None and (kind.GetOptions().map_entry or kind.full_name.startswith("google.")):
            continue
        if field.type == field.TYPE_STRING:
            if field.is_repeated:
                value.append(text)
            else:
                setattr(message, field.name, text)
        elif field.type == field.TYPE_MESSAGE and depth < 4:
            filled(value.add() if field.is_repeated else value, text, depth + 1)
    return message


async def send_everywhere(channel: grpc.aio.Channel, text: str) -> None:
    """A secret in every text of every RPC's request, and in its headers, where it does not belong."""
    headers = (("authorization", f"Bearer {text}"), ("x-api-key", text))
    for method in METHODS:
        data = filled(method.request(), text).SerializeToString()
        raw: dict[str, Any] = {"request_serializer": None, "response_deserializer": None}
        with contextlib.suppress(grpc.aio.AioRpcError, TimeoutError):
            async with asyncio.timeout(2.0):
                match method.kind:
                    case Kind.UNARY:
                        await channel.unary_unary(method.path, **raw)(data, metadata=headers)
                    case Kind.SERVER_STREAM:
                        await channel.unary_stream(method.path, **raw)(data, metadata=headers).read()
                    case Kind.CLIENT_STREAM:
                        await channel.stream_unary(method.path, **raw)(iter((data,)), metadata=headers)
                    case Kind.BIDI:
                        await channel.stream_stream(method.path, **raw)(iter((data,)), metadata=headers).read()


async def send_where_they_belong(channel: grpc.aio.Channel, canaries: dict[str, str], admin: AdminClient) -> None:
    """Good calls, and calls that are refused for what is wrong beside the secret."""
    stub: Any = RegistryServiceStub(channel)
    http = service_pb2.HealthCheck.Http(path="/", headers={"X-Check-Token": canaries["check header"]})
    check = service_pb2.HealthCheck(name="c", http=http)
    service = service_pb2.ServiceInfo(
        agent_id="a",
        service_name="n",
        service_id="kept",
        host="127.0.0.1",
        port=1,
        liveness=service_pb2.LIVENESS_MODE_STATIC,
        checks=[check],
    )
    service.metadata.update({"api_key": canaries["metadata"], "deep": {"note": f"use {canaries['token shape']}"}})
    secret = canaries["registration secret"]
    made = await stub.RegisterService(registry_pb2.RegisterServiceRequest(service=service, secret=secret))
    ref = service_pb2.SessionRef(service_id="kept", epoch=made.service.epoch, secret=secret)
    await stub.UpdateServiceStatus(
        registry_pb2.UpdateServiceStatusRequest(ref=ref, status=service_pb2.SERVICE_STATUS_UNHEALTHY)
    )
    await admin.set_overlay(Selector(agent_id="a"), OverlayMode.DRAIN, note=f"see {canaries['url']}")
    refused: list[tuple[Any, Message]] = []
    for name, value in (("health_check_url", canaries["url"]), ("host", canaries["token shape"] + "/"), ("port", -1)):
        bad = service_pb2.ServiceInfo()
        bad.CopyFrom(service)
        setattr(bad, name, value)
        refused.append((stub.RegisterService, registry_pb2.RegisterServiceRequest(service=bad, secret=secret)))
    wrong = service_pb2.SessionRef(service_id="kept", epoch=made.service.epoch, secret=canaries["wrong secret"])
    refused.append((stub.UnregisterService, registry_pb2.UnregisterServiceRequest(ref=wrong)))
    refused.append((stub.SendHeartbeat, registry_pb2.SendHeartbeatRequest(ref=wrong)))
    for call, request in refused:
        try:
            await call(request)
        except grpc.aio.AioRpcError:
            continue
        raise RuntimeError(f"this should have been refused: {request}")
    hello = heartbeat_pb2.Hello(agent_id="a", sessions=[heartbeat_pb2.Session(ref=wrong)])
    stream = stub.Heartbeat()
    await stream.write(heartbeat_pb2.HeartbeatRequest(hello=hello))
    await stream.read()
    await stream.read()
    stream.cancel()


async def leaks(place: Place) -> Iterator[str]:
    """Secrets that are where they should not be."""
    canaries = {
        "registration secret": canary("{}"),
        "wrong secret": canary("{}"),
        "metadata": canary("{}"),
        "check header": canary("{}"),
        "token shape": canary("orion_k7Qd2Fh9_{}"),
        "url": canary("http://me:{}@host/"),
        "everywhere": canary("orion_k7Qd2Fh9_{}"),
    }
    needles = {name: value.removeprefix("http://me:").removesuffix("@host/") for name, value in canaries.items()}
    address = await asyncio.to_thread(place.start)
    async with AdminClient(address) as admin, grpc.aio.insecure_channel(address) as channel:
        await send_everywhere(channel, canaries["everywhere"])
        await send_where_they_belong(channel, canaries, admin)
        await asyncio.sleep(1.5)  # denials gather for a second
        found = {"snapshot": b"".join([piece async for piece in admin.export_snapshot()])}
        found["events"] = repr((await admin.list_events(page_size=1_000)).events).encode()
        full = b"".join([piece async for piece in admin.export_snapshot(with_secrets=True)])
        denials = Counter(one.outcome for one in (await admin.audit_page(page_size=1_000)).records)
    await asyncio.to_thread(place.end, signal.SIGTERM)
    found["log"] = "".join(place.log).encode()
    found["audit file"] = b"".join(path.read_bytes() for path in place.files)
    store = (place.data / "registry.db").read_bytes()
    hits = [
        f"{name} is in the {where}"
        for where, data in found.items()
        for name in needles
        if needles[name].encode() in data
    ]
    hits += [
        f"{name} is in the store" for name in ("registration secret", "wrong secret") if needles[name].encode() in store
    ]
    if needles["metadata"].encode() not in full:
        hits.append("a snapshot with secrets does not have them")
    if b"WRONG_SECRET" not in found["audit file"]:
        hits.append(f"a wrong secret is not in the audit file: {denials}")
    print(f"{len(needles)} secrets through {len(METHODS)} RPCs: {len(hits)} hits in {', '.join(found)} and the store")
    return iter(hits)


async def run(kills: int, directory: Path) -> list[str]:
    """All faults."""
    place, other = Place(directory), Place(directory / "secrets")
    try:
        faults = list(await killed(place, kills))
        faults += await asyncio.to_thread(lambda: list(damaged(place, directory)))
        return faults + list(await leaks(other))
    finally:
        place.close()
        other.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3, help="how often the daemon is killed in the middle of writes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "secrets").mkdir()
        faults = asyncio.run(run(arguments.kills, Path(directory)))
    for fault in faults:
        print(f"FAULT: {fault}")
    print("ok" if not faults else f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
