"""Runs: probes in turn, retries, time-outs, and what can never happen to their caller."""

import asyncio
import time
from ipaddress import ip_network

import pytest

from orion_registry.core.checks.spec import CheckSpec, HttpProbe, ProbeKind, TcpProbe
from orion_registry.core.checks.verdict import DETAIL, Outcome, Verdict
from orion_registry.errors import InvalidArgument
from orion_registry.probes import CheckFailed
from orion_registry.probes import prober as prober_module
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes import targets
from tests.probes.conftest import lookup


async def test_fallbacks_are_tried_in_turn_and_the_first_that_passes_decides(prober: Prober) -> None:
    with targets.listener() as port:
        gone = HttpProbe(host="127.0.0.1", port=targets.refusing())
        denied = TcpProbe(host="10.0.0.1", port=1)
        there = TcpProbe(host="127.0.0.1", port=port)
        outcome = await prober.run(CheckSpec(name="c", probes=(gone, denied, there, gone), retries=2), "")
        assert (outcome.verdict, outcome.kind, outcome.attempts) == (Verdict.PASSED, ProbeKind.TCP, 3 + 1 + 1)
        outcome = await prober.run(CheckSpec(name="c", probes=(gone, denied), retries=2), "")
        assert (outcome.verdict, outcome.kind, outcome.attempts) == (Verdict.FAILED, ProbeKind.HTTP, 3 + 1)
        outcome = await prober.run(CheckSpec(name="c", probes=(denied,), retries=2), "")
        assert (outcome.verdict, outcome.kind, outcome.attempts) == (Verdict.DENIED, ProbeKind.TCP, 1)


async def test_a_retry_may_mend_it(prober: Prober) -> None:
    async with targets.http(targets.raw(b"")) as target:
        outcome = await prober.run(
            CheckSpec(name="c", probes=(HttpProbe(host="127.0.0.1", port=target.port),), retries=3), ""
        )
        assert (outcome.verdict, outcome.attempts, target.seen.connections) == (Verdict.FAILED, 4, 4)


async def test_where_the_agent_connects_from_decides() -> None:
    with targets.listener() as port:
        check = CheckSpec(name="c", probes=(TcpProbe(host="127.0.0.1", port=port),))
        prober = Prober(ProbeConfig())
        assert (await prober.run(check, "127.0.0.1")).verdict is Verdict.PASSED
        assert (await prober.run(check, "::1")).verdict is Verdict.PASSED
        assert (await prober.run(check, "10.0.0.1")).verdict is Verdict.DENIED
        listing = Prober(ProbeConfig(allow=(ip_network("127.0.0.1/32"),)))
        assert (await listing.run(check, "10.0.0.1")).verdict is Verdict.PASSED


async def test_a_stall_of_the_registry_is_no_fault_of_the_target(prober: Prober) -> None:
    """The loop stood still beyond the time-out: the answer may be waiting to be read."""
    async with targets.http(targets.hang) as target:
        check = CheckSpec(name="c", probes=(HttpProbe(host="127.0.0.1", port=target.port),), timeout_s=0.3)
        run = asyncio.ensure_future(prober.run(check, ""))
        await asyncio.sleep(0.1)
        time.sleep(0.6)  # noqa: ASYNC251 - the stall
        outcome = await run
        assert outcome.verdict is Verdict.UNAVAILABLE
        assert outcome.detail.startswith("the registry stood still for 0.")


async def test_a_defect_of_a_probe_marks_nobody(
    prober: Prober, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(prober_module, "probe_tcp", broken)
    outcome = await prober.run(CheckSpec(name="c", probes=(TcpProbe(host="127.0.0.1", port=1),)), "")
    assert (outcome.verdict, outcome.detail) == (Verdict.UNAVAILABLE, "the probe broke: ZeroDivisionError")
    assert "ZeroDivisionError" in caplog.text


async def test_cancelling_a_run_ends_it(prober: Prober) -> None:
    async with targets.http(targets.hang) as target:
        check = CheckSpec(name="c", probes=(HttpProbe(host="127.0.0.1", port=target.port),), timeout_s=5.0)
        run = asyncio.ensure_future(prober.run(check, ""))
        await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_many_at_once_do_not_wait_for_those_that_hang(prober: Prober) -> None:
    async with targets.http(targets.hang) as hanging, targets.http(targets.answer()) as good:

        async def run(port: int, timeout_s: float) -> Outcome:
            probe = HttpProbe(host="127.0.0.1", port=port)
            return await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=timeout_s), "")

        stuck = [asyncio.ensure_future(run(hanging.port, 5.0)) for _ in range(150)]
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        outcomes = await asyncio.gather(*(run(good.port, 5.0) for _ in range(50)))
        assert {outcome.verdict for outcome in outcomes} == {Verdict.PASSED}
        assert time.perf_counter() - began < 2
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)


async def test_details_are_bounded(prober: Prober, monkeypatch: pytest.MonkeyPatch) -> None:
    async def wordy(*_: object) -> None:
        raise CheckFailed("x" * 1000)

    monkeypatch.setattr(prober_module, "probe_tcp", wordy)
    outcome = await prober.run(CheckSpec(name="c", probes=(TcpProbe(host="127.0.0.1", port=1),)), "")
    assert outcome.detail == "x" * DETAIL


def test_a_bad_configuration_stops_the_start() -> None:
    for value in ("nothing", "a:b:c", "a.b", ":x", "a:", "os;x:y", "../x:y"):
        with pytest.raises(InvalidArgument, match=r"custom\.c: must be module:callable"):
            ProbeConfig(custom={"c": value})
    for file in ("/nowhere.pem", "/dev/null", __file__):
        with pytest.raises(InvalidArgument, match="ca_file: must be a readable PEM file"):
            Prober(ProbeConfig(ca_file=file))


async def test_no_name_is_looked_up_for_an_address() -> None:
    async def never(host: str) -> tuple[str, ...]:
        raise AssertionError(host)

    assert lookup is not never
    prober = Prober(ProbeConfig(), lookup=never)
    outcome = await prober.run(CheckSpec(name="c", probes=(TcpProbe(host="127.1", port=targets.refusing()),)), "")
    assert outcome.detail == "connection refused"
