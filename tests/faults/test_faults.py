"""The fault suite's own promises: its proxy does what it says, and a row that fails is told by the exit code."""

import asyncio
import json
import os
import random
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from orion_registry.testing.link import MIN_RTO_S, Weather
from tests.faults import lag, table
from tests.faults.__main__ import ROWS, chosen, playable, published
from tests.faults.finding import Finding, quantile, spread
from tests.faults.proxy import Server
from tests.faults.row import Group, Row
from tests.faults.rows_agents import GROUP as AGENTS
from tests.faults.runner import Options, Result, play
from tests.faults.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
SOON_S = 3.0


# The proxy.


class Ends:
    """A proxy before an echo server, and one connection through it."""

    def __init__(self, proxy: Server, address: tuple[str, int]) -> None:
        self.proxy = proxy
        self.address = address
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self._opened: list[asyncio.StreamWriter] = []

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        self._opened.append(self.writer)

    def close(self) -> None:
        for writer in self._opened:
            writer.close()

    async def echo(self, data: bytes, within_s: float = SOON_S) -> bytes:
        """What comes back."""
        self.writer.write(data)
        return await asyncio.wait_for(self.reader.readexactly(len(data)), within_s)

    async def silent(self, data: bytes, for_s: float = 0.2) -> bool:
        """Whether nothing comes back."""
        with pytest.raises(TimeoutError):
            await self.echo(data, for_s)
        return True


@asynccontextmanager
async def through_a_proxy() -> AsyncIterator[Ends]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1_000):
                writer.write(data)
        except ConnectionError:
            pass  # the proxy resets on purpose
        finally:
            writer.close()

    upstream = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Server(f"127.0.0.1:{upstream.sockets[0].getsockname()[1]}", seed=1)
    front = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    ends = Ends(proxy, front.sockets[0].getsockname())
    await ends.connect()
    try:
        assert await ends.echo(b"first") == b"first"
        yield ends
    finally:
        ends.close()
        front.close()
        upstream.close()
        await proxy.obey({"do": "reset"})
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("way", ["both", "up", "down"])
async def test_a_frozen_link_loses_nothing(way: str) -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "freeze", "way": way})
        assert await ends.silent(b"held")
        await ends.proxy.obey({"do": "heal"})
        assert await asyncio.wait_for(ends.reader.readexactly(4), SOON_S) == b"held"
        assert await ends.echo(b"later") == b"later"


async def test_nobody_connects_through_a_cut_link_until_it_heals() -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "freeze", "way": "down"})
        await ends.connect()
        assert await ends.silent(b"hello")
        await ends.proxy.obey({"do": "heal"})
        assert await asyncio.wait_for(ends.reader.readexactly(5), SOON_S) == b"hello"


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_connection_that_lost_bytes_is_reset_when_the_link_heals(way: str) -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "drop", "way": way})
        assert await ends.silent(b"lost")
        await ends.proxy.obey({"do": "heal"})
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(ends.reader.read(1), SOON_S)
        await ends.connect()
        assert await ends.echo(b"anew") == b"anew"


async def test_a_reset_is_a_reset_and_no_polite_end() -> None:
    async with through_a_proxy() as ends:
        assert await ends.proxy.obey({"do": "reset"}) == {"connections": 1}
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(ends.reader.read(1), SOON_S)


async def test_a_reset_of_one_end_reaches_the_other() -> None:
    async with through_a_proxy() as ends:
        ends.writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0
        ends.writer.transport.abort()
        await asyncio.sleep(0.1)
        assert await ends.proxy.obey({"do": "count"}) == {"connections": 0}


async def test_a_connection_ends_in_the_middle_of_what_was_sent() -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "cut", "bytes": 3})
        ends.writer.write(b"123456")
        assert await asyncio.wait_for(ends.reader.read(), SOON_S) in (b"", b"123")
        await asyncio.sleep(0.05)
        assert await ends.proxy.obey({"do": "count"}) == {"connections": 0}


async def test_an_end_is_passed_on_when_all_before_it_is() -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "weather", "delay_s": 0.1})
        ends.writer.write(b"last words")
        ends.writer.write_eof()
        assert await asyncio.wait_for(ends.reader.read(), SOON_S) == b"last words"


async def test_delay_keeps_the_order_and_takes_its_time() -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "weather", "delay_s": 0.1, "jitter_s": 0.1})
        began = time.monotonic()
        sent = b"".join(b"%04d" % number for number in range(50))
        for first in range(0, len(sent), 4):
            ends.writer.write(sent[first : first + 4])
            await asyncio.sleep(0.002)
        assert await asyncio.wait_for(ends.reader.readexactly(len(sent)), SOON_S) == sent
        assert time.monotonic() - began > 0.05


async def test_a_slow_link_takes_as_long_as_its_rate_says() -> None:
    async with through_a_proxy() as ends:
        await ends.proxy.obey({"do": "weather", "way": "up", "rate": 500.0})
        began = time.monotonic()
        assert await ends.echo(b"x" * 200) == b"x" * 200
        assert time.monotonic() - began > 0.3


async def test_lost_segments_come_late_each_time_twice_as_late() -> None:
    drawn = iter([0.0, 0.0, 0.9, 0.9])  # two losses, then none; the next is not lost
    weather = Weather(loss=0.5, rtt_s=0.05, draw=lambda: next(drawn))
    weather.delay_s = 0.0
    draws = [0.5, 0.0, 0.0, 0.9, 0.5, 0.9]  # the first of each chunk is its jitter
    weather.draw = lambda: draws.pop(0)
    assert weather.lateness_s() == pytest.approx((MIN_RTO_S + 0.05) * (1 + 2))
    assert weather.lateness_s() == 0.0


async def test_losses_are_as_frequent_as_asked() -> None:
    rng = random.Random(3)
    weather = Weather(loss=0.05, draw=rng.random)
    late = [weather.lateness_s() for _ in range(20_000)]
    assert 0.045 < sum(each > 0.0 for each in late) / len(late) < 0.055


# Rows and their table.


def row_of(play_it: object, **fields: object) -> Row:
    group = Group("test")
    group.row("T1", "test", "it holds", **fields)(play_it)  # type: ignore[arg-type]
    return group.rows[0]


async def good(stage: Stage) -> None:
    stage.finding.sample("took", 0.1, 0.2)


async def slow(stage: Stage) -> None:
    for _ in range(stage.repeats):
        stage.finding.sample("took", 0.2, 0.2)


async def raises(stage: Stage) -> None:
    raise TimeoutError("nobody came")


async def test_a_failing_row_fails_the_run() -> None:
    assert table.exit_code([await play(row_of(good), Options())]) == 0
    late = await play(row_of(slow), Options(repeat=7))
    assert table.exit_code([await play(row_of(good), Options()), late]) == 1
    assert late.finding.faults == ["took took 0.200 s, limit 0.2 s"] * 7
    broken = await play(row_of(raises), Options())
    assert (broken.verdict, table.exit_code([broken])) == ("FAILED", 1)
    assert "nobody came" in broken.finding.faults[0]
    assert "FAILED: test" in table.summary([broken])
    assert "fault: TimeoutError at " in table.line(broken)


async def test_what_cannot_be_played_is_said_and_is_no_success_by_itself() -> None:
    absent = await play(row_of(good, missing=lambda: "a moon"), Options())
    assert (absent.verdict, absent.passed) == ("not here", True)
    assert "a moon" in table.line(absent)
    assert table.exit_code([absent]) == 1, "nothing was tried"
    assert table.exit_code([absent, await play(row_of(good), Options())]) == 0


async def test_a_failing_row_is_played_again_only_if_the_machine_stalled() -> None:
    plays = []

    async def stalls_once(stage: Stage) -> None:
        plays.append(1)
        if len(plays) == 1:
            await asyncio.sleep(2 * lag.STEP_S)
            time.sleep(lag.STALLED_S + 0.2)  # noqa: ASYNC251 - the machine stands still
            await asyncio.sleep(2 * lag.STEP_S)
            stage.finding.check(False, "late")

    again = await play(row_of(stalls_once), Options())
    assert (len(plays), again.passed, again.replayed) == (2, True, True)
    assert "played twice" in table.line(again)
    late = await play(row_of(slow), Options())
    assert (late.passed, late.replayed) == (False, False)


async def test_the_table_goes_between_the_marks_and_keeps_what_was_not_played() -> None:
    results = [await play(row_of(good), Options())]
    old = (
        "| T0 | kept | a | b | 1 s | ok |\n| T1 | test | was here | c | 1 s | ok |\n| T9 | no such row | a | b | | ok |"
    )
    text = f"before\n{table.BEGIN}\n{old}\n{table.END}\nafter\n"
    once = table.published(text, results, ["T1", "T0"])
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "| T1 | test | it holds | took 100 ms | 0 s | ok |\n| T0 | kept | a | b | 1 s | ok |\n" in once
    assert "was here" not in once
    assert "T9" not in once
    assert table.published(once, results, ["T1", "T0"]) == once
    with pytest.raises(ValueError, match="no lines"):
        table.published("no marks", results, [])
    assert table.published(text, [], []) == text, "nothing was played"


async def test_rows_of_a_cluster_go_to_a_table_of_their_own() -> None:
    finding = Finding()
    finding.count("seen", 1)
    rows = [next(row for row in ROWS if row.number == number) for number in ("1", "C1")]
    results = [Result(row=row, finding=finding, took_s=12.3) for row in rows]
    document = published((ROOT / "docs" / "guarantees.md").read_text(), results)
    alone, _, cluster = document.partition(table.CLUSTER_BEGIN)
    for part, row in zip((alone, cluster), rows, strict=True):
        assert part.count(f"| {row.number} | {row.name} | {row.expect} | seen 1 | 12 s | ok |") == 1
    assert "| C1 |" not in alone
    assert published(document, results) == document


async def test_a_run_that_was_can_be_published_later() -> None:
    rows = [row_of(slow), row_of(good, missing=lambda: "a moon")]
    rows[1] = replace(rows[1], number="T2")
    results = [await play(row, Options(repeat=2)) for row in rows]
    again = table.from_json(json.loads(json.dumps(table.as_json(results))), rows)
    assert [table.table_line(one) for one in again] == [table.table_line(one) for one in results]
    assert [table.line(one) for one in again] == [table.line(one) for one in results]
    assert table.exit_code(again) == table.exit_code(results) == 1
    assert table.from_json(table.as_json(results), rows[:1])[0].row is rows[0], "others are dropped"


def test_where_there_is_no_etcd_the_cluster_is_left_out_and_the_rest_is_played() -> None:
    alone = row_of(good)
    needs = replace(alone, number="T2", name="other", group="cluster", missing=lambda: "etcd")
    assert playable([alone, needs]) == ([alone], "etcd")
    there = replace(needs, missing=str)
    assert playable([alone, there]) == ([alone, there], "")


def test_figures() -> None:
    assert spread([0.5]) == "500 ms"
    assert spread([1.0, 3.0, 2.0]) == "1/2/3 s (3)"
    assert quantile([float(number) for number in range(200)], 0.99) == 198.0
    finding = Finding()
    finding.count("deaths", 2)
    finding.count("deaths", 1)
    assert finding.measured() == "deaths 3"


def test_rows_are_named_once_and_chosen_by_number_name_or_group() -> None:
    names = [name for row in ROWS for name in (row.number, row.name)]
    assert len(names) == len(set(names))
    assert [row.number for row in chosen(["sigstop", "1"], [], long=False)] == ["1", "3"]
    assert {row.group for row in chosen([], ["mass"], long=True)} == {"mass"}
    assert [row.name for row in chosen(["pause-300"], [], long=False)] == ["pause-300"], "named is asked for"
    assert not any(row.long or row.group == "cluster" for row in chosen([], [], long=False))
    assert "C1" in {row.number for row in chosen([], [], long=True)}
    with pytest.raises(ValueError, match="no such row: 99"):
        chosen(["99"], [], long=False)


async def test_a_real_row() -> None:
    goodbye = next(row for row in AGENTS.rows if row.name == "goodbye")
    result = await play(goodbye, Options(repeat=1))
    assert result.finding.faults == []
    assert set(result.finding.samples) == {"gone", "moving"}


async def test_ctrl_c_leaves_nobody_behind_not_even_the_stopped() -> None:
    script = """
import asyncio, sys
from tests.faults import __main__ as suite
from tests.faults.row import Group

GROUP = Group("test")

@GROUP.row("T1", "stopped", "is interrupted")
async def stopped(stage):
    daemon = await stage.daemon()
    agents = await stage.agents(daemon, 1, "a")
    stage.stop(agents.pid)
    stage.stop(daemon.pid)
    print(daemon.pid, agents.pid, flush=True)
    await asyncio.sleep(60)

suite.ROWS = tuple(GROUP.rows)
sys.argv[1:] = []
sys.exit(suite.main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(process.stdout.readline(), 30.0)).split()]
    assert len(pids) == 2
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), 10.0)
    assert process.returncode == 130, said
    assert b"Traceback" not in said, said
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
