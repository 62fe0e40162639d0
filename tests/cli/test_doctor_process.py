"""`orion-registry doctor`: what is wrong, in plain words; and the table that docs/not-selectable.md is made from."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orion_registry import BalancerClient, Outcome, RegistryClient, Selector, ServiceStatus, __version__
from orion_registry.cli.daemon_doctor import ALARMS, _of_selection, judge
from orion_registry.cli.findings import Verdict
from orion_registry.cli.main import cli
from orion_registry.cli.reasons import ADVICE, BEGIN, ELSE, END, insert, use_of
from orion_registry.cli.service_doctor import judge as judge_service
from orion_registry.core.model import StatusReason
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.selection.strategy import StrategyName, StrategyStats
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.core.status import TABLE, Use
from orion_registry.runtime.audit import AUDIT
from orion_registry.runtime.clustered import ETCD_LOST, MEMBER_REPLACED
from orion_registry.runtime.coordinator import MASS_HOLD, STORE_DOWN
from orion_registry.server.access import ACCESS, CERTIFICATE
from orion_registry.wire.balancer_reports import ServicePerformance
from orion_registry.wire.server_info import HeldAlarm, ServerInfo
from orion_registry.wire.service import Service
from tests.cli.running import done, failed, run
from tests.cli.test_services_process import WAITING, register, spec_of

PAGE = Path(__file__).parents[2] / "docs" / "not-selectable.md"


def looked(code: int, *arguments: str) -> dict[str, dict[str, str]]:
    """The findings of a run, by what was looked at."""
    ended = run("doctor", "--json", *arguments)
    assert (ended.returncode, ended.stderr) == (code, "")
    told = json.loads(ended.stdout)
    assert told["well"] is (code == 0)
    return {one["what"]: one for one in told["findings"]}


# With a daemon.


def test_a_registry_that_is_well(address: str) -> None:
    register(address, spec_of("calc-1"))
    found = looked(0, "--address", address)
    wells = ("reachable", "serving", "alarms", "services", "selection")
    assert {found[what]["verdict"] for what in wells} == {"OK"}
    assert found["store"]["verdict"] == "NOTE", "in memory only: a restart forgets"
    lines = done("doctor", "--address", address)
    assert lines[0].startswith(f"ok       reachable      {address} answers in ")


def test_a_registry_that_cannot_be_reached() -> None:
    found = looked(1, "--address", "127.0.0.1:1")
    assert found["reachable"]["verdict"] == "PROBLEM"
    assert "start it (orion-registry serve)" in found["reachable"]["told"]
    assert "address: must be" in failed(2, "doctor", "--address", "nowhere")


def test_why_a_service_is_not_selectable(address: str) -> None:
    """Every reason that holds, with a command that can be copied; and that it is, once it is."""
    at = ("--address", address)
    one, two = register(address, spec_of("calc-1", capabilities=("math.add",)), spec_of("calc-2", **WAITING))
    assert looked(0, "calc-1/calc", *at)["selectable"]["verdict"] == "OK"
    assert "capability math.add" in looked(0, one, *at)["found by"]["told"]
    waiting = looked(1, two, *at)
    assert waiting["selectable"]["told"] == f"no: calc-2/calc  {two}"
    assert "Open a heartbeat stream" in waiting["AWAITING_BEAT"]["todo"]
    done("quarantine", "calc-1/calc", "--note", "wrong answers", *at)
    set_by_operator = looked(1, "calc-1/calc", *at)
    assert set_by_operator["QUARANTINED"]["told"].endswith(": wrong answers")
    assert "`orion-registry clear calc-1/calc`" in set_by_operator["QUARANTINED"]["todo"]
    assert set_by_operator["STATIC"]["verdict"] == "OK"
    done("clear", "calc-1/calc", *at)
    done("weight", "calc-1/calc", "0.5", *at)
    assert looked(0, "calc-1/calc", *at)["weight"]["told"] == "an operator set 0.5, its own is 1"


def test_a_service_that_says_so_itself_and_one_whose_calls_fail(address: str) -> None:

    async def work() -> str:
        async with RegistryClient(address) as client, BalancerClient(address) as balancer:
            done = [
                await client.register(spec_of(agent, max_concurrency=1)) for agent in ("calc-1", "calc-2", "calc-3")
            ]
            await client.update_status(done[0].ref, ServiceStatus.STOPPING)
            for _ in range(5):
                await balancer.report(done[1].ref.service_id, Outcome.FAILED, 0.1)
            return done[1].ref.service_id

    asyncio.run(work())
    at = ("--address", address)
    assert looked(1, "calc-1/calc", *at)["SELF_REPORTED"]["verdict"] == "PROBLEM"
    ejected = looked(1, "calc-2/calc", *at)
    assert ejected["selectable"]["told"].startswith("no, but with allow_degraded: ")
    assert "orion-registry stats " in ejected["EJECTED"]["todo"]
    assert looked(0, *at)["selection"]["verdict"] == "NOTE"


def test_a_full_service(address: str) -> None:
    register(address, spec_of("calc-1", max_concurrency=1))

    async def work() -> "list[Any]":
        async with BalancerClient(address) as balancer, balancer.select(Selector(service_name="calc")):
            process = await asyncio.to_thread(looked, 1, "calc-1/calc", "--address", address)
        return [process]

    (found,) = asyncio.run(work())
    assert found["FULL"]["told"] == "All its slots are taken (`max_concurrency`). 1 of 1, 1 lease among them."


def test_a_service_that_is_not_there(address: str) -> None:
    """What became of it, if events know."""
    at = ("--address", address)
    (one, _) = register(address, spec_of("calc-1"), spec_of("calc-1", "other"))
    done("remove", one, *at)
    for whom in (one, "calc-1/calc"):
        told = looked(1, whom, *at)["registered"]["told"]
        assert re.fullmatch(f"not any more: REMOVED at 20.*Z, was HEALTHY; service_id {one}", told)
    assert "Does the agent use this address" in looked(1, "calc-7/calc", *at)["registered"]["todo"]
    assert "Does the agent use this address" in looked(1, "lab/calc-1/calc", *at)["registered"]["todo"]
    assert "Compare the terms" in looked(1, "tag=nope", *at)["registered"]["todo"]
    assert "WHOM: 'a/b/c/d' is no" in failed(2, "doctor", "a/b/c/d")


# What a registry says of itself, judged.

INFO = ServerInfo(
    version=__version__, started_wall=0.0, uptime_s=5.0, history_id="h", revision=1, event_seq=1, serving=True,
    listen_addresses=("127.0.0.1:6746", "unix:/x"), profile="lan", lag_s=0.0, worst_lag_s=0.0, stalls=0, credited_s=0.0,
    last_stall_s=0.0, alarms=(), services=1, by_status={ServiceStatus.HEALTHY: 1}, agents=1, streams=1, watchers=0,
    event_watchers=0, refused_hellos=0, store_kind="sqlite", store_trouble="", python_version="", grpcio_version="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict", "what"),
    [
        ({"serving": False}, Verdict.PROBLEM, "serving"),
        ({"alarms": (HeldAlarm(name="STORE_DOWN", text="full", since_wall=0.0),)}, Verdict.PROBLEM, "alarm"),
        ({"store_trouble": "disk full"}, Verdict.PROBLEM, "store"),
        ({"store_kind": "memory"}, Verdict.NOTE, "store"),
        ({"stalls": 2, "credited_s": 9.0}, Verdict.NOTE, "stalls"),
        ({"worst_lag_s": 0.3}, Verdict.NOTE, "stalls"),
        ({"refused_hellos": 7}, Verdict.NOTE, "admission"),
        ({"services": 0, "by_status": {}}, Verdict.NOTE, "services"),
        (
            {"services": 2, "by_status": {ServiceStatus.HEALTHY: 1, ServiceStatus.UNHEALTHY: 1}},
            Verdict.NOTE,
            "services",
        ),
        ({"listen_addresses": ("0.0.0.0:6746",)}, Verdict.NOTE, "settings"),
        ({"profile": "dev"}, Verdict.NOTE, "settings"),
        ({"profile": "wan"}, Verdict.NOTE, "settings"),
        ({"version": "9"}, Verdict.NOTE, "versions"),
    ],
)
def test_what_is_wrong_with_a_registry(
    change: dict[str, Any], verdict: Verdict, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ORION_PROFILE", raising=False)
    assert {one.verdict for one in judge(INFO, "x", 0.1)} == {Verdict.OK}
    bad = [one for one in judge(replace(INFO, **change), "x", 0.1) if one.verdict is not Verdict.OK]
    assert {(one.verdict, one.what) for one in bad} == {(verdict, what)}
    assert all(one.todo for one in bad), "each says what to do"


def test_a_slow_answer_and_a_strategy_that_failed() -> None:
    assert [one.what for one in judge(INFO, "x", 2.0) if one.verdict is Verdict.NOTE] == ["reachable"]
    failures = {StrategyName.RANDOM: StrategyStats(failures=1)}
    stats = BalancerStats(
        leases_open=0, leases_expired=0, waiting=3, ejected=0, pools=0, strategies=failures, scopes={}
    )  # fmt: skip
    assert [one.verdict for one in _of_selection(stats)] == [Verdict.NOTE, Verdict.PROBLEM]


def test_tls_is_not_called_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks over TLS knows that it is spoken."""
    exposed = replace(INFO, listen_addresses=("0.0.0.0:6746",))
    (plain,) = [one for one in judge(exposed, "x", 0.1) if one.what == "settings"]
    assert "in plaintext" in plain.told
    monkeypatch.setenv("ORION_CA_FILE", "ca.pem")
    (over_tls,) = [one for one in judge(exposed, "x", 0.1) if one.what == "settings"]
    assert over_tls.told.endswith("0.0.0.0:6746 is open to other machines, over TLS")


def test_every_alarm_has_advice() -> None:
    assert ALARMS.keys() == {ACCESS, AUDIT, CERTIFICATE, ETCD_LOST, MASS_HOLD, MEMBER_REPLACED, STORE_DOWN}


# The table.


def test_every_reason_is_in_the_table_and_leads_to_its_verdict() -> None:
    assert ADVICE.keys() == set(Code)
    calls = ServicePerformance(
        service_id="s", in_flight=0, leases=0, max_concurrency=0, weight=1.0, succeeded=0, failed=0, success_rate=1.0,
        average_s=None, min_s=None, max_s=None, p50_s=None, p95_s=None, ejected=False,
    )  # fmt: skip
    verdicts = {Use.TIER_0: Verdict.OK, Use.TIER_1: Verdict.NOTE}
    for code, advice in ADVICE.items():
        status = ServiceStatus.UNHEALTHY if code is Code.SELF_REPORTED else TABLE[code].status
        reasons = (StatusReason(code=code, since_wall=0.0),)
        service = Service(service_id="s", agent_id="a", service_name="n", status=status, reasons=reasons)
        first, second, *_ = judge_service(service, calls, None)
        expected = verdicts.get(use_of(code, status), Verdict.PROBLEM)
        assert (first.verdict, second.verdict, second.what) == (expected, expected, code.name)
        assert advice.means in second.told


def test_the_page_is_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert BEGIN in page
    assert END in page
    assert insert(page) == page, "run: python -m orion_registry.cli.reasons docs/not-selectable.md"
    for code, advice in ADVICE.items():
        row = f"| `{code.name}` | "
        assert (row in page) is (use_of(code, ServiceStatus.UNHEALTHY) is not Use.TIER_0)
        assert "|" not in advice.means + advice.todo


def test_the_commands_that_advice_names_exist() -> None:
    for advice in (*ADVICE.values(), *ELSE.values()):
        for command in re.findall(r"`orion-registry (\w+)", advice.means + advice.todo):
            assert command in cli.commands


def test_help_teaches() -> None:
    text = run("doctor", "--help").stdout
    assert "Examples:" in text
    assert "Exit codes:" in text
    assert max(map(len, text.splitlines())) <= 110
