"""tests/simulator: a short run is clean, a seed replays exactly, and broken rules are caught."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest

from tests.simulator import network
from tests.simulator.__main__ import main
from tests.simulator.breaks import BREAKS, HUNT, hunt, named
from tests.simulator.settings import Settings
from tests.simulator.world import World

SHORT = Settings(agents=60, hours=0.25, faults=10.0, check_every=500)


def test_a_short_run_with_every_kind_of_agents_fault_is_clean() -> None:
    outcome = World(SHORT, 1).run()
    assert outcome.broken is None, "\n".join([str(outcome.broken), *outcome.told])
    assert outcome.faults.total() > 30
    assert outcome.detections
    assert outcome.checks > 5


def test_a_seed_replays_exactly_and_another_one_does_not() -> None:
    settings = replace(SHORT, hours=0.1)
    first, again, other = (World(settings, seed).run() for seed in (3, 3, 4))
    assert (first.event_sum, first.steps, first.edges) == (again.event_sum, again.steps, again.edges)
    assert first.event_sum != other.event_sum


def test_a_broken_rule_is_caught() -> None:
    (rule,) = named("stalls are not credited")
    outcome = hunt(rule)
    assert outcome is not None
    assert outcome.broken is not None
    assert outcome.told


@pytest.mark.long  # a step of .ci/run does it
@pytest.mark.timeout(600)
def test_every_broken_rule_is_caught() -> None:
    assert [one.name for one in BREAKS if hunt(one) is None] == []


@pytest.mark.parametrize("interval_s", [1.0, 5.0])
def test_lost_segments_delay_as_they_were_measured_to(interval_s: float) -> None:
    """At 10 % loss a beat waits longer than 0.2, 0.6, 1.4 s in 10, 1, 0.1 % of the cases: each loss doubles."""
    net = network.Network(random.Random(1), 0.1)
    late = [net.lost_s() for _ in range(100_000)]
    for losses, share in ((1, 0.1), (2, 0.01), (3, 0.001)):
        found = sum(one > network.resent(losses) - 0.001 for one in late) / len(late)
        assert found == pytest.approx(share, rel=0.25)
    passage = net.passage(0.0, interval_s, int(interval_s / network.PING_CYCLE_S))
    assert passage.due >= interval_s


def test_cuts_end_connections_only_if_they_outlast_ping() -> None:
    short = network.through_cut(heard=0.0, sent=1.0, begin=0.5, end=1.0)
    assert short.ends == math.inf
    assert short.opens >= 1.0
    assert network.through_cut(heard=0.0, sent=1.0, begin=0.5, end=9.0).ends == pytest.approx(2.7)
    assert network.through_cut(heard=0.0, sent=5.0, begin=4.9, end=math.inf).ends < 4.9 + 2.8


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints a table, writes JSON, exits 0 when clean, and refuses nonsense."""
    file = tmp_path / "out.json"
    assert main(["--agents", "20", "--hours", "2", "--faults", "kill,cut", "--json", str(file)]) == 0
    assert "false deaths: none" in capsys.readouterr().out
    assert json.loads(file.read_text())["runs"][0]["broken"] is None
    for nonsense in (["--faults", "moon"], ["--loss", "2"], ["--seeds", "9..1"], ["--break", "no such rule"]):
        with pytest.raises(SystemExit) as stop:
            main(nonsense)
        assert stop.value.code == 2


def test_a_broken_rule_ends_the_command_line_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    (rule,) = named("SILENT is ready")
    with rule.breaks():
        assert main(["--agents", "40", "--hours", "10", "--faults", "block"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN (c)" in out
    assert "seed 1" in out
    assert HUNT.agents == 40
