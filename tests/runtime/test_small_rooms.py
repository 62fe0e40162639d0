"""runtime/reaper, ticker, journal, entropy, clock."""

import asyncio
import logging

import pytest

from orion_registry.core.commands import Remove
from orion_registry.core.events import (
    LoggedEvent,
    OverlayCleared,
    OverlaySet,
    RegistryEvent,
    RegistryStarted,
    ServiceRegistered,
    ServiceRemoved,
    ServiceUpdated,
    StatusChanged,
)
from orion_registry.core.model import RemovalReason, ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.overlay import OverlayMode
from orion_registry.core.patience import TICK_S
from orion_registry.errors import NotFound, Reason
from orion_registry.runtime.clock import SystemClock
from orion_registry.runtime.entropy import SystemEntropy
from orion_registry.runtime.journal import LINES, Journal
from orion_registry.runtime.reaper import AT_ONCE, Reaper
from orion_registry.runtime.ticker import Ticker
from tests.runtime.virtual import in_virtual_time, passing, settle


def removals(count: int) -> list[Remove]:
    return [Remove(service_id=f"s{number}", reason=RemovalReason.EXPIRED) for number in range(count)]


# Reaper.


@in_virtual_time
async def test_the_reaper_removes_a_bounded_number_at_a_time() -> None:
    gate, begun, done = asyncio.Event(), [], []

    async def remove(removal: Remove) -> None:
        begun.append(removal.service_id)
        await gate.wait()
        done.append(removal.service_id)

    reaper = Reaper(remove)
    reaper.add(removals(AT_ONCE * 2 + 5))
    await settle()
    assert len(begun) == AT_ONCE
    gate.set()
    await settle()
    assert len(done) == len(set(done)) == AT_ONCE * 2 + 5
    reaper.add([])
    reaper.add(removals(1))
    await settle()
    assert len(done) == AT_ONCE * 2 + 6


@in_virtual_time
async def test_the_reaper_takes_no_memory_for_what_is_asked_again() -> None:
    """A slow store: the core asks again every 5 s for all that is not removed yet."""
    gate = asyncio.Event()

    async def remove(removal: Remove) -> None:
        await gate.wait()

    reaper = Reaper(remove)
    for _ in range(100):
        reaper.add(removals(1_000))
        await settle()
    assert len(reaper._due) <= 1_000
    reaper.stop()
    gate.set()
    await settle()
    assert not reaper._due


@in_virtual_time
async def test_a_failed_removal_is_logged_and_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    done = []

    async def remove(removal: Remove) -> None:
        if removal.service_id == "s0":
            raise NotFound(Reason.NO_SUCH_SERVICE, "gone")
        done.append(removal.service_id)

    Reaper(remove).add(removals(3))
    await settle()
    assert done == ["s1", "s2"]
    assert "removal failed, will try again" in caplog.text


# Ticker.


@in_virtual_time
async def test_the_ticker_ticks_until_stopped_whatever_a_tick_does(caplog: pytest.LogCaptureFixture) -> None:
    ticks = []

    def tick() -> None:
        ticks.append(asyncio.get_running_loop().time())
        if len(ticks) == 2:
            raise ZeroDivisionError

    ticker = Ticker(tick)
    await ticker.stop()  # before the start: nothing to do
    ticker.start()
    await passing(TICK_S * 5.5)
    assert len(ticks) == 5
    assert "tick failed" in caplog.text
    await ticker.stop()
    await passing(1)
    assert len(ticks) == 5


# Journal.


def changed(service_id: str, before: ServiceStatus, after: ServiceStatus) -> StatusChanged:
    return StatusChanged(
        service_id=service_id,
        agent_id="a",
        namespace="n",
        before=before,
        after=after,
        reasons=(Code.SILENT,),
        ready=False,
    )


def logged(*events: RegistryEvent) -> list[LoggedEvent]:
    return [LoggedEvent(seq, 1.0, event) for seq, event in enumerate(events, 1)]


def test_the_journal_tells_comings_goings_and_changes_of_status(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    caplog.set_level(logging.INFO)
    healthy, unhealthy = ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY
    updated = ServiceUpdated(service_id="s", agent_id="a", namespace="n", generation=2)
    journal.take(logged(changed("s", healthy, healthy), updated, RegistryStarted(services=1)))
    journal.flush()
    assert not caplog.records
    registered = ServiceRegistered(
        service_id="s", agent_id="a", namespace="n", service_name="c", status=healthy, reasons=(Code.STATIC,)
    )
    removed = ServiceRemoved(service_id="s", agent_id="a", namespace="n", status=healthy, removal=RemovalReason.EXPIRED)
    journal.take(logged(registered, changed("s", healthy, unhealthy), removed))
    journal.flush()
    journal.flush()
    lines = [line.__dict__ for line in caplog.records]
    assert [(line["event"], line["was"], line["status"], line["reason"]) for line in lines] == [
        (1, "UNREGISTERED", "HEALTHY", "STATIC"),
        (2, "HEALTHY", "UNHEALTHY", "SILENT"),
        (3, "HEALTHY", "REMOVED", "EXPIRED"),
    ]
    assert {line["service_id"] for line in lines} == {"s"}


def test_a_mass_event_is_summed_up(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal()
    caplog.set_level(logging.INFO)
    gone = [changed(f"s{number}", ServiceStatus.HEALTHY, ServiceStatus.UNHEALTHY) for number in range(5_000)]
    back = changed("s", ServiceStatus.UNHEALTHY, ServiceStatus.HEALTHY)
    journal.take(logged(*gone, back))
    journal.flush()
    assert len(caplog.records) == LINES + 1
    last = caplog.records[-1].__dict__
    assert last["events"] == 5_001 - LINES
    assert last["by_kind"] == {
        "was=HEALTHY status=UNHEALTHY reason=SILENT": 5_000 - LINES,
        "was=UNHEALTHY status=HEALTHY reason=SILENT": 1,
    }


def test_the_journal_tells_what_operators_set(caplog: pytest.LogCaptureFixture) -> None:
    """Each alone, and in a sum by what was set, not by for whom."""
    journal = Journal()
    caplog.set_level(logging.INFO)

    def drained(number: int) -> OverlaySet:
        about = {"service_id": f"s{number}", "agent_id": "a", "namespace": "n"}
        return OverlaySet(**about, mode=OverlayMode.DRAIN, weight=0.5, deadline_s=3.0, note="why", set_by="olga")

    cleared = OverlayCleared(service_id="s", agent_id="a", namespace="n", cleared_by="olga")
    journal.take(logged(cleared, *map(drained, range(LINES + 4)), cleared))
    journal.flush()
    lines = [line.__dict__ for line in caplog.records]
    assert [(line["overlay"], line["by"]) for line in lines[:2]] == [("CLEARED", "olga"), ("DRAIN", "olga")]
    assert (lines[1]["service_id"], lines[1]["weight"], lines[1]["note"]) == ("s0", "0.5", "why")
    assert lines[-1]["by_kind"] == {"overlay=DRAIN weight=0.5 note=why by=olga": 5, "overlay=CLEARED by=olga": 1}


# Entropy and clock.


def test_secrets_and_history_ids_never_repeat_unless_asked_to() -> None:
    entropy, other = SystemEntropy(), SystemEntropy()
    assert len({entropy.history_id() for _ in range(100)}) == 100
    assert len({entropy.secret("s", "") for _ in range(100)}) == 100
    assert len(entropy.secret("s", "")) == len(entropy.secret("s", "r")) == 64
    assert entropy.secret("s", "r") == entropy.secret("s", "r")
    assert (
        len({entropy.secret("s", "r"), entropy.secret("s", "q"), entropy.secret("t", "r"), other.secret("s", "r")}) == 4
    )


def test_the_system_clock_goes_forward() -> None:
    first, second = SystemClock().now(), SystemClock().now()
    assert second.mono >= first.mono
    assert first.wall > 1.7e9
