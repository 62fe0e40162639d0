"""A whole run: warm up, take the baseline, fuzz, compare with the twin, tidy up, compare with the baseline."""

import asyncio
import contextlib
import os
import socket
import stat
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from orion_registry.core.config import RegistryConfig
from orion_registry.server.methods import METHODS
from orion_registry.wire.balancer import KEPT
from tests.fuzz.child import Child
from tests.fuzz.coverage import Coverage
from tests.fuzz.daemon import HISTORY
from tests.fuzz.schema import Rpc, learn
from tests.fuzz.streams import HEARTBEAT, HeartbeatScript
from tests.fuzz.tally import Tally
from tests.fuzz.twin import Spec, Twin, spec_of
from tests.fuzz.worker import OPTIONS, Campaign, Worker, method_of

WORKERS = 12
VIEWS = RegistryConfig().views
REQUESTS_KEPT = KEPT + 1
WARM_UP = 1.0
"""Messages before the baseline, as a share: enough to fill caches, views and the history."""
FULL = 180_000
"""Messages after which each field has had its turns, with some to spare: one message in 1,560 sets a given field."""
FIELD_SETS = 100
"""How often each field is to be set in a full run; less in proportion for a shorter one."""
OK_SHARE, MUTATED_SHARE = 0.20, 0.50
BACK_WITHIN = 0.05


@dataclass(slots=True)
class Report:
    """All that a run found."""

    seed: int
    messages: int
    tally: Tally
    coverage: Coverage
    seconds: float = 0.0
    baseline: dict[str, int] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    services: int = 0
    unsure: int = 0
    twin_faults: list[str] = field(default_factory=list)
    stderr_lines: int = 0
    stderr_levels: Counter[str] = field(default_factory=Counter)
    suspicious: list[str] = field(default_factory=list)
    unknown_rpcs: list[str] = field(default_factory=list)


async def fuzz(messages: int, seed: int) -> Report:
    """Runs it all against a daemon of its own."""
    async with Child() as child:
        rpcs = await _rpcs_of(child.address)
        twin = Twin()
        warm_up = Tally(rpcs, round(messages * WARM_UP))
        await _campaign(child.address, rpcs, warm_up, twin, Coverage(rpcs), seed + 1)
        await _unregister_all(child.address, rpcs, twin)
        report = Report(seed, messages, Tally(rpcs, messages), Coverage(rpcs))
        report.unknown_rpcs = sorted({rpc.path for rpc in rpcs} ^ {method.path for method in METHODS})
        await _level(child.address, rpcs)
        report.baseline = await _settled_stats(child)
        began = time.monotonic()
        twin = Twin()
        await _campaign(child.address, rpcs, report.tally, twin, report.coverage, seed)
        report.seconds = time.monotonic() - began
        await _compare(child, rpcs, twin, report)
        await _unregister_all(child.address, rpcs, twin)
        await _level(child.address, rpcs)
        report.after = await _settled_stats(child)
    for fault in warm_up.faults:
        report.tally.fault(fault)
    report.stderr_lines, report.stderr_levels, report.suspicious = child.lines, child.levels, child.suspicious
    return report


async def _rpcs_of(address: str) -> tuple[Rpc, ...]:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        return await learn(channel)


async def _campaign(
    address: str, rpcs: tuple[Rpc, ...], tally: Tally, twin: Twin, coverage: Coverage, seed: int
) -> None:
    """Sends as many messages as the tally wants, by several workers."""
    by_method = {rpc.method: rpc for rpc in rpcs}
    campaign = Campaign(address=address, rpcs=by_method, tally=tally, twin=twin, coverage=coverage)
    workers = [Worker(campaign, f"w{index}-{seed}", seed * 1_000 + index) for index in range(WORKERS)]
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(_work(worker, rpcs))
    finally:
        for worker in workers:
            await worker.close()


async def _work(worker: Worker, rpcs: tuple[Rpc, ...]) -> None:
    by_method = dict(worker.campaign.rpcs)
    # An RPC with many fields gets more messages; each gets some.
    rows, weights = worker.campaign.tally.rows, {rpc.path: 8.0 + _own_fields(rpc) for rpc in rpcs}
    while not worker.campaign.tally.finished:
        rpc = min(worker.rng.sample(rpcs, 3), key=lambda rpc: rows[rpc.name].messages / weights[rpc.path])
        if rpc.method == HEARTBEAT:
            await HeartbeatScript(worker, by_method).run()
        elif rpc.method == "Route":
            await _route(worker, rpc)
        elif rpc.client_streams and not rpc.server_streams:
            await _upload(worker, rpc)
        elif rpc.client_streams:
            await _converse(worker, rpc)
        elif rpc.server_streams:
            await worker.open_watch(rpc, *worker.make(rpc))
        else:
            await worker.call(rpc, *worker.make(rpc))
        await worker.shed()
        if worker.rng.random() < 0.002:
            await worker.end_watches()
            await worker.reconnect()


def _own_fields(rpc: Rpc) -> int:
    """Fields of an RPC's request; but a message of Route sets those of several commands."""
    return len(rpc.fields) * 2 // 3 if rpc.method == "Route" else len(rpc.fields)


async def _upload(worker: Worker, rpc: Rpc) -> None:
    """A client stream: messages, then a half-close and one answer; or a cancel."""
    call = worker.method(rpc)(timeout=60)
    frames: list[bytes] = []
    try:
        for _ in range(worker.rng.randrange(1, 4)):
            _, data = worker.make(rpc)
            frames.append(data)
            await call.write(data)
        if worker.rng.random() < 0.9:
            await call.done_writing()
            if (answer := await call.read()) is not grpc.aio.EOF:
                rpc.response.FromString(answer)
                worker.campaign.tally.ok(rpc)
            worker.campaign.tally.code(rpc, await call.code())
            return
    except grpc.aio.AioRpcError as error:
        worker.end(rpc, error, frames)
        return
    call.cancel()
    worker.campaign.tally.code(rpc, grpc.StatusCode.CANCELLED)


async def _converse(worker: Worker, rpc: Rpc) -> None:
    """A bidi stream of questions, each answered by one message; ended by a half-close or a cancel."""
    call = worker.method(rpc)(timeout=60)
    frames: list[bytes] = []
    try:
        for _ in range(worker.rng.randrange(1, 12)):
            message, data = worker.make(rpc)
            frames.append(data)
            await call.write(data)
            answer = await call.read()
            if answer is grpc.aio.EOF:
                worker.fault(rpc, "ended instead of an answer", frames)
                break
            if message is None:
                worker.fault(rpc, "answered bytes that are no message", frames)
            if not rpc.response.FromString(answer).HasField("error_response"):
                worker.campaign.tally.ok(rpc)
        if worker.rng.random() < 0.7:
            await call.done_writing()
            worker.campaign.tally.code(rpc, await call.code())
            return
    except grpc.aio.AioRpcError as error:
        worker.end(rpc, error, frames)
        return
    except asyncio.InvalidStateError:
        worker.campaign.tally.code(rpc, await call.code())
        return
    call.cancel()
    worker.campaign.tally.code(rpc, grpc.StatusCode.CANCELLED)


async def _route(worker: Worker, rpc: Rpc) -> None:
    """Batches of commands, whose answers come as they come; ended by a half-close or a cancel."""
    call = worker.method(rpc)(timeout=60)
    frames: list[bytes] = []

    async def read_all() -> None:
        while (data := await call.read()) is not grpc.aio.EOF:
            answer = rpc.response.FromString(data)
            if any(result.WhichOneof("result") not in {None, "error"} for result in answer.results):
                worker.campaign.tally.ok(rpc)
            for result in answer.results:
                if result.HasField("error") and result.error.code in {2, 13}:
                    worker.fault(rpc, f"a command was answered {result.error}", frames)

    reader = asyncio.ensure_future(read_all())
    try:
        for _ in range(worker.rng.randrange(1, 12)):
            _, data = worker.make(rpc)
            frames.append(data)
            await call.write(data)
        if worker.rng.random() < 0.7:
            await call.done_writing()
        else:
            call.cancel()
        await asyncio.gather(reader, return_exceptions=False)
        worker.campaign.tally.code(rpc, await call.code())
    except grpc.aio.AioRpcError as error:
        await asyncio.gather(reader, return_exceptions=True)
        if error.code() is grpc.StatusCode.CANCELLED:  # by us
            worker.campaign.tally.code(rpc, grpc.StatusCode.CANCELLED)
        else:
            worker.end(rpc, error, frames)
    except (asyncio.InvalidStateError, asyncio.CancelledError):
        await asyncio.gather(reader, return_exceptions=True)
        worker.campaign.tally.code(rpc, await _code_of(call))


async def _code_of(call: Any) -> grpc.StatusCode:
    try:
        code: grpc.StatusCode = await call.code()
    except asyncio.CancelledError:
        return grpc.StatusCode.CANCELLED
    return code


# Afterwards.


async def _catalog(address: str, rpcs: tuple[Rpc, ...], twin: Twin) -> dict[str, Any]:
    """Every service that DiscoverServices lists, page by page, in all namespaces that ever held one."""
    rpc = next(rpc for rpc in rpcs if rpc.method == "DiscoverServices")
    found: dict[str, Any] = {}
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        for namespace in sorted(twin.namespaces):
            request = rpc.request(page_size=1_000)
            request.selector.namespace, request.selector.include_not_ready = namespace, True
            while True:
                answer = await method_of(channel, rpc)(request.SerializeToString(), timeout=30)
                response = rpc.response.FromString(answer)
                found.update((service.service_id, service) for service in response.services)
                request.page_token = response.next_page_token
                if not request.page_token:
                    break
    return found


async def _compare(child: Child, rpcs: tuple[Rpc, ...], twin: Twin, report: Report) -> None:
    found = await _catalog(child.address, rpcs, twin)
    specs: dict[str, Spec] = {service_id: spec_of(service) for service_id, service in found.items()}
    report.services, report.unsure = len(found), len(twin.unsure)
    report.twin_faults = twin.compare(specs)
    held = (await child.stats())["services"]
    if held != len(found):
        report.twin_faults.append(f"the daemon holds {held} services, its pages list {len(found)}")


async def _unregister_all(address: str, rpcs: tuple[Rpc, ...], twin: Twin) -> None:
    """Takes everything out again, with the rights that the twin knows."""
    rpc = next(rpc for rpc in rpcs if rpc.method == "UnregisterService")
    known = twin.services | twin.unsure
    catalog = await _catalog(address, rpcs, twin)
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        for service_id, service in catalog.items():
            request = rpc.request()
            request.ref.service_id, request.ref.epoch = service_id, service.epoch
            request.ref.secret = known[service_id].secret if service_id in known else ""
            try:
                await method_of(channel, rpc)(request.SerializeToString(), timeout=30)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:  # then the last check tells that it is still there
                    print(f"not unregistered: {service_id}: {error.code().name} {error.details()}")


async def _level(address: str, rpcs: tuple[Rpc, ...]) -> None:
    """Fills what the daemon remembers on purpose, its history and its views, with small things: the same each time."""
    by_method = {rpc.method: rpc for rpc in rpcs}
    register, unregister = by_method["RegisterService"], by_method["UnregisterService"]
    discover = by_method["DiscoverServices"]
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        for number in range(max(HISTORY, VIEWS)):
            request = register.request(secret=f"{number:032}")
            request.service.agent_id, request.service.service_name = f"level-{number}", "level"
            answer = await method_of(channel, register)(request.SerializeToString())
            service = register.response.FromString(answer).service
            farewell = unregister.request()
            farewell.ref.service_id, farewell.ref.epoch = service.service_id, service.epoch
            farewell.ref.secret = request.secret
            await method_of(channel, unregister)(farewell.SerializeToString())
            question = discover.request()
            question.selector.zone = f"level-{number}"
            await method_of(channel, discover)(question.SerializeToString())
        await _level_overlays(channel, by_method)
        await _level_selections(channel, by_method)


async def _call(channel: grpc.aio.Channel, rpc: Rpc, **fields: Any) -> Any:
    answer = await method_of(channel, rpc)(rpc.request(**fields).SerializeToString())
    return rpc.response.FromString(answer)


async def _level_overlays(channel: grpc.aio.Channel, rpcs: dict[str, Rpc]) -> None:
    """Clears overlays: they stay when their services go."""
    while overlays := (await _call(channel, rpcs["ListOverlays"], page_size=500)).overlays:
        for overlay in overlays:
            await _call(channel, rpcs["SetOverlay"], key=overlay.key, mode="OVERLAY_MODE_NONE")


async def _level_selections(channel: grpc.aio.Channel, rpcs: dict[str, Rpc]) -> None:
    """Ends leases, clears strategies, and fills what is kept of requests and of their candidates."""

    async def call(name: str, **fields: Any) -> Any:
        return await _call(channel, rpcs[name], **fields)

    while leases := (await call("ListSelections", page_size=1_000)).selections:
        for lease in leases:
            with contextlib.suppress(grpc.aio.AioRpcError):  # it may have expired meanwhile
                await call("ReleaseService", selection_id=lease.selection_id)
    for scope in (await call("GetBalancerStats")).scopes:
        await call("SetStrategy", service_name=scope.service_name, capability=scope.capability)
    select = rpcs["SelectService"]
    for number in range(REQUESTS_KEPT):
        request = select.request()
        request.selector.zone = f"level-{number}"
        with contextlib.suppress(grpc.aio.AioRpcError):  # nothing matches
            await method_of(channel, select)(request.SerializeToString())


async def _settled_stats(child: Child) -> dict[str, int]:
    """Stats once they no longer fall: the ends of calls and connections take a moment."""
    _hang_up(child.address)
    stats = await child.stats()
    for _ in range(40):
        await asyncio.sleep(0.25)
        last, stats = stats, await child.stats()
        quiet = stats["streams"] == stats["watchers"] == 0
        if quiet and all(stats[what] >= last[what] for what in ("tasks", "rss", "blocks")):
            break
    return stats


def _hang_up(address: str) -> None:
    """Ends connections that outlive their channels: to be called when all channels are closed.

    grpc.aio's client (1.85) keeps some connections open after `Channel.close`, as long as its process lives: 8 to 17
    for each 12,000 messages on streams (measured). Each costs the daemon 80 kB, given back when it ends.
    """
    port = int(address.rpartition(":")[2])
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family != socket.AF_UNIX and connection.getpeername()[1] == port:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # closed meanwhile, or not connected
            continue
