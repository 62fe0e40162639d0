"""Heartbeat streams: several on the same services, their frames in any order, ended in every way there is."""

import asyncio
import contextlib
from typing import Any

import grpc
import grpc.aio

from tests.fuzz.schema import Rpc
from tests.fuzz.valid import Held
from tests.fuzz.worker import ANSWER_S, Worker

HEARTBEAT, REGISTER, GET = "Heartbeat", "RegisterService", "GetService"
STREAM_MODE, STOPPING = 1, 1
_KINDS = ("beat",) * 10 + ("attach",) * 3 + ("detach",) * 2 + ("command_ack", "hello", "goodbye")
_CUT = {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE}
_ANSWERS = {"welcome", "sessions", "ack"}


class OpenStream:
    """One call under way: what was sent on it, and a task that reads."""

    def __init__(self, worker: Worker, rpc: Rpc, script: "HeartbeatScript") -> None:
        self.frames: list[bytes] = []
        self.greeted = False
        self.cut = False
        self.seq = 0
        self._worker = worker
        self._rpc = rpc
        self._script = script
        self.call: Any = worker.method(rpc)(timeout=600)
        self.reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        """Reads to the end; what was answered is booked."""
        tally = self._worker.campaign.tally
        try:
            while (data := await self.call.read()) is not grpc.aio.EOF:
                answer = self._rpc.response.FromString(data)
                if answer.WhichOneof("frame") in _ANSWERS:
                    tally.ok(self._rpc)
                for result in answer.sessions.results:
                    self._script.attached(result)
            tally.code(self._rpc, await self.call.code())
        except grpc.aio.AioRpcError as error:
            if self.cut and error.code() in _CUT:
                tally.code(self._rpc, error.code())
            else:
                self._worker.end(self._rpc, error, self.frames)
        except asyncio.CancelledError:
            tally.code(self._rpc, grpc.StatusCode.CANCELLED)

    async def send(self, data: bytes) -> None:
        """Sends a frame; a stream that has ended takes none, which its reader has learnt."""
        self.frames.append(data)
        try:
            await asyncio.wait_for(self.call.write(data), ANSWER_S)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
            return

    async def end(self, *, how: str) -> None:
        """Ends it: 'close' = half-close, 'wait' = the registry ends it, anything else = cancel."""
        if how == "close":
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError, asyncio.CancelledError):
                await self.call.done_writing()
        elif how != "wait":
            self.cut = True
            self.call.cancel()
        await asyncio.wait({self.reader}, timeout=ANSWER_S)
        if not self.reader.done():
            self._worker.fault(self._rpc, f"the stream did not end after {how}", self.frames)
            self.cut = True
            self.call.cancel()
            await asyncio.wait({self.reader})


class HeartbeatScript:
    """One agent's misadventures."""

    def __init__(self, worker: Worker, rpcs: dict[str, Rpc]) -> None:
        self._worker = worker
        self._rng = worker.rng
        self._rpcs = rpcs
        self._rpc = rpcs[HEARTBEAT]
        self._agent = f"{worker.valid.new_secret()[:12]}-agent"
        self._services: dict[str, Held] = {}
        self._carried: set[str] = set()
        self._stopping = False
        self._plain = True
        self._cut = False

    async def run(self) -> None:
        """Registers services, opens streams, sends, ends."""
        await self._register()
        streams = [self._open() for _ in range(self._rng.choice((1, 1, 2, 3)))]
        self._plain = len(streams) == 1
        for _ in range(self._rng.randrange(5, 60)):
            index = self._rng.randrange(len(streams))
            if streams[index].reader.done() or self._rng.random() < 0.01:
                await self._finish(streams[index])
                if self._stopping:
                    break
                streams[index] = self._open()
                self._plain = False
            await self._step(streams[index])
        abrupt = self._rng.random() < 0.1
        if abrupt:
            for stream in streams:
                stream.cut = True
            self._plain, self._cut = False, True
            await self._worker.reconnect()
        for stream in streams:
            await self._finish(stream)
        await self._settle()

    async def _register(self) -> None:
        rpc = self._rpcs[REGISTER]
        for _ in range(self._rng.choice((1, 1, 2, 4))):
            request = rpc.request()
            self._worker.valid.fill_service(request.service, self._agent, STREAM_MODE)
            request.service.retention.seconds = 0
            request.secret = self._worker.valid.new_secret()
            data = request.SerializeToString()
            message = self._worker.book(rpc, data, mutated=False)
            response = await self._worker.call(rpc, message, data)
            if response is None:
                self._worker.fault(rpc, "a valid registration was refused", [data])
                continue
            held = self._worker.held[-1]
            self._services[held.service_id] = held

    def _open(self) -> OpenStream:
        return OpenStream(self._worker, self._rpc, self)

    async def _step(self, stream: OpenStream) -> None:
        """One frame, mutated or not; now and then a pause in which answers arrive."""
        frame = self._rpc.request()
        kind = self._rng.choice(_KINDS) if stream.greeted or self._rng.random() < 0.1 else "hello"
        if kind == "goodbye" and self._rng.random() < 0.5:
            kind = "beat"
        self._fill(frame, kind, stream)
        mutated = self._rng.random() < self._worker.campaign.mutated_share
        data = self._worker.mutator.mutate(self._rpc, frame) if mutated else frame.SerializeToString()
        message = self._worker.book(self._rpc, data, mutated=mutated)
        self._foresee(message, mutated=mutated)
        stream.greeted = stream.greeted or kind == "hello"
        await stream.send(data)
        if self._rng.random() < 0.15 or kind in {"hello", "goodbye"}:
            await asyncio.sleep(0.002)

    def _foresee(self, message: Any | None, *, mutated: bool) -> None:
        """What a frame may do to the twin."""
        if mutated:
            self._plain = False
        if message is None:
            return
        if message.HasField("goodbye") and message.goodbye.reason == STOPPING:
            self._stopping = True
        self._carried -= set(message.detach.service_ids)

    def _fill(self, frame: Any, kind: str, stream: OpenStream) -> None:
        mine = list(self._services.values())
        some = [held for held in mine if self._rng.random() < 0.7]
        match kind:
            case "hello":
                frame.hello.agent_id, frame.hello.instance_id, frame.hello.sdk = self._agent, "i1", "fuzz/1"
                frame.hello.features.append("drain")
                self._fill_sessions(frame.hello.sessions, some)
            case "attach":
                frame.attach.SetInParent()
                self._fill_sessions(frame.attach.sessions, some)
            case "detach":
                frame.detach.SetInParent()
                frame.detach.service_ids.extend(held.service_id for held in some[:1])
            case "beat":
                stream.seq += 1
                frame.beat.seq = stream.seq
                for held in some if self._rng.random() < 0.5 else ():
                    news = frame.beat.services.add(service_id=held.service_id, self_status=self._rng.randrange(6))
                    self._worker.valid.fill_load(news.load)
                    news.task_age.seconds = 1
            case "command_ack":
                frame.command_ack.nonce = self._rng.randrange(3)
            case "goodbye":
                frame.goodbye.reason = self._rng.choice((0, STOPPING, STOPPING, 2))

    def _fill_sessions(self, sessions: Any, services: list[Held]) -> None:
        for held in services:
            session = sessions.add()
            self._worker.valid.fill_ref(session.ref, held)
            session.self_status = self._rng.choice((0, 0, 1, 4))
            if self._rng.random() < 0.5:
                self._worker.valid.fill_load(session.load)

    def attached(self, result: Any) -> None:
        """A session result arrived."""
        held = self._services.get(result.service_id)
        if held is not None and not result.HasField("error"):
            held.epoch = max(held.epoch, result.epoch)
            self._carried.add(result.service_id)
            self._worker.campaign.twin.saw_epoch(result.service_id, result.epoch)

    async def _finish(self, stream: OpenStream) -> None:
        # After a farewell only the registry's own end tells what became of it.
        how = self._rng.choice(("close", "close", "cancel"))
        if self._stopping and self._rng.random() < 0.8:
            how = "close"
        if how == "cancel":
            self._plain, self._cut = False, True
        await stream.end(how=how)

    async def _settle(self) -> None:
        """Asks what became of the services, and holds it against what was said on the streams."""
        twin, rpc = self._worker.campaign.twin, self._rpcs[GET]
        if self._stopping and self._cut:  # perhaps in the middle of the farewell
            for service_id in self._services:
                twin.doubt(service_id)
            self._worker.let_go(set(self._services))
            return
        if self._stopping and not self._plain:
            await asyncio.sleep(0.02)  # a stream may end for another reason while its farewell is being stored
        for service_id in self._services:
            request = rpc.request(service_id=service_id)
            data = request.SerializeToString()
            self._worker.book(rpc, data, mutated=False)
            there = await self._worker.call(rpc, request, data) is not None
            gone = self._stopping and service_id in self._carried
            known = self._plain or not self._stopping  # else frames were mutated, or streams took from each other
            if known and there == gone:
                self._worker.fault(rpc, f"{service_id} is {'still' if there else 'not'} there", [data])
            if not there:
                twin.removed(service_id)
                self._worker.let_go({service_id})
