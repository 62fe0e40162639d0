"""Custom probes: real worker processes, well and ill behaved."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from orion_registry.core.checks.spec import CheckSpec, CustomProbe
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.probes import CheckFailed
from orion_registry.probes import custom as custom_module
from orion_registry.probes.custom import CRASHES, REST_MOST_S, Breaker
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes.conftest import CUSTOM, Look, lookup

U, F, P = Verdict.UNAVAILABLE, Verdict.FAILED, Verdict.PASSED


def _custom(name: str, port: int = 80) -> CustomProbe:
    return CustomProbe(name=name, host="127.0.0.1", port=port)


@pytest.mark.parametrize(
    ("name", "verdict", "detail"),
    [
        ("passing", P, ""),
        ("false", F, "it says so"),
        ("failing", F, "queue is 12 deep , not 3"),
        ("saying", F, "x" * 200),
        ("raising", U, "the custom check raised RuntimeError"),
        ("odd", U, "the custom check raised a return value of type str"),
        ("exiting", U, "the custom check raised SystemExit"),
        ("killed", U, "the custom check's process ended"),
        ("hogging", U, "the custom check raised MemoryError"),
        ("leaking", U, "the custom check raised OSError"),
        ("printing", P, ""),
        ("unheard_of", U, "no custom check 'unheard_of' is configured"),
    ],
)
async def test_how_a_call_ends(look: Look, name: str, verdict: Verdict, detail: str) -> None:
    """Passed and failed are what the callable says; all else is no fault of the service."""
    outcome = await look(_custom(name), timeout_s=20.0, interval_s=60.0)
    assert (outcome.verdict, outcome.detail) == (verdict, detail)


async def test_a_worker_is_bounded(look: Look) -> None:
    """Soft and hard: no dumps of memory, 1 GiB of it, 256 descriptors."""
    outcome = await look(_custom("bounds"), timeout_s=20.0, interval_s=60.0)
    assert outcome.detail == f"(0, 0) {(1 << 30, 1 << 30)} (256, 256)"


async def test_what_a_callable_is_told_and_what_it_can_see(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that the policy let through, and none of the registry's environment."""
    monkeypatch.setenv("ORION_REGISTRY_SECRET", "x")
    outcome = await look(CustomProbe(name="telling", host="good.example", port=81), timeout_s=20.0, interval_s=60.0)
    head, _, environment = outcome.detail.partition("[")[2].partition("] True ")
    assert outcome.detail.startswith("good.example 81 ['127.0.0.1']")
    assert head == "'127.0.0.1'"
    assert "'PATH'" in environment
    assert "ORION" not in environment
    assert "PYTHON" not in environment


async def test_the_policy_holds_for_custom_checks(look: Look) -> None:
    outcome = await look(CustomProbe(name="passing", host="169.254.169.254", port=80))
    assert (outcome.verdict, outcome.detail) == (Verdict.DENIED, "169.254.169.254 is a cloud metadata address")


async def test_a_call_that_blocks_is_ended_with_all_that_it_started(
    look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run = asyncio.ensure_future(look(_custom("forking"), timeout_s=2.0))
    child = await _written(tmp_path / "child")
    assert _state(child) not in ("", "Z")
    assert (await run).verdict is U
    await _gone(child)


async def test_a_time_out_is_unavailable_and_others_wait_no_longer_than_their_own(look: Look) -> None:
    await look(_custom("blocking"), timeout_s=3.0)  # started by now
    began = time.perf_counter()
    outcome = await look(_custom("blocking"), timeout_s=0.3)
    assert outcome.verdict is U
    assert time.perf_counter() - began < 0.8
    outcomes = await asyncio.gather(*(look(_custom("slow"), timeout_s=5.0) for _ in range(4)))
    assert {outcome.verdict for outcome in outcomes} == {P}  # one after another
    outcomes = await asyncio.gather(*(look(_custom("slow"), timeout_s=0.5) for _ in range(8)))
    assert {outcome.verdict for outcome in outcomes} == {P, U}
    assert {outcome.detail for outcome in outcomes if outcome.verdict is U} == {
        "the custom check did not answer in 0.5 s"
    }


async def test_a_worker_is_kept_between_calls_and_replaced_after_many(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_module, "CALLS", 3)
    said = [(await look(_custom("counting"), timeout_s=20.0, interval_s=60.0)).detail.split() for _ in range(7)]
    assert [int(calls) for _, calls in said] == [1, 2, 3, 1, 2, 3, 1]
    assert len({pid for pid, _ in said}) == 3
    await _gone(int(said[0][0]))


async def test_after_crashes_in_a_row_it_rests_and_then_is_tried_again(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(custom_module, "REST_S", 0.4)

    async def call(port: int) -> Outcome:
        return await look(_custom("by_port", port), timeout_s=20.0, interval_s=60.0)

    for _ in range(CRASHES):
        assert (await call(9)).detail == "the custom check's process ended"
    began = time.perf_counter()
    resting = await call(1)
    assert resting.verdict is U
    assert resting.detail.startswith("the custom check rests for ")
    assert time.perf_counter() - began < 0.2  # at once
    await asyncio.sleep(0.45)
    assert (await call(1)).verdict is P
    assert (await call(9)).verdict is U
    assert (await call(1)).verdict is P  # one crash after a success is no row


async def test_a_worker_that_died_between_two_runs_is_replaced(look: Look) -> None:
    first = await look(_custom("counting"), timeout_s=20.0, interval_s=60.0)
    os.kill(int(first.detail.split()[0]), signal.SIGKILL)
    await _gone(int(first.detail.split()[0]))
    await asyncio.sleep(0.05)  # the loop collects it
    second = await look(_custom("counting"), timeout_s=20.0, interval_s=60.0)
    assert second.verdict is F
    assert second.detail.split()[0] != first.detail.split()[0]


async def test_time_outs_do_not_rest_a_check_that_others_need(look: Look) -> None:
    """How long a call may take is each agent's choice."""
    for _ in range(CRASHES + 1):
        assert (await look(_custom("blocking"), timeout_s=0.3, interval_s=60.0)).verdict is U
    outcome = await look(_custom("blocking"), timeout_s=0.3, interval_s=60.0)
    assert "rests" not in outcome.detail


def test_the_example_of_the_documentation_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    names: dict[str, Any] = {}
    (example,) = [part for part in page.split("```python")[1:] if "def speaks_redis" in part]
    exec(example.split("```")[0], names)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = {"addresses": ["127.0.0.1"], "port": server.getsockname()[1], "timeout_s": 2.0}

        def serve(answer: bytes) -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(64) == b"PING\r\n"
                connection.sendall(answer)

        for answer, passes in ((b"+PONG\r\n", True), (b"-NOAUTH\r\n", False)):
            server_side = threading.Thread(target=serve, args=(answer,))
            server_side.start()
            if passes:
                names["speaks_redis"](target)
            else:
                with pytest.raises(CheckFailed, match="it does not answer PING"):
                    names["speaks_redis"](target)
            server_side.join()
    with pytest.raises(CheckFailed, match="no connection: ConnectionRefusedError"):
        names["speaks_redis"](target)


def test_rests_grow_up_to_a_minute() -> None:
    breaker = Breaker()
    rests = []
    for _ in range(12):
        breaker.crashed(100.0)
        rests.append(breaker.rest_s(100.0))
    assert rests == [0, 0, 1, 2, 4, 8, 16, 32, REST_MOST_S, 60, 60, 60]
    breaker.worked()
    assert breaker.rest_s(100.0) == 0


@pytest.mark.parametrize(
    "value", ["tests.probes.callables:nothing", "no.such.module:x", "tests.probes.callables:NAMES"]
)
async def test_what_cannot_be_loaded_is_unavailable(value: str) -> None:
    prober = Prober(ProbeConfig(custom={"c": value}), lookup=lookup)
    outcome = await prober.run(
        CheckSpec(name="c", probes=(CustomProbe(name="c", host="127.0.0.1"),), timeout_s=20.0, interval_s=60.0), ""
    )
    assert outcome.verdict is U
    assert outcome.detail.startswith("the custom check cannot be loaded: ")
    await prober.close()


async def test_workers_end_with_the_prober() -> None:
    prober = Prober(ProbeConfig(custom=CUSTOM), lookup=lookup)
    check = CheckSpec(name="c", probes=(_custom("counting"),), timeout_s=20.0, interval_s=60.0)
    pid = int((await prober.run(check, "")).detail.split()[0])
    await prober.close()
    await _gone(pid)


async def test_workers_end_with_a_registry_that_is_killed(tmp_path: Path) -> None:
    """Even in the midst of a call."""
    script = tmp_path / "registry.py"
    script.write_text(
        "import asyncio\n"
        "from tests.probes.conftest import CUSTOM, lookup\n"
        "from orion_registry.core.checks.spec import *\n"
        "from orion_registry.probes.prober import *\n"
        "async def main():\n"
        "    prober = Prober(ProbeConfig(custom=CUSTOM), lookup=lookup)\n"
        "    probe = CustomProbe(name='lasting', host='127.0.0.1', port=1)\n"
        "    await prober.run(CheckSpec(name='c', probes=(probe,), timeout_s=20.0, interval_s=60.0), '')\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)},
    )
    pid = await _written(tmp_path / "worker")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await _gone(pid)


async def _written(file: Path) -> int:
    """The number that a process writes, once it is there."""
    until = time.perf_counter() + 10
    while time.perf_counter() < until:
        if text := _text(file):
            return int(text)
        await asyncio.sleep(0.02)
    raise AssertionError(f"{file} was not written")


async def _gone(pid: int) -> None:
    """Waits until a process has ended (or waits to be collected by whoever adopted it)."""
    until = time.perf_counter() + 5
    while time.perf_counter() < until:
        if _state(pid) in ("", "Z"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def _state(pid: int) -> str:
    return _text(Path(f"/proc/{pid}/stat")).rpartition(")")[2].strip()[:1]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):  # a process may end while its file is read
        return ""
