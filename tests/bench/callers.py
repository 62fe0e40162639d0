"""Callers of BalancerService for the load process, and their bare twins that exchange as many bytes."""

import asyncio
import time
from typing import Any

from orion_registry_pb.v1 import balancer_pb2 as pb
from tests.bench.echo import ECHO, UNARY

SERVICE = "/orion.registry.v1.BalancerService"


class Callers:
    """Selects and releases as fast as it can. What a bare server is to answer is learnt from the registry's answers."""

    def __init__(self) -> None:
        self._sizes: dict[str, tuple[int, int]] = {}

    async def unary(self, channel: Any, order: dict[str, Any]) -> dict[str, float]:
        """Pairs of unary calls by `concurrency` callers."""
        pair = self._bare_pair(channel, order) if order["echo"] else self._pair(channel, order)
        return await _until(order, pair)

    def _pair(self, channel: Any, order: dict[str, Any]) -> Any:
        select, release = (
            channel.unary_unary(f"{SERVICE}/SelectService"),
            channel.unary_unary(f"{SERVICE}/ReleaseService"),
        )
        request = bytes.fromhex(order["request"])

        async def pair() -> int:
            answer = await select(request)
            selection_id = pb.SelectServiceResponse.FromString(answer).selections[0].selection_id
            data = pb.ReleaseServiceRequest(selection_id=selection_id, outcome=pb.CALL_OUTCOME_SUCCEEDED)
            await release(data.SerializeToString())
            self._sizes["select"] = (data.ByteSize(), len(answer))
            return 1

        return pair

    def _bare_pair(self, channel: Any, order: dict[str, Any]) -> Any:
        release_size, answer_size = self._sizes["select"]
        select, release = channel.unary_unary(f"{UNARY}/{answer_size}"), channel.unary_unary(f"{UNARY}/0")
        request, farewell = bytes.fromhex(order["request"]), bytes(release_size)

        async def pair() -> int:
            await select(request)
            await release(farewell)
            return 1

        return pair

    async def route(self, channel: Any, order: dict[str, Any]) -> dict[str, float]:
        """Messages on `concurrency` streams: each selects a batch, and releases the one before."""
        make = self._bare_stream if order["echo"] else self._stream
        streams = [make(channel, order) for _ in range(order["concurrency"])]
        done = await _until({**order, "concurrency": 1}, *(turn for _, turn in streams))
        for call, turn in streams:
            await turn(last=True)
            await call.done_writing()
        return done

    def _stream(self, channel: Any, order: dict[str, Any]) -> tuple[Any, Any]:
        call, batch = channel.stream_stream(f"{SERVICE}/Route")(), order["batch"]
        select = pb.SelectServiceRequest.FromString(bytes.fromhex(order["request"]))
        selects = [pb.RouteCommand(id=number, select=select) for number in range(batch)]
        held: list[str] = []

        async def turn(*, last: bool = False) -> int:
            releases = [
                pb.RouteCommand(id=batch + number, release=pb.ReleaseServiceRequest(selection_id=name, outcome=_GOOD))
                for number, name in enumerate(held)
            ]
            data = pb.RouteRequest(commands=releases if last else [*releases, *selects]).SerializeToString()
            await call.write(data)
            answer = await call.read()
            if last:  # else what is held would fill the agents, round by round
                return 0
            results = pb.RouteResponse.FromString(answer).results[len(releases) :]
            held[:] = [result.select.selections[0].selection_id for result in results]
            self._sizes[f"route-{batch}"] = (len(data), len(answer))
            return int(batch)

        return call, turn

    def _bare_stream(self, channel: Any, order: dict[str, Any]) -> tuple[Any, Any]:
        sent, answered = self._sizes[f"route-{order['batch']}"]
        call, data = channel.stream_stream(f"{ECHO}/{answered}")(), bytes(sent)

        async def turn(*, last: bool = False) -> int:
            if last:
                return 0
            await call.write(data)
            await call.read()
            return int(order["batch"])

        return call, turn


_GOOD = pb.CALL_OUTCOME_SUCCEEDED


async def _until(order: dict[str, Any], *turns: Any) -> dict[str, float]:
    """Each of the turns again and again, by `concurrency` callers, until the time is over."""
    selections, began = 0, time.perf_counter()
    until = began + order["seconds"]

    async def caller(turn: Any) -> None:
        nonlocal selections
        while time.perf_counter() < until:
            done = await turn()  # apart: others count while this one waits
            selections += done

    await asyncio.gather(*(caller(turn) for turn in turns for _ in range(order["concurrency"])))
    return {"selections": selections, "seconds": time.perf_counter() - began}
