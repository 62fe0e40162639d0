"""The runner itself: what is written is compared to the letter, and what cannot be understood is told with its line."""

import sys
from pathlib import Path

import pytest

from tests.scenarios.__main__ import main
from tests.scenarios.commands import COMMANDS
from tests.scenarios.run import differences, run
from tests.scenarios.script import BadScript, parse
from tests.scenarios.tables import folded, span
from tests.scenarios.timing import Timing
from tests.scenarios.words import BadWords, names_in, span_ms


def printed(commands: str) -> list[str]:
    """What commands print."""
    return run(parse(f"{commands}\n----\n", "story.txt")).text.partition("----\n")[2].splitlines()


# The file.


def test_a_script_keeps_its_prose_commands_and_output() -> None:
    text = "# A title\n\nProse of\ntwo lines.\n\nwait 1s\nshow\n----\nno services\n"
    script = parse(text, "story.txt")
    assert script.text == text
    assert differences(script, run(script)) == ""


@pytest.mark.parametrize("output", ["", "no services at all", "no services\nno services"])
def test_any_other_output_is_a_difference(output: str) -> None:
    script = parse(f"show\n----\n{output}\n", "story.txt")
    told = differences(script, run(script))
    assert "+no services" in told or "-no services" in told


def test_a_forgotten_rule_is_told_with_its_line() -> None:
    script = parse("Prose.\n\nwait 1s\n", "story.txt")
    assert "story.txt:3: no ---- after the commands" in differences(script, run(script))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Only prose.\n", "story.txt:1: no commands"),
        ("wait 1s\n----\n\n----\nno services\n", "story.txt:4: no command before ----"),
        ("wait 1s\nfly\n----\n", "story.txt:2: 'fly' is none of registry, register, "),
        ("wait 1s\nregistry views=3\n----\n", "story.txt:2: registry may only be the first command in "),
        ("registry colour=red\n----\n", "story.txt:1: not understood: colour=red in 'registry colour=red'"),
        ("registry profile=moon\n----\n", "profile: must be one of "),
        ("registry beats-missed=1\n----\n", "beats_missed: must be 2 to 100, got 1"),
        ("registry beat-budget=many\n----\n", "not a number: 'many'"),
        ("wait\n----\n", "story.txt:1: span is missing in 'wait'"),
        ("wait 3\n----\n", "not a span of time such as 1.5s: '3'"),
        ("wait 0.1ms\n----\n", "finer than a millisecond: '0.1ms'"),
        ("wait 1s quietly\n----\n", "not understood: quietly in 'wait 1s quietly'"),
        ("register calc colour=red\n----\n", "not understood: colour=red"),
        ("register calc liveness=prayer\n----\n", "'prayer' is none of stream, ttl, check, static"),
        ("register calc secret=mine\n----\n", "secret may be other, or not be there"),
        ("register calc tags=a tags=b\n----\n", "tags is given twice, or has no value"),
        ("register calc-1..fly-2\n----\n", "not a range such as calc-1..calc-4: 'calc-1..fly-2'"),
        ("register a,a\n----\n", "names twice, or none: 'a,a'"),
        ("hello calc\n----\n", "no agent 'calc'"),
        ("register calc\nhello calc epoch=new\n----\n", "story.txt:2: not an epoch: 'new'"),
        ("register calc\nhello calc over\n----\n", "nothing after 'over'"),
        ("register calc\nbeat calc\n----\n", "calc has no open stream"),
        ("register calc\nkill calc#2\n----\n", "calc#2 has no open stream"),
        ("register calc\nhello calc\nkill calc#x\n----\n", "not the number of a stream: 'calc#x'"),
        ("register calc liveness=ttl\nkill calc\n----\n", "calc has no open stream"),
        ("register calc\nunregister calc other\n----\n", "calc has no service 'other'"),
        ("wall 3s\n----\n", "a jump begins with + or -: '3s'"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, message: str) -> None:
    with pytest.raises(BadScript) as caught:
        run(parse(text, "story.txt"))
    assert message in str(caught.value)
    assert str(caught.value).startswith("story.txt:")


def test_a_crash_of_the_core_names_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "show", lambda _world, _words: [str(1 / 0)])
    with pytest.raises(ZeroDivisionError) as caught:
        run(parse("Prose.\n\nshow\n----\n", "story.txt"))
    assert caught.value.__notes__ == ["at story.txt:3: show"]


# The command line.


def run_main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["scenarios", *arguments])
    return main()


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "story.txt"
    file.write_text("Prose.\n\n\nshow\n----\nwrong\n")
    assert run_main(monkeypatch, str(file)) == 1
    out, err = capsys.readouterr()
    assert out == "Prose.\n\nshow\n----\nno services\n"
    assert "-wrong\n+no services" in err
    assert run_main(monkeypatch, "--rewrite", str(file)) == 0
    assert file.read_text() == out
    assert run_main(monkeypatch, str(file)) == 0
    file.write_text("fly\n----\n")
    assert run_main(monkeypatch, str(file)) == 2
    assert "story.txt:1: 'fly' is none of" in capsys.readouterr().err
    assert run_main(monkeypatch, "--commands") == 0
    first_words = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert first_words.issuperset(COMMANDS)


def test_every_command_says_its_form_and_its_meaning() -> None:
    for name, function in COMMANDS.items():
        form, empty, *meaning = (function.__doc__ or "").splitlines()
        assert form.split()[0] == name
        assert not empty
        assert meaning


# Words, time and tables.


def test_names_and_spans() -> None:
    assert names_in("a,calc-9..calc-11") == ["a", "calc-9", "calc-10", "calc-11"]
    assert [span_ms(text) for text in ("50ms", "1.5s", "2m", "1h")] == [50, 1_500, 120_000, 3_600_000]
    assert [span(seconds) for seconds in (0, 1.5, 95.05, 3_600.0000001)] == ["0s", "1.5s", "95.05s", "3600s"]
    with pytest.raises(BadWords):
        names_in("")


def test_neighbours_that_say_the_same_are_folded() -> None:
    rows = [("1s", "a-1.x"), ("1s", "a-2.x"), ("1s", "a-3.y"), ("2s", "a-4.y"), ("2s", "b-5.y"), ("2s", "b-7.y")]
    names = [name for _, name in folded(rows, 1)]
    assert names == ["a-1.x..a-2.x", "a-3.y", "a-4.y", "b-5.y", "b-7.y"]


def test_time_passes_in_ticks_and_what_was_planned_comes_first() -> None:
    seen: list[tuple[str, int]] = []
    timing = Timing(lambda: seen.append(("tick", timing.ms)))
    timing.at(150, lambda: seen.append(("plan", timing.ms)))
    timing.pass_until(200)
    assert seen == [("tick", 50), ("plan", 150), ("tick", 150)]
    assert timing.ms == 200
    assert timing.now.mono + 0.25 - timing.now.mono == 0.25


def test_after_a_stall_one_late_tick_comes_and_then_the_usual_ones() -> None:
    seen: list[tuple[str, int]] = []
    timing = Timing(lambda: seen.append(("tick", timing.ms)))
    timing.at(400, lambda: seen.append(("plan", timing.ms)))
    timing.at(6_000, lambda: seen.append(("later", timing.ms)))
    timing.stand_until(5_000)
    timing.catch_up()
    timing.tick_late()
    timing.pass_until(5_200)
    assert seen == [("plan", 5_000), ("tick", 5_000), ("tick", 5_050), ("tick", 5_150)]


# What agents do.


def test_agents_beat_by_themselves_as_often_as_they_are_told() -> None:
    lines = printed("registry beat-budget=1\nregister a,b\nhello a\nhello b\nbeats a\nwait 30s\nframes a")
    assert [line.split(":")[0] for line in lines] == ["#1  welcome", "#1  session a", "#1  ack 1", "#1  ack 11"]
    assert lines[2] == "#1  ack 1: beat every 2s, dead after 6s"


def test_beats_for_a_span_end_with_it() -> None:
    lines = printed("register calc\nhello calc\nbeats calc every 200ms for 2s\nwait 5s\nbeat calc\nframes calc")
    assert lines[-2:] == ["#1  ack 1: beat every 1s, dead after 3s", "#1  ack 11: beat every 1s, dead after 3s"]


def test_a_cut_link_ends_its_stream_by_ping_and_a_kill_at_once() -> None:
    lines = printed("register a,b\nhello a,b\nbeats a,b\nwait 1.5s\ncut a\nkill b\nwait 10s\nevents")
    ends = [line.split()[:2] for line in lines if "DISCONNECTED" in line]
    assert ends == [["1.5s", "b"], ["3.7s", "a"]]


def test_what_is_spread_over_a_span_takes_it() -> None:
    lines = printed("register a-1..a-4\nhello a-1..a-4 over 1s\nkill a-1..a-4 over 1s\nevents")
    assert [line.split()[0] for line in lines] == ["0s", "0s", "0.25s", "0.5s", "0.75s", "1s", "1.25s", "1.5s", "1.75s"]


def test_errors_are_printed_with_their_reason_and_whose_they_are() -> None:
    lines = printed("register calc-1,calc-2\nhello calc-1\nregister calc-1,calc-2 secret=other")
    assert len(lines) == 1
    assert lines[0].startswith("calc-1: error: AGENT_IN_USE a live session holds 'calc-1'")
    assert lines[0].endswith("(again after 1s)")
