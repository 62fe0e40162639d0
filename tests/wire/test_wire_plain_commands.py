"""What is taken apart by hand is what protobuf finds in it, or is left to protobuf."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core import limits
from orion_registry.core.selection.performance import Outcome
from orion_registry.wire.balancer import Origin, SelectDecoder, Wanted
from orion_registry.wire.packing import blob, number
from orion_registry.wire.plain_commands import KNOWN, PlainCommand, PlainCommands
from orion_registry.wire.spans import decode_span, span_of
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1.service_pb2 import Selector

ORIGIN = Origin(identity="caller", stream="r1")
SELECTS = [
    pb.SelectServiceRequest(selector=Selector(capabilities=["sum"])),
    pb.SelectServiceRequest(selector=Selector(service_name="sum", tags=[f"tag-{n}" for n in range(30)]), count=3),
    pb.SelectServiceRequest(),
]
OTHERS = [  # none of which is plain
    pb.RouteCommand(),
    pb.RouteCommand(id=7, cancel=pb.CancelWait(id=3)),
    pb.RouteCommand(id=7, renew=pb.RenewSelectionsRequest(selection_ids=["a"])),
    pb.RouteCommand(id=7, report=pb.ReportOutcomeRequest(service_id="a")),
    pb.RouteCommand(id=7, select=pb.SelectServiceRequest(selector=Selector(service_name="never asked"))),
    pb.RouteCommand(id=7, release=pb.ReleaseServiceRequest()),
    pb.RouteCommand(id=7, release=pb.ReleaseServiceRequest(selection_id="a", outcome=pb.CallOutcome.ValueType(99))),
    pb.RouteCommand(id=7, release=pb.ReleaseServiceRequest(selection_id="a" * 200)),
]

ids = st.integers(0, 300) | st.integers(0, 2**63 - 1)
seconds = st.none() | st.integers(0, 2**20).map(lambda milli: milli / 1024)
releases = st.builds(
    lambda name, outcome, time_s: pb.ReleaseServiceRequest(
        selection_id=name,
        outcome=pb.CallOutcome.ValueType(outcome),
        response_time=None if time_s is None else span_of(time_s),
    ),
    st.text(min_size=1, max_size=25),
    st.sampled_from(Outcome),
    seconds,
)
plain = st.builds(pb.RouteCommand, id=ids, release=releases) | st.builds(
    pb.RouteCommand, id=ids, select=st.sampled_from(SELECTS)
)


def reader() -> tuple[PlainCommands, dict[int, bytes]]:
    """One that has seen the selects, and the bytes that each stands for, by identity."""
    commands, decode, stands_for = PlainCommands(), SelectDecoder(), {}
    for select in SELECTS:
        wanted = decode(select, ORIGIN)
        commands.learn(select.SerializeToString(), wanted)
        stands_for[id(wanted)] = select.SerializeToString()
    return commands, stands_for


READER, STANDS_FOR = reader()


def message_of(found: Sequence[PlainCommand]) -> pb.RouteRequest:
    """The message that says the same."""
    request = pb.RouteRequest()
    for command_id, wanted, selection_id, outcome, time_s in found:
        command = request.commands.add(id=command_id)
        if wanted is not None:
            command.select.ParseFromString(STANDS_FOR[id(wanted)])
        else:
            command.release.selection_id = selection_id
            command.release.outcome = pb.CallOutcome.ValueType(outcome)
            if time_s is not None:
                command.release.response_time.CopyFrom(span_of(time_s))
    return request


def agree(data: bytes) -> bool:
    """Whether it was read by hand; then protobuf must read the same, unknown fields and all."""
    found = READER.read(data)
    if found:
        parsed = pb.RouteRequest.FromString(data)
        for command in parsed.commands:  # spans are floats here
            if command.release.HasField("response_time"):
                command.release.response_time.CopyFrom(span_of(decode_span("", command.release.response_time)))
        expected = message_of(found).SerializeToString(deterministic=True)
        assert parsed.SerializeToString(deterministic=True) == expected
    return bool(found)


@given(st.lists(plain, min_size=1, max_size=6))
def test_plain_messages_are_read_by_hand(commands: list[pb.RouteCommand]) -> None:
    assert agree(pb.RouteRequest(commands=commands).SerializeToString())


@pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
def test_a_message_with_another_command_is_left_to_protobuf(other: pb.RouteCommand) -> None:
    known = pb.RouteCommand(select=SELECTS[0])
    assert agree(pb.RouteRequest(commands=[known]).SerializeToString())
    assert not agree(pb.RouteRequest(commands=[known, other]).SerializeToString())
    assert not agree(pb.RouteRequest(commands=[other, known]).SerializeToString())


def test_what_protobuf_would_merge_or_pass_over_is_left_to_it() -> None:
    select, one = SELECTS[0].SerializeToString(), pb.ReleaseServiceRequest(selection_id="a").SerializeToString()
    assert agree(blob(1, blob(2, select)) + blob(1, blob(3, one)))
    for command in (
        blob(2, select) * 2,  # merged: the capability twice
        blob(2, select) + blob(3, one),  # the last one of a oneof counts
        blob(2, select) + number(1, 5),
        number(1, 5) * 2 + blob(2, select),
        number(1, 5) + blob(2, select) + number(15, 1),
        blob(3, one + one),
        blob(3, one + number(9, 1)),
        blob(3, number(2, 1) + one),
        b"\x1a\x83\x00" + one,  # a length that is longer than it need be
        number(1, 2**64 - 1) + blob(2, select),
    ):
        assert not agree(blob(1, command))
    assert not agree(blob(1, blob(2, select)) + blob(2, b""))  # a hello
    assert not agree(b"")
    assert not agree(blob(1, blob(2, select)) * (limits.COMMANDS + 1))


def test_what_has_to_be_refused_is_left_to_protobuf() -> None:
    for release in (blob(1, b"\xff"), blob(1, b"\xed\xa0\x80"), blob(1, b"a") + blob(3, number(2, 2_000_000_000))):
        assert not agree(blob(1, blob(3, release)))
    known = blob(1, blob(2, SELECTS[0].SerializeToString()))
    assert not agree(known[:1] + bytes((known[1] + 1,)) + known[2:])  # it ends before it says
    assert not agree(blob(1, b"\x1a\x85\x0a\x83" + b"a" * 131))  # a length of two bytes, which looks like one and a tag
    with pytest.raises(DecodeError):
        pb.RouteRequest.FromString(blob(1, blob(3, blob(1, b"\xff"))))


@given(st.lists(plain, min_size=1, max_size=3), st.data())
def test_bytes_that_are_broken_in_any_way(commands: list[pb.RouteCommand], data: st.DataObject) -> None:
    """Cut, changed, doubled or run into each other: it is never read as anything but what protobuf reads."""
    sent = bytearray(pb.RouteRequest(commands=commands).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        place, other = (data.draw(st.integers(0, len(sent))) for _ in range(2))
        begin, end = sorted((place, other))
        match data.draw(st.integers(0, 3)):
            case 0:
                del sent[begin:end]
            case 1:
                sent[begin:begin] = sent[begin:end]
            case 2 if begin < len(sent):
                sent[begin] = data.draw(st.integers(0, 255) | st.sampled_from([0x0A, 0x08, 0x12, 0x1A, 0x10, 0x80]))
            case _:
                sent[begin:begin] = data.draw(st.binary(max_size=4))
    agree(bytes(sent))


def test_selects_that_wait_or_may_be_retries_are_never_plain() -> None:
    commands, decode = PlainCommands(), SelectDecoder()
    for fields in (
        {"wait_timeout": span_of(1.0)},
        {"request_id": "once"},
        {"selector": Selector(tags=["t" * 100] * 6)},
    ):
        select = pb.SelectServiceRequest(**fields)
        commands.learn(select.SerializeToString(), decode(select, ORIGIN))
        assert not commands.read(pb.RouteRequest(commands=[pb.RouteCommand(select=select)]).SerializeToString())


def test_few_selects_are_known_and_none_after_a_hello() -> None:
    commands, decode = PlainCommands(), SelectDecoder()
    messages = []
    for number_of in range(KNOWN + 1):
        select = pb.SelectServiceRequest(count=number_of + 1)
        messages.append(pb.RouteRequest(commands=[pb.RouteCommand(select=select)]).SerializeToString())
        commands.learn(select.SerializeToString(), decode(select, ORIGIN))
        assert commands.read(messages[-1])
    assert not commands.read(messages[0])
    commands.forget()
    assert not commands.read(messages[-1])


def test_a_known_select_is_what_it_was_decoded_to() -> None:
    """Of two streams that have said different things, each gets its own."""
    decode = SelectDecoder()
    select, wanted = SELECTS[0], []
    for origin in (ORIGIN, replace(ORIGIN, stream="r2", zone="here")):
        commands = PlainCommands()
        commands.learn(select.SerializeToString(), decode(select, origin))
        ((_, found, *_),) = commands.read(
            pb.RouteRequest(commands=[pb.RouteCommand(select=select)]).SerializeToString()
        )
        assert isinstance(found, Wanted)
        wanted.append(found.request)
    assert [one.zone for one in wanted] == ["", "here"]
    assert [one.stream for one in wanted] == ["r1", "r2"]
