"""One of several clients that fuzz side by side. It does one thing after the other, on services of its own."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from orion_registry.core.keys import derived_service_id
from tests.fuzz.answers import MESSAGE_LIMIT, judge
from tests.fuzz.coverage import Coverage
from tests.fuzz.mutate import Mutator
from tests.fuzz.schema import Rpc
from tests.fuzz.tally import Fault, Tally
from tests.fuzz.twin import Twin
from tests.fuzz.valid import Held, Valid

ANSWER_S = 20.0
"""A call without an answer after so long counts as hung."""
WRITE_FAILED = "Internal error from Core"
"""What grpc.aio's client makes up itself where a write meets the end of the call; the true status is then lost. A
fault of the daemon would be in its log all the same."""
HELD = 80
"""Services of a worker at most; the oldest go, so that the catalog is as large at the baseline as at the end."""
WORDS = 400
QUIET_S = 0.1
"""How long a stream may say nothing until it is left."""

OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
    ("grpc.enable_http_proxy", 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What all workers share."""

    address: str
    rpcs: Mapping[str, Rpc]
    tally: Tally
    twin: Twin
    coverage: Coverage
    mutated_share: float = 0.56


class Worker:
    """A client with a connection, a memory of its services, and a seeded sense of mischief."""

    def __init__(self, campaign: Campaign, name: str, seed: int) -> None:
        self.campaign = campaign
        self.rng = random.Random(seed)
        self.held: list[Held] = []
        self.words: list[str] = []
        self.valid = Valid(self.rng, name, self.held)
        self.mutator = Mutator(self.rng, campaign.coverage, self.words)
        self.before: deque[tuple[str, bytes]] = deque(maxlen=30)
        self.channel = self._connect()
        self._watches: list[tuple[Rpc, Any, int]] = []

    def _connect(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(self.campaign.address, options=OPTIONS)

    async def reconnect(self) -> None:
        """Closes the connection abruptly, with whatever is open on it, and opens another."""
        await self.channel.close(None)
        self.channel = self._connect()

    async def close(self) -> None:
        """Lets go of everything."""
        await self.end_watches()
        await self.channel.close(None)

    def method(self, rpc: Rpc) -> Any:
        """What calls an RPC with bytes, on the connection of now."""
        return method_of(self.channel, rpc)

    # Making messages.

    def make(self, rpc: Rpc) -> tuple[Any | None, bytes]:
        """A message for an RPC and its bytes, mutated or not; booked. The message is None if the bytes are none."""
        mutated = self.rng.random() < self.campaign.mutated_share
        message = self.valid.message(rpc)
        if mutated and self.rng.random() < 0.1:
            message = None
        if message is None:
            message, mutated = self.mutator.arbitrary(rpc), True
        data = self.mutator.mutate(rpc, message) if mutated else message.SerializeToString()
        return self.book(rpc, data, mutated=mutated), data

    def book(self, rpc: Rpc, data: bytes, *, mutated: bool) -> Any | None:
        """Notes a message that is about to be sent; returns it as the daemon will read it."""
        self.campaign.tally.message(rpc, mutated=mutated)
        self.before.append((rpc.path, data))
        try:
            message = rpc.request.FromString(data)
        except DecodeError:
            return None
        self.campaign.coverage.note(rpc, message)
        return message

    def learn(self, *words: str) -> None:
        """Remembers texts that mean something to the daemon."""
        self.words.extend(word for word in words if word)
        if len(self.words) > WORDS:
            del self.words[: WORDS // 2]

    def fault(self, rpc: Rpc, why: str, frames: list[bytes]) -> None:
        """Something that must not happen."""
        self.campaign.tally.fault(Fault(rpc.path, why, frames, list(self.before)[:-1]))

    def end(self, rpc: Rpc, error: grpc.aio.AioRpcError, frames: list[bytes]) -> None:
        """Books and judges the end of a call."""
        if error.code() is grpc.StatusCode.INTERNAL and error.details() == WRITE_FAILED:
            self.campaign.tally.code(rpc, "ended while writing")
            return
        self.campaign.tally.code(rpc, error.code())
        if wrong := judge(error, max(map(len, frames), default=0)):
            self.fault(rpc, wrong, frames)

    # Unary calls.

    async def call(self, rpc: Rpc, message: Any | None, data: bytes) -> Any | None:
        """Makes a unary call, judges the answer and tells the twin; returns the response if it was OK."""
        async with self.campaign.twin.holding(*_services_of(rpc, message)):
            try:
                answer: bytes = await self.method(rpc)(data, timeout=ANSWER_S)
            except grpc.aio.AioRpcError as error:
                self.end(rpc, error, [data])
                return None
            self.campaign.tally.code(rpc, grpc.StatusCode.OK)
            self.campaign.tally.ok(rpc)
            if message is None or len(data) > MESSAGE_LIMIT:
                self.fault(rpc, "OK for bytes that are no message, or too many", [data])
                return None
            response = rpc.response.FromString(answer)
            if wrong := self._acknowledged(rpc, message, response):
                self.fault(rpc, wrong, [data])
            return response

    def _acknowledged(self, rpc: Rpc, request: Any, response: Any) -> str:
        """Tells the twin what an OK means; returns what is wrong with it."""
        twin = self.campaign.twin
        match rpc.method:
            case "RegisterService":
                wrong = twin.registered(request, response)
                self._hold(response.service.service_id, response.service)
                return wrong
            case "UpdateService":
                self.valid.resumable = self.valid.resumable[-5:]
                return twin.updated(request, response)
            case "UnregisterService":
                twin.removed(request.ref.service_id)
                self.let_go({request.ref.service_id})
            case "RemoveService":
                twin.removed(request.service_id)
                self.let_go({request.service_id})
            case "UpdateServiceStatus":
                twin.saw_epoch(request.ref.service_id, response.service.epoch)
            case "GetService":
                self.valid.resumable = [*self.valid.resumable[-5:], (response.history_id, response.revision)]
                self.learn(response.history_id)
            case "SelectService":
                got = [selection.selection_id for selection in response.selections]
                self.valid.leases = [*self.valid.leases[-20:], *got]
                self.learn(*got)
            case "ListEvents":
                self.valid.listed = [*self.valid.listed[-5:], (response.history_id, response.after_seq)]
            case "DiscoverServices" if response.next_page_token:
                self.valid.tokens = [*self.valid.tokens[-5:], (request.selector, response.next_page_token)]
                self.learn(response.next_page_token)
        return ""

    def _hold(self, service_id: str, service: Any) -> None:
        """Keeps the right to act for a service, if the twin is sure of it."""
        self.let_go({service_id})
        if (known := self.campaign.twin.services.get(service_id)) is not None:
            self.held.append(
                Held(service_id, service.agent_id, service.namespace, service.service_name, known.secret, known.epoch,
                     service.liveness)
            )  # fmt: skip
            self.learn(service_id, service.agent_id, known.secret, service.namespace)

    def let_go(self, service_ids: set[str]) -> None:
        """Forgets services."""
        self.held[:] = [held for held in self.held if held.service_id not in service_ids]

    async def shed(self) -> None:
        """Unregisters the oldest services of too many."""
        rpc = self.campaign.rpcs["UnregisterService"]
        while len(self.held) > HELD:
            held = self.held.pop(0)
            request = rpc.request()
            self.valid.fill_ref(request.ref, held)
            data = request.SerializeToString()
            await self.call(rpc, self.book(rpc, data, mutated=False), data)

    # Server streams.

    async def open_watch(self, rpc: Rpc, message: Any | None, data: bytes) -> None:
        """Opens a server stream; looks for a first answer, then cancels it at once or some steps later."""
        call = self.method(rpc)(data, timeout=600)
        first = asyncio.ensure_future(call.read())
        await asyncio.wait({first}, timeout=QUIET_S)
        if not first.done():  # a resumed watch has nothing to say until something happens
            call.cancel()
            await asyncio.gather(first, return_exceptions=True)
            self.campaign.tally.code(rpc, grpc.StatusCode.CANCELLED)
            return
        try:
            answer = first.result()
        except grpc.aio.AioRpcError as error:
            self.end(rpc, error, [data])
            return
        self.campaign.tally.ok(rpc)
        if message is None or not answer:
            self.fault(rpc, f"answered {answer!r:.40}, message: {message is not None}", [data])
        self._watches.append((rpc, call, self.campaign.tally.sent + self.rng.choice((0, 0, 500))))
        if len(self._watches) > 8 or self.rng.random() < 0.2:
            await self.end_watches()

    async def end_watches(self) -> None:
        """Cancels what is open."""
        watches, self._watches = self._watches, []
        for rpc, call, _ in watches:
            call.cancel()
            try:
                code = await asyncio.wait_for(asyncio.shield(call.code()), ANSWER_S)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
            self.campaign.tally.code(rpc, code)


def method_of(channel: grpc.aio.Channel, rpc: Rpc) -> Any:
    """What calls an RPC on a channel, with bytes in and bytes out."""
    if rpc.client_streams:
        return channel.stream_stream(rpc.path)
    return channel.unary_stream(rpc.path) if rpc.server_streams else channel.unary_unary(rpc.path)


def _services_of(rpc: Rpc, message: Any | None) -> list[str]:
    """Ids of the services that a unary request may change."""
    if message is None:
        return []
    if rpc.method == "RegisterService":
        service = message.service
        derived = derived_service_id(service.namespace or "default", service.agent_id, service.service_name)
        return [service.service_id or derived]
    if rpc.method == "RemoveService":
        return [message.service_id]
    return [message.ref.service_id] if hasattr(message, "ref") else []
