"""What the bench reads from peers and from h2load, without any of them."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orion_registry_pb.v1 import registry_pb2, service_pb2
from tests.bench.h2load import answered
from tests.bench.nats import Connection, NatsLoad
from tests.bench.numbers import NUMBER, numbered, percentiles
from tests.bench.plot import curves, svg
from tests.bench.redis import command, reply
from tests.bench.watching import tells_unready

TOLD = """
finished in 2.00s, 1016.50 req/s, 163.66KB/s
requests: 200 total, 200 started, {done} done, {succeeded} succeeded, 0 failed, 0 errored, 0 timeout
status codes: 200 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 32.21KB (32984) total, 750B (750) headers (space savings 95.37%), 20.51KB ({data}) data
"""


def test_what_h2load_tells_is_calls_and_their_rate() -> None:
    assert answered(TOLD.format(done=200, succeeded=200, data=21_000), 100) == (200, 1016.5)


@pytest.mark.parametrize(
    "told",
    [
        TOLD.format(done=200, succeeded=199, data=21_000),
        TOLD.format(done=0, succeeded=0, data=0),
        TOLD.format(done=200, succeeded=200, data=5_000),  # it ignores grpc-status: refused calls have no message
        "Could not connect",
    ],
)
def test_calls_that_were_refused_are_no_figure(told: str) -> None:
    with pytest.raises(RuntimeError):
        answered(told, 100)


async def test_replies_of_redis_are_read_whole() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"*2\r\n$5\r\nag\r\n1\r\n$0\r\n\r\n:2\r\n+OK\r\n-ERR no\r\n")
    assert [await reply(reader) for _ in range(3)] == [[b"ag\r\n1", b""], 2, b"OK"]
    with pytest.raises(RuntimeError, match="ERR no"):
        await reply(reader)
    assert command("HSET", b"k") == b"*2\r\n$4\r\nHSET\r\n$1\r\nk\r\n"


async def _relay(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> asyncio.Server:
    return await asyncio.start_server(handle, "127.0.0.1", 0)


async def test_a_lookup_at_nats_is_done_with_the_last_answer() -> None:
    """Three services answer to a subject that all hear; a server of few lines hands messages on."""
    subscribed: list[tuple[bytes, bytes, asyncio.StreamWriter]] = []
    passed = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal passed
        writer.write(b"INFO {}\r\n")
        while line := await reader.readline():
            words = line.split()
            if words[0] == b"PING":
                writer.write(b"PONG\r\n")
            elif words[0] == b"SUB":
                subscribed.append((words[1], words[2], writer))
            elif words[0] == b"PUB":
                payload = await reader.readexactly(int(words[-1]) + 2)
                for subject, sid, subscriber in subscribed:
                    if subject == words[1] or (subject[-1:] == b"*" and words[1].startswith(subject[:-1])):
                        passed += 1
                        subscriber.write(b" ".join([b"MSG", words[1], sid, *words[2:]]) + b"\r\n" + payload)
        writer.close()

    async with await _relay(serve) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        load = NatsLoad()
        await load.fill({"address": address, "agents": 4, "found": 3, "size": 330})
        async with asyncio.timeout(10):
            done = await load.lookup({"concurrency": 2, "seconds": 0.1})
        assert done["calls"] >= 2
        assert passed == done["calls"] * 6, "a request and an answer for each of the three that are found"
        await load.close()


async def test_what_nats_refuses_ends_a_connection() -> None:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\nPONG\r\n-ERR 'no'\r\n")
        writer.close()

    async with await _relay(serve) as server:
        connection = Connection()
        await connection.open(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(RuntimeError, match="no"):
            await connection.ended()
        connection.close()
        await asyncio.sleep(0)  # its transport closes in the next turn of the loop


def test_a_watcher_is_told_of_a_death_and_not_of_a_life() -> None:
    event = registry_pb2.WatchEvent(service=service_pb2.ServiceInfo(agent_id="one", ready=True))
    message = registry_pb2.WatchServicesResponse(events=[event])
    assert not tells_unready(message.SerializeToString(), b"one")
    message.events[0].service.ready = False
    assert tells_unready(message.SerializeToString(), b"one")
    assert not tells_unready(message.SerializeToString(), b"other")


def test_numbers_keep_lengths_and_percentiles_are_those_of_the_sorted() -> None:
    assert numbered(b"a" + NUMBER + b"b" + NUMBER, 42) == b"a0000000042b0000000042"
    assert percentiles([float(value) for value in range(1_000, 0, -1)]) == (501.0, 991.0)
    with pytest.raises(ValueError, match="nothing"):
        percentiles([])


def test_growth_is_drawn_from_the_medians() -> None:
    figures = {
        "growth-10-discover": {"ours": [300.0, 310.0, 900.0]},
        "growth-10000-discover": {"ours": [350.0]},
        "growth-5000-kill": {"ours": [12.0]},
        "beat": {"ours": [1.0]},
    }
    made = curves(figures)
    assert made == {"discover": [(10, 310.0), (10_000, 350.0)], "kill": [(5_000, 12.0)]}
    drawn = svg(made, "a machine")
    assert drawn.count("<polyline") == 2
    assert "a machine" in drawn
    assert "<title>10,000: 350</title>" in drawn
