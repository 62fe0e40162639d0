"""wire/events, server_info: what the daemon says of events and of itself arrives as it was meant."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core import events as core
from orion_registry.core.checks.verdict import Verdict
from orion_registry.core.events import EVENT_CLASSES, EventFilter, EventType, LoggedEvent, RegistryEvent
from orion_registry.core.model import RemovalReason, ServiceStatus, StatusReasonCode
from orion_registry.core.overlay import OverlayMode
from orion_registry.errors import InvalidArgument
from orion_registry.runtime.events import EventPage
from orion_registry.wire.events import (
    decode_events,
    decode_filter,
    encode_event,
    encode_news,
    encode_page,
    encode_types,
)
from orion_registry.wire.server_info import HeldAlarm, MemberInfo, ServerInfo, decode_server_info, encode_server_info
from orion_registry.wire.status import MESSAGE_MAX
from orion_registry_pb.v1 import admin_pb2, events_pb2
from tests.wire.values import counts, ids, labels, spans, statuses, walls

codes = st.sampled_from(StatusReasonCode)
reasons = st.lists(codes, max_size=3).map(tuple)
about: dict[str, Any] = {"service_id": ids, "agent_id": ids, "namespace": ids}
STRATEGIES: dict[EventType, st.SearchStrategy[RegistryEvent]] = {
    EventType.SERVICE_REGISTERED: st.builds(
        core.ServiceRegistered, **about, service_name=ids, status=statuses, reasons=reasons
    ),
    EventType.SERVICE_UPDATED: st.builds(core.ServiceUpdated, **about, generation=st.integers(1, 2**63 - 1)),
    EventType.SERVICE_REMOVED: st.builds(
        core.ServiceRemoved, **about, status=statuses, removal=st.sampled_from(RemovalReason)
    ),
    EventType.STATUS_CHANGED: st.builds(
        core.StatusChanged, **about, before=statuses, after=statuses, reasons=reasons, ready=st.booleans()
    ),
    EventType.OVERLAY_SET: st.builds(
        core.OverlaySet,
        **about,
        mode=st.sampled_from(OverlayMode),
        weight=st.none() | st.floats(0.001, 1000),
        deadline_s=st.none() | spans,
        note=labels,
        set_by=labels,
    ),
    EventType.OVERLAY_CLEARED: st.builds(core.OverlayCleared, **about, cleared_by=labels),
    EventType.CHECK_NOT_RUN: st.builds(
        core.CheckNotRun, **about, check=ids, verdict=st.sampled_from(Verdict), detail=labels
    ),
    EventType.STALL_CREDITED: st.builds(core.StallCredited, lag_s=spans),
    EventType.ALARM_RAISED: st.builds(core.AlarmRaised, name=ids, text=labels),
    EventType.ALARM_CLEARED: st.builds(core.AlarmCleared, name=ids),
    EventType.HELLOS_REFUSED: st.builds(core.HellosRefused, count=counts),
    EventType.SNAPSHOT_IMPORTED: st.builds(core.SnapshotImported, added=counts, kept=counts),
    EventType.REGISTRY_STARTED: st.builds(core.RegistryStarted, services=counts),
    EventType.REGISTRY_STOPPING: st.builds(core.RegistryStopping),
}
numbers = st.integers(1, 2**63 - 1)


def plain(logged: LoggedEvent) -> tuple[int, float, RegistryEvent]:
    return logged.seq, logged.wall, logged.event


@pytest.mark.parametrize("kind", EventType)
def test_every_type_arrives_as_it_was_meant(kind: EventType) -> None:
    @given(numbers, walls, STRATEGIES[kind])
    def arrives(seq: int, wall: float, event: RegistryEvent) -> None:
        logged = LoggedEvent(seq, wall, event)
        (arrived,) = decode_events([events_pb2.Event.FromString(encode_event(logged))])
        assert plain(arrived) == plain(logged)

    arrives()


def test_the_wire_has_the_types_of_the_core() -> None:
    """The enum and the oneof, with the same numbers and the same order."""
    wire = {value.number: value.name for value in events_pb2.EventType.DESCRIPTOR.values}
    assert wire == {0: "EVENT_TYPE_UNSPECIFIED"} | {int(kind): f"EVENT_TYPE_{kind.name}" for kind in EventType}
    oneof = events_pb2.Event.DESCRIPTOR.oneofs_by_name["event"]
    assert [field.name.upper() for field in oneof.fields] == [kind.name for kind in EVENT_CLASSES]


def test_bytes_are_made_once() -> None:
    logged = LoggedEvent(1, 1.0, core.AlarmCleared(name="A"))
    assert encode_event(logged) is encode_event(logged)


def test_what_a_newer_registry_sends_is_left_out_or_read_as_far_as_known() -> None:
    unknown = events_pb2.Event.FromString(b"\x08\x07\xf2\x07\x00")  # seq 7, and field 126
    strange = events_pb2.Event(status_changed=events_pb2.StatusChanged(after=99, reasons=[99, 20]))  # type: ignore[arg-type, list-item]
    (known,) = decode_events([unknown, strange])
    assert isinstance(known.event, core.StatusChanged)
    assert known.event.after is ServiceStatus.UNKNOWN
    assert known.event.reasons == (StatusReasonCode.SILENT,)


def test_text_of_an_alarm_fits_into_a_message() -> None:
    """What a disk says may be anything: a file name that is no UTF-8, or very long."""
    logged = LoggedEvent(1, 1.0, core.AlarmRaised(name="STORE_DOWN", text="\udcff\n" + "x" * 1_000))
    (arrived,) = decode_events([events_pb2.Event.FromString(encode_event(logged))])
    assert isinstance(arrived.event, core.AlarmRaised)
    assert arrived.event.text.startswith("��x")
    assert len(arrived.event.text) == MESSAGE_MAX


PAGE = EventPage(
    events=(LoggedEvent(5, 1.0, core.RegistryStopping()), LoggedEvent(7, 2.0, core.AlarmCleared(name="A"))),
    after_seq=8,
    oldest_seq=2,
    last_seq=9,
)


def test_pages_and_news() -> None:
    listed = admin_pb2.ListEventsResponse.FromString(encode_page(PAGE, "life"))
    news = admin_pb2.WatchEventsResponse.FromString(encode_news(PAGE, "life"))
    assert (listed.oldest_seq, listed.last_seq) == (2, 9)
    for answer in (listed, news):
        assert (answer.after_seq, answer.history_id) == (8, "life")
        assert [event.seq for event in answer.events] == [5, 7]
    empty = EventPage(events=(), after_seq=0, oldest_seq=1, last_seq=0)
    bare = admin_pb2.ListEventsResponse(history_id="life", oldest_seq=1)
    assert admin_pb2.ListEventsResponse.FromString(encode_page(empty, "life")) == bare


# What is asked for.


@given(st.frozensets(st.sampled_from(EventType)), ids | st.just(""), ids | st.just(""), ids | st.just(""))
def test_filter(types: frozenset[EventType], service_id: str, agent_id: str, namespace: str) -> None:
    for request in (admin_pb2.ListEventsRequest, admin_pb2.WatchEventsRequest):
        asked: Any = {"service_id": service_id, "agent_id": agent_id, "namespace": namespace}
        sent = request(types=encode_types(types), **asked)
        assert decode_filter(sent) == EventFilter(types=types, **asked)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"types": [1, 0]}, "types[1]: must be an EventType: 1 SERVICE_REGISTERED, "),
        ({"types": [99]}, "types[0]: must be an EventType"),
        ({"types": [1] * 33}, "types: must be at most 32 entries, got 33"),
        ({"service_id": "a b"}, "service_id: must be 1 to 128 of"),
        ({"agent_id": "-"}, "agent_id: must be 1 to 128 of"),
        ({"namespace": "a/b"}, "namespace: must be 1 to 128 of"),
    ],
)
def test_what_is_no_filter_is_refused(fields: Any, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        decode_filter(admin_pb2.ListEventsRequest(**fields))
    assert caught.value.message.startswith(words)


# How a registry is.

infos = st.builds(
    ServerInfo,
    version=labels,
    started_wall=walls,
    uptime_s=spans,
    history_id=ids,
    revision=counts,
    event_seq=counts,
    serving=st.booleans(),
    listen_addresses=st.lists(labels, max_size=3).map(tuple),
    profile=labels,
    lag_s=spans,
    worst_lag_s=spans,
    stalls=counts,
    credited_s=spans,
    last_stall_s=spans,
    alarms=st.lists(st.builds(HeldAlarm, name=ids, text=labels, since_wall=walls), max_size=3).map(tuple),
    services=counts,
    by_status=st.dictionaries(statuses, counts),
    by_reason=st.dictionaries(codes, counts, max_size=5),
    agents=counts,
    streams=counts,
    watchers=counts,
    event_watchers=counts,
    refused_hellos=counts,
    store_kind=ids,
    store_trouble=labels,
    python_version=labels,
    grpcio_version=labels,
    refusals=st.dictionaries(ids, counts, max_size=3),
)


MEMBER = MemberInfo(
    name="m1",
    history_id="h",
    addresses=("a:1",),
    version="1",
    started_wall=1.0,
    answers=True,
    reachable=True,
    services=3,
    streams=2,
)


@given(infos)
def test_members_come_back_as_they_went_in(info: ServerInfo) -> None:
    silent = replace(MEMBER, name="m2", answers=False, reachable=False, streams=None)
    sent = replace(info, member_name="m1", stale_for_s=1.5, members=(MEMBER, silent))
    back = decode_server_info(admin_pb2.GetServerInfoResponse.FromString(encode_server_info(sent)))
    assert (back.member_name, back.stale_for_s, back.members) == ("m1", 1.5, (MEMBER, silent))


@given(infos)
def test_server_info(info: ServerInfo) -> None:
    sent = encode_server_info(info)
    assert decode_server_info(admin_pb2.GetServerInfoResponse.FromString(sent)) == info


@given(infos)
def test_no_field_of_the_answer_is_forgotten(info: ServerInfo) -> None:
    """Every field of the message is filled from one that is not empty."""
    full = replace(
        info, alarms=(HeldAlarm(name="A", text="t", since_wall=1.0),), by_status={ServiceStatus.HEALTHY: 1},
        by_reason={StatusReasonCode.STATIC: 1}, listen_addresses=("a",), serving=True, revision=1, event_seq=1,
        services=1, agents=1, streams=1, watchers=1, event_watchers=1, refused_hellos=1, audit_head_seq=1,
        audit_head_hash="a", audit_lost=1,
        refusals={"READ_RATE": 1}, member_name="m1", stale_for_s=1.5, members=(MEMBER,),
    )  # fmt: skip
    message = admin_pb2.GetServerInfoResponse.FromString(encode_server_info(full))
    assert {field.name for field, _ in message.ListFields()} == set(message.DESCRIPTOR.fields_by_name)
