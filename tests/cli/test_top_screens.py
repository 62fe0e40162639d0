"""Frames of top, and what keys make of them."""

from dataclasses import replace

import pytest

from orion_registry.cli.top.columns import age, bar
from orion_registry.cli.top.control import press
from orion_registry.cli.top.detail import spark
from orion_registry.cli.top.line import plain, width_of
from orion_registry.cli.top.row import Row, Sort, mark_of, style_of
from orion_registry.cli.top.screen import screen_of
from orion_registry.cli.top.state import Detail, State, View
from orion_registry.core.checks.active import CheckHealth, Result
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.checks.threshold import CheckState
from orion_registry.core.checks.verdict import Outcome, Verdict
from orion_registry.core.model import Load, ServiceStatus, StatusReasonCode
from orion_registry.core.overlay import OverlayMode, ServiceKey
from orion_registry.core.timeline import StatusEdge
from orion_registry.wire.balancer_reports import OpenLease, ServicePerformance
from orion_registry.wire.monitor import ServiceHealth
from orion_registry.wire.overlay import OverlayState
from tests.cli.top_building import NOW, change, fallen, late, service, shown, state_of


def rows_of(lines: list[str]) -> list[str]:
    """Agents in the table, from the top."""
    return [line.partition("/calc")[0] for line in lines if "/calc " in line and "HEALTHY" in line]


def many(count: int) -> State:
    return state_of(*(service(f"agent-{number:03}") for number in range(count)))


@pytest.mark.parametrize("size", [(40, 10), (80, 24), (120, 40), (200, 50), (321, 77)])
@pytest.mark.parametrize("view", list(View))
def test_a_frame_has_exactly_the_size_of_the_terminal(size: tuple[int, int], view: View) -> None:
    state = state_of(service(), fallen(), late(), service("日本語", zone="東京"))
    state.events.append(change("id-of-bob"))
    state.type("status:un")
    state.view = view
    state.detail = Detail(service_id="id-of-bob", name="bob/calc", row=state.fleet.rows["id-of-bob"])
    for lost in (None, NOW - 3.0):
        state.lost_since = lost
        lines = screen_of(state, *size, NOW)
        assert [sum(width_of(text) for text, _ in line) for line in lines] == [size[0]] * size[1]


def test_a_terminal_too_small_says_so() -> None:
    assert shown(state_of(), 30, 5)[0] == "30x5 is too small: at least 4…"


def test_columns_adapt_to_the_width() -> None:
    state = state_of(service())
    headers = [next(line for line in shown(state, width) if "STATUS" in line) for width in (60, 80, 120, 200)]
    assert [len(header.split()) for header in headers] == sorted(len(header.split()) for header in headers)
    assert {"SERVICE", "STATUS▼", "LOAD", "CAPABILITIES"} <= {*headers[1].split()}
    assert "ADDRESS" not in headers[1]
    assert {"BEAT", "ZONE", "VERSION", "TAGS", "ADDRESS", "WEIGHT"} <= {*headers[3].split()}


def test_a_row_tells_what_there_is_to_tell() -> None:
    state = state_of(service(weight=2.5, overlay_weight=0.5))
    state.fleet.take_loads([service(load=Load(in_flight=2), last_heartbeat=NOW - 7.0)], NOW)
    state.fleet.take_leases({"id-of-ada": 3})
    row = next(line for line in shown(state, 200) if "/calc " in line)
    cells = ("ada/calc", "● HEALTHY", "STREAM_OPEN", "1m", "3/4]", "7s", "eu-1", "1.2.0", "math.add, math.multiply",
             "gpu", "10.0.0.7:9000", "0.5!")  # fmt: skip
    assert all(cell in row for cell in cells)
    assert "slots [" in shown(state)[2]
    assert "3/4]" in shown(state)[2]
    state.fleet.put(fallen("ada"))
    assert "3/4]" in next(line for line in shown(state, 200) if "/calc " in line), "load stays known when it changes"


def test_status_has_a_form_as_well_as_a_colour() -> None:
    looks = {(mark_of(one), style_of(one)) for one in (service(), late(), fallen())}
    assert looks == {("●", "green"), ("◐", "yellow"), ("✗", "red bold")}
    ejected = service(ready=False, reason=StatusReasonCode.EJECTED)
    assert mark_of(ejected) == "◐"


def test_the_worst_goes_first_and_each_order_turns_round() -> None:
    state = state_of(service("ada"), late("cleo"), fallen("bob"), service("dan"))
    assert rows_of(shown(state)) == ["bob", "cleo", "ada", "dan"]
    press(state, "N")
    assert rows_of(shown(state)) == ["ada", "bob", "cleo", "dan"]
    press(state, "N")
    assert rows_of(shown(state)) == ["dan", "cleo", "bob", "ada"]
    state.fleet.take_leases({"id-of-dan": 1})
    press(state, "L")
    assert rows_of(shown(state))[0] == "dan"
    state.fleet.take_loads([service("cleo", last_heartbeat=NOW - 60), service("ada", last_heartbeat=NOW - 1)], NOW)
    press(state, "B")
    assert rows_of(shown(state)) == ["cleo", "ada", "bob", "dan"], "the longest silence first, who never spoke last"
    press(state, "o")
    assert (state.sort, state.reverse) == (Sort.SINCE, False)
    press(state, "R")
    assert state.reverse


def test_the_cursor_stays_with_its_service_and_with_the_top() -> None:
    state = many(100)
    shown(state)
    press(state, "down")
    assert state.chosen == "id-of-agent-001"
    state.fleet.put(fallen("agent-077"))
    shown(state)
    assert (state.chosen, state.cursor) == ("id-of-agent-001", 2)
    press(state, "end")
    assert "agent-099/calc" in "\n".join(shown(state))
    state.fleet.drop("id-of-agent-099")
    shown(state)
    assert state.chosen == "id-of-agent-098", "when its service has gone, who took its place"
    press(state, "home")
    assert state.chosen == ""
    press(state, "pagedown")
    assert state.index(state.rows()) == state.room - 1


def test_a_filter_is_typed() -> None:
    state = state_of(service("ada"), fallen("bob"))
    for key in ("/", *"status:unh"):
        assert press(state, key)
    assert rows_of(shown(state)) == ["bob"]
    assert "filter status:unh" in "\n".join(shown(state))
    assert "1 of 2" in "\n".join(shown(state))
    press(state, "q")
    assert state.typed == "status:unhq", "while typing q is a letter"
    assert "no service satisfies the filter" in "\n".join(shown(state))
    press(state, "ctrl-w")
    press(state, "escape")
    assert (state.typed, state.typing) == ("", False)
    state.type("colour:red")
    assert "colour is no word" in "\n".join(shown(state))


def test_keys_open_and_close_views_and_end_it() -> None:
    state = state_of(service("ada"), fallen("bob"))
    views = []
    for key in ("enter", "?", "escape", "escape", "E", "E", "?", "?"):
        assert press(state, key)
        views.append(state.view)
    assert views == [View.DETAIL, View.HELP, View.DETAIL, View.TABLE, View.EVENTS, View.TABLE, View.HELP, View.TABLE]
    assert state.detail is not None
    assert state.detail.service_id == "id-of-bob"
    assert not press(state, "q")
    state.typing = True
    assert not press(state, "gone"), "without its terminal nothing holds it"


def test_events_stand_below_the_table_if_there_is_room() -> None:
    state = state_of(service("ada"), fallen("bob"))
    state.events.append(change("id-of-bob"))
    told = "HEALTHY -> UNHEALTHY (DISCONNECTED)"
    assert told in "\n".join(shown(state, 120, 40))
    assert told not in "\n".join(shown(state, 80, 24))
    press(state, "e")
    assert told in "\n".join(shown(state, 80, 24))
    press(state, "e")
    assert told not in "\n".join(shown(state, 120, 40))


def test_a_lost_connection_cannot_be_missed_nor_its_return() -> None:
    state = state_of(service())
    state.lost_since = NOW - 12.0
    lost = shown(state)
    assert "CONNECTION LOST 12.0 s ago: what is shown is of 07:59:48Z; trying again" in lost[3]
    assert "reverse" in screen_of(state, 80, 24, NOW)[3][0][1]
    state.lost_since, state.back_at = None, NOW - 1.0
    assert "127.0.0.1:6746 is back" in shown(state)[3]
    assert not any("is back" in line for line in shown(state, now=NOW + 60.0))
    state.trouble["leases"] = "not allowed"
    assert "leases: not allowed" in shown(state, now=NOW + 60.0)[3]


def test_an_empty_registry_and_one_that_is_still_asked() -> None:
    assert "no service is registered here" in "\n".join(shown(state_of()))
    assert "asking the registry" in "\n".join(shown(State(address="x")))


def test_a_detail_tells_everything() -> None:
    one = fallen("bob", metadata={"a": "\x1b[2J"})
    state = state_of(one)
    detail = Detail(service_id=one.service_id, name="bob/calc", row=Row(one))
    state.detail, state.view = detail, View.DETAIL
    outcome = Outcome(verdict=Verdict.FAILED, kind=ProbeKind.TCP, detail="connection refused", latency_s=0.0004)
    passed = replace(outcome, verdict=Verdict.PASSED)
    results = tuple(Result(check="tcp", outcome=each, wall=NOW - 2.0) for each in (passed, outcome))
    check = CheckHealth(
        name="tcp", state=CheckState.FAILING, since_wall=NOW - 9.0, stale=False, passes=0, failures=1, interval_s=2.0,
        next_run_s=1.0, results=results,
    )  # fmt: skip
    edge = StatusEdge(
        service_id=one.service_id,
        wall=NOW - 90.0,
        status=ServiceStatus.UNHEALTHY,
        codes=(StatusReasonCode.DISCONNECTED,),
    )
    detail.health = ServiceHealth(
        service_id=one.service_id, status=one.status, reasons=one.reasons, ready=False, last_heartbeat=None,
        checks=(check,), timeline=(edge,), revision=7,
    )  # fmt: skip
    detail.performance = ServicePerformance(
        service_id=one.service_id, in_flight=2, leases=1, max_concurrency=4, weight=1.0, succeeded=3, failed=1,
        success_rate=0.75, average_s=0.25, min_s=0.1, max_s=0.5, p50_s=0.2, p95_s=0.4, ejected=True,
    )  # fmt: skip
    detail.leases = [
        OpenLease(selection_id="s", service_id="x", caller="web-1", age_s=61.0, left_s=20.0, on_stream=True)
    ]
    detail.latencies.extend([0.1, 0.2, 0.4])
    detail.overlay = OverlayState(
        key=ServiceKey(agent_id="bob", service_name="calc"), mode=OverlayMode.QUARANTINE, weight=None, deadline_s=None,
        left_s=None, note="wrong answers", set_by="ops", set_wall=NOW, registered=True, status=one.status,
        drained=False, leases_left=1, load=None,
    )  # fmt: skip
    text = "\n".join(shown(state, 100, 60))
    for told in (
        "✗ UNHEALTHY  not ready", "DISCONNECTED  for 1 min 30 s", "doctor bob/calc", "QUARANTINE by ops: wrong answers",
        "math.add, math.multiply", "2 taken of 4", "4, 75% succeeded", "EJECTED", "p95 400.0 ms",
        spark([0.1, 0.2, 0.4], 9),
        "tcp             FAILING       9s  ●✗", "FAILED 0.4 ms  connection refused", "web-1", "UNHEALTHY  DISCONNECTED",
    ):  # fmt: skip
        assert told in text, told
    assert "\x1b" not in text
    assert "CHANGED" in "\n".join(shown(state, 80, 24)), "what changes goes first"
    assert "service_id" not in "\n".join(shown(state, 80, 24))
    press(state, "end")
    assert "service_id" in "\n".join(shown(state, 80, 24))
    state.fleet.drop(one.service_id)
    press(state, "home")
    assert "GONE" in "\n".join(shown(state, 100, 60))


def test_only_rows_on_the_screen_are_drawn() -> None:
    state = many(5_000)
    lines = shown(state, 80, 24)
    assert lines[-1].endswith("1-18 of 5,000")
    assert sum("/calc " in line for line in lines) == 18


def test_small_parts() -> None:
    assert [age(seconds) for seconds in (-1.0, 59.9, 60.0, 7_200.0, 200_000.0)] == ["0s", "59s", "1m", "2h", "2d"]
    assert plain(bar(3, 4, 12)) == "[|||||||3/4]"
    assert plain(bar(0, 4, 12)) == "[       0/4]"
    assert bar(4, 4, 12)[1][1] == "red"
    assert plain(bar(3, 0, 8)) == "      3"
    assert spark([0.0, 1.0, 2.0], 2) == "▅█"
    assert spark([], 5) == ""
