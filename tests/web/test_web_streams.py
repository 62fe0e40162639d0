"""Server-sent events: what changes, as it changes; bounded memory, and an end."""

import asyncio
import socket

import aiohttp
import pytest

from orion_registry import LivenessMode, ServiceSpec
from orion_registry.web import streams
from tests.web.site import eventually, running_site


async def test_a_watch_begins_with_what_is_there_and_goes_on_with_what_changes() -> None:
    async with running_site() as site:
        first = await site.add("calc-1", tags=("red",))
        await site.add("other-1", service_name="other")
        async with site.stream("/api/v1/watch?service_name=calc") as stream:
            added, bookmark = await stream.until("bookmark")
            assert (added.name, added.data["type"]) == ("added", "WATCH_EVENT_TYPE_ADDED")
            assert added.data["service"]["service_id"] == first
            assert added.id == "", "whoever is cut off before the bookmark begins again"
            history_id = site.daemon.coordinator.registry.history_id
            assert bookmark.id == f"{history_id}:{site.daemon.coordinator.registry.revision}"
            spec = ServiceSpec(agent_id="calc-2", service_name="calc", liveness=LivenessMode.STATIC)
            registered = await site.client.register(spec)
            change = await stream.next()
            assert (change.name, change.data["service"]["agent_id"]) == ("added", "calc-2")
            assert change.data["service"]["ready"] is True
            await site.client.unregister(registered.ref)
            gone = await stream.next()
            assert (gone.name, gone.data["removal"]) == ("removed", "REMOVAL_REASON_UNREGISTERED")
            assert gone.id == f"{history_id}:{site.daemon.coordinator.registry.revision}"


async def test_a_watch_goes_on_where_it_broke() -> None:
    async with running_site() as site:
        await site.add("calc-1")
        async with site.stream("/api/v1/watch") as stream:
            last = (await stream.until("bookmark"))[-1].id
        second = await site.add("calc-2")
        async with site.stream("/api/v1/watch", Last_Event_ID=last) as stream:
            events = await stream.until("bookmark")
            assert [event.data["service"]["service_id"] for event in events[:-1]] == [second]


async def test_a_watch_of_another_life_begins_anew_and_says_so() -> None:
    async with running_site() as site:
        first = await site.add("calc-1")
        async with site.stream("/api/v1/watch", Last_Event_ID="another:7") as stream:
            resync, added, _ = await stream.until("bookmark")
            assert resync.name == "resync"
            assert added.data["service"]["service_id"] == first
        _, metrics = await site.text("/metrics")
        assert "orion_watch_resyncs_total 1.0" in metrics


@pytest.mark.parametrize("last", ["7", "x:", "x:y", ":7", "x:-1"])
async def test_an_id_that_is_none_is_refused(last: str) -> None:
    async with running_site() as site:
        for path in ("/api/v1/watch", "/api/v1/watch/events"):
            status, told = await site.get(path, Last_Event_ID=last)
            assert status == 400
            assert "Last-Event-ID" in told["message"]


async def test_events_are_told_with_their_names_and_numbers() -> None:
    async with running_site() as site:
        async with site.stream("/api/v1/watch/events") as stream:
            started = await stream.next()
            assert (started.name, started.data["seq"]) == ("registry_started", "1")
            service_id = await site.add("calc-1")
            registered = await stream.next()
            assert registered.name == "service_registered"
            assert registered.data["service_registered"]["service_id"] == service_id
            last = registered.id
        await site.add("calc-2")
        async with site.stream("/api/v1/watch/events", Last_Event_ID=last) as stream:
            assert (await stream.next()).data["service_registered"]["agent_id"] == "calc-2"
        async with site.stream("/api/v1/watch/events?types=alarm_raised") as stream:
            bookmark = await stream.next()
            assert (bookmark.name, bookmark.data["after_seq"]) == ("bookmark", "3")


async def test_lost_events_are_told_as_lost() -> None:
    async with running_site() as site, site.stream("/api/v1/watch/events", Last_Event_ID="another:7") as stream:
        resync, first = await stream.next(), await stream.next()
        assert resync.name == "resync"
        assert "is not this registry's" in resync.data["message"]
        assert first.data["seq"] == "1"


async def test_a_quiet_stream_says_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BREATH_S", 0.05)
    async with running_site() as site, site.stream("/api/v1/watch") as stream:
        await stream.until("bookmark")
        assert (await stream.next(comments=True)).comment == "alive"
        assert (await stream.next(comments=True)).comment == "alive"


async def test_streams_end_when_the_registry_stops() -> None:
    async with (
        running_site() as site,
        site.stream("/api/v1/watch") as services,
        site.stream("/api/v1/watch/events") as events,
    ):
        await services.until("bookmark")
        await events.next()
        stopping = asyncio.ensure_future(site.daemon.stop())
        async with asyncio.timeout(10.0):
            await services.response.content.read()
            rest = await events.response.content.read()
            await stopping
        assert b"registry_stopping" in rest


async def test_only_so_many_streams_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STREAMS_MOST", 2)
    async with running_site() as site:
        async with site.stream("/api/v1/watch") as one, site.stream("/api/v1/watch/events"):
            await one.until("bookmark")
            status, told = await site.get("/api/v1/watch")
            assert (status, told["code"], told["retry_after"]) == (429, "RESOURCE_EXHAUSTED", 5.0)
        await eventually(lambda: not site.daemon.coordinator.watchers)
        async with site.stream("/api/v1/watch") as again:
            await again.until("bookmark")


async def test_a_reader_that_takes_nothing_is_cut_and_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "STALLED_S", 0.3)
    async with running_site() as site:
        tags = tuple(f"{'x' * 120}{number}" for number in range(60))
        for number in range(900):  # 7 MB: more than sockets hold
            await site.add(f"calc-{number}", tags=tags)
        host, _, port = site.base.removeprefix("http://").rpartition(":")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.connect((host, int(port)))
            deaf.sendall(f"GET /api/v1/watch HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            await eventually(lambda: site.daemon.coordinator.watchers == 1)
            began = asyncio.get_running_loop().time()
            assert (await site.get("/api/v1/info"))[0] == 200
            await eventually(lambda: site.daemon.coordinator.watchers == 0)
            assert asyncio.get_running_loop().time() - began >= 0.25
        assert "orion_watch_cuts_total 1.0" in (await site.text("/metrics"))[1]


async def test_a_reader_that_goes_leaves_nothing_behind() -> None:
    async with running_site() as site:
        async with aiohttp.ClientSession() as session, session.get(site.base + "/api/v1/watch") as response:
            await response.content.readuntil(b"\n\n")
            assert site.daemon.coordinator.watchers == 1
        await eventually(lambda: not site.daemon.coordinator.watchers)
