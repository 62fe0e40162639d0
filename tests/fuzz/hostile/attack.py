"""Headers, frames, tokens and certificates that are not what they should be, against a daemon with all of these on."""

import asyncio
import contextlib
import random
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.fuzz.hostile import line
from tests.fuzz.hostile.bearers import BearerMaker
from tests.fuzz.hostile.certificates import Odd, client_hello, garbled, odd_certificates
from tests.fuzz.hostile.frames import FrameMaker
from tests.fuzz.hostile.headers import PATH, HeaderMaker
from tests.fuzz.hostile.known import OTHER, RIGHT, Known, known
from tests.server.tokens import bearer

SHARES = {"headers": 0.40, "frames": 0.35, "tokens": 0.20, "certificates": 0.05}
"""Of the messages. A certificate costs a handshake: about 3 ms."""
AT_ONCE = 16
WARM_UP = 0.1
"""Of the messages, before the memory is looked at first."""
GROWTH_MAX = 24 * 1024 * 1024
"""Bytes that the daemon may hold more afterwards: what the allocator keeps scattered. Leaks grow with the messages."""
OK = 0
NOT_OURS = "Invalid encoding on b"
"""What grpcio logs of metadata that is no UTF-8, as an error of its own; the call goes on."""
FAULTS_KEPT = 20


@dataclass(slots=True)
class Attacked:
    """What came of it.

    Attributes:
        sent: messages by kind. told: how they ended, by kind. faults: what must not be.
        before, after: bytes of memory.
        honest: calls of the right client meanwhile that were served.
        suspicious: lines of the daemon's log that tell of a fault.
    """

    sent: Counter[str] = field(default_factory=Counter)
    told: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in SHARES})
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    before: int = 0
    after: int = 0
    honest: int = 0
    alive: bool = True
    seconds: float = 0.0
    suspicious: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Something that must not be."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(text)

    def table(self) -> str:
        """For people."""
        return "\n".join(
            f"{kind:14}{self.sent[kind]:>9}  " + ", ".join(f"{told} {count}" for told, count in ends.most_common(12))
            for kind, ends in self.told.items()
        )


async def attack(messages: int, seed: int) -> Attacked:
    """Sends about as many messages as that, of all kinds at once, with an honest client beside them."""
    found = Attacked()
    with tempfile.TemporaryDirectory() as scratch:
        async with known(Path(scratch)) as target:
            begun = time.monotonic()
            odd = odd_certificates(target.certs.authority.directory)
            await _all_kinds(target, odd, found, round(messages * WARM_UP), seed + 1)
            await asyncio.sleep(1.0)
            found.before = (await target.child.stats())["rss"]
            await _all_kinds(target, odd, found, round(messages * (1 - WARM_UP)), seed)
            await asyncio.sleep(1.0)
            found.after = (await target.child.stats())["rss"]
            found.alive = target.child.running
            found.seconds = time.monotonic() - begun
    found.suspicious = [text for text in target.child.suspicious if NOT_OURS not in text]
    return found


async def _all_kinds(target: Known, odd: list[Odd], found: Attacked, messages: int, seed: int) -> None:
    honest = asyncio.create_task(_honest(target, found))
    try:
        for number, (kind, share) in enumerate(SHARES.items()):
            wanted = found.sent[kind] + round(messages * share)
            rng = random.Random(seed * 10 + number)
            async with _attacker(kind, target, odd, found, rng) as one:
                await _repeat(lambda kind=kind, wanted=wanted: found.sent[kind] < wanted, one)  # type: ignore[misc] # its defaults bind the loop's names
    finally:
        honest.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await honest


async def _repeat(more: Callable[[], bool], one: Callable[[], Awaitable[None]]) -> None:
    async def worker() -> None:
        while more():
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())


async def _honest(target: Known, found: Attacked) -> None:
    """The right client, every 50 ms: it is served whatever the others send."""
    async with target.right.open_channel(target.address, OWN) as channel:
        call: Any = channel.unary_unary(PATH.decode())
        while True:
            try:
                await call(b"", timeout=10)
                found.honest += 1
            except grpc.aio.AioRpcError as error:
                found.fault(f"the right client got {error.code().name}: {error.details()}")
            await asyncio.sleep(0.05)


OWN = (("grpc.use_local_subchannel_pool", 1),)
One = Callable[[], Awaitable[None]]


@contextlib.asynccontextmanager
async def _attacker(
    kind: str, target: Known, odd: list[Odd], found: Attacked, rng: random.Random
) -> AsyncIterator[One]:
    match kind:
        case "headers":
            headers = HeaderMaker(rng, target.tokens[RIGHT], target.dead)
            yield lambda: _send_headers(target, headers, found)
        case "frames":
            frames = FrameMaker(rng)
            yield lambda: _send_frames(target, frames, found)
        case "tokens":
            bearers = BearerMaker(rng, tuple(target.tokens.values()), target.dead)
            tls = target.right.open_channel(target.address, OWN)
            async with tls, grpc.aio.insecure_channel(f"unix:{target.socket}", options=OWN) as plain:
                yield lambda: _show_token(rng.choice((tls, plain)), bearers, target, found, rng)
        case _:
            hello = client_hello()
            yield lambda: _show_certificate(target, odd, hello, found, rng)


async def _send_headers(target: Known, maker: HeaderMaker, found: Attacked) -> None:
    made = maker.make()
    found.sent["headers"] += 1
    answer = await (await line.opened(target.socket)).send(made.data, 1.0)
    found.told["headers"][answer.told] += 1
    if made.must_fail and answer.status == OK:
        found.fault(f"headers, {made.kind}: let in: {made.data!r:.3000}")
    if answer.is_ours:
        found.fault(f"headers, {made.kind}: answered {answer.told}: {made.data!r:.3000}")


async def _send_frames(target: Known, maker: FrameMaker, found: Attacked) -> None:
    data, count = maker.make()
    found.sent["frames"] += count
    answer = await (await line.opened(target.socket)).send(data + line.ping(), 0.05)
    found.told["frames"][answer.told] += count
    if answer.is_ours:
        found.fault(f"frames: answered {answer.told}: {data!r:.3000}")


async def _show_token(
    channel: grpc.aio.Channel, maker: BearerMaker, target: Known, found: Attacked, rng: random.Random
) -> None:
    kind, value = maker.make()
    found.sent["tokens"] += 1
    metadata: Any = (("authorization", value),)
    if rng.random() < 0.02:  # one that counts, of another identity than the certificate's: refused over TLS alone
        kind, metadata = "another identity's", bearer(target.tokens[OTHER])
    call: Any = channel.unary_unary(PATH.decode())
    try:
        await call(b"", metadata=metadata, timeout=10)
        told = "OK"
    except grpc.aio.AioRpcError as error:
        told = error.code().name
    found.told["tokens"][told] += 1
    whose = kind == "another identity's"
    if told not in {"UNAUTHENTICATED", *(("OK",) if whose else ())}:
        found.fault(f"tokens, {kind}: {told}: {value!r:.300}")


async def _show_certificate(target: Known, odd: list[Odd], hello: bytes, found: Attacked, rng: random.Random) -> None:
    found.sent["certificates"] += 1
    if rng.random() < 0.5:
        await _send_garbage(target, garbled(rng, hello), found)
        return
    one = rng.choice(odd)
    context = target.context(one.cert, one.key)
    host, _, port = target.address.rpartition(":")
    try:
        reader, writer = await asyncio.wait_for(
            asyncio.open_connection(host, int(port), ssl=context, server_hostname="localhost"), 10
        )
        connection = line.Line(reader, writer)
        headers = [
            (b":method", b"POST"), (b":scheme", b"https"), (b":path", PATH), (b":authority", b"localhost"),
            (b"content-type", b"application/grpc"), (b"te", b"trailers"),
        ]  # fmt: skip
        answer = await connection.send(line.begun() + line.request(headers, b""), 5.0)
        told = answer.told
    except (ssl.SSLError, OSError, TimeoutError) as error:
        told = type(error).__name__
    found.told["certificates"][told] += 1
    if told in {"grpc-status 0", "grpc-status 2", "grpc-status 13"}:
        found.fault(f"certificates, {one.what}: {told}")


async def _send_garbage(target: Known, data: bytes, found: Attacked) -> None:
    """Bytes that are no TLS; read until the daemon hangs up, or for a moment: it may wait for the rest."""
    host, _, port = target.address.rpartition(":")
    told = "garbage: closed"
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(data)
        await asyncio.wait_for(reader.read(), 0.2)
    except TimeoutError:
        told = "garbage: waited for more"
    except OSError:
        told = "garbage: reset"
    writer.close()
    found.told["certificates"][told] += 1


def judged(found: Attacked) -> list[tuple[str, bool, str]]:
    """Promise, whether it held, and what was found."""
    grown = found.after - found.before
    return [
        ("the daemon lives", found.alive, "it does" if found.alive else "it does not"),
        (
            "nothing odd is let in; no INTERNAL, no UNKNOWN of ours",
            not found.fault_count,
            f"{found.fault_count} faults",
        ),
        ("the right client is served all the while", found.honest > 0, f"{found.honest} calls"),
        ("no error in the log", not found.suspicious, f"{len(found.suspicious)} lines"),
        ("memory is bounded", grown <= GROWTH_MAX, f"{found.before:,} -> {found.after:,} ({grown:+,})"),
    ]
