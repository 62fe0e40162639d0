"""store/snapshot: what is written is read back; anything else is refused, and nothing comes out of it."""

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orion_registry.core import limits
from orion_registry.core.facts import Stored
from orion_registry.core.metadata import canonical_metadata
from orion_registry.core.model import LivenessMode, Record, ServiceSpec
from orion_registry.core.overlay import Overlay, OverlayMode
from orion_registry.errors import InvalidArgument, Reason, RegistryError, ResourceExhausted
from orion_registry.store.snapshot import CHUNK_BYTES, LIMIT_BYTES, LINE_BYTES, SnapshotReader, write_snapshot
from tests.building import make_record, make_spec

WALL = 1_795_431_600.0
HASHES = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}
ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=20)  # printable
labels = st.lists(texts.filter(lambda text: bool(text) and text == text.strip()), max_size=4, unique=True).map(tuple)
hashes = st.text("0123456789abcdef", min_size=64, max_size=64)
scalars = st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
metadata = st.dictionaries(st.text(max_size=9), scalars | st.lists(scalars, max_size=2), max_size=3)
walls = st.floats(0, 4e9)


@st.composite
def records(draw: st.DrawFn) -> Record:
    metadata_json, top = canonical_metadata(draw(metadata))
    spec = ServiceSpec(
        namespace=draw(ids),
        service_id=draw(ids),
        agent_id=draw(ids),
        service_name=draw(ids),
        port=draw(st.integers(0, limits.PORT)),
        version=draw(texts),
        capabilities=draw(labels),
        tags=draw(labels),
        metadata_json=metadata_json,
        metadata_scalars=top,
        weight=draw(st.floats(0.001, limits.WEIGHT)),
        liveness=draw(st.sampled_from((LivenessMode.STREAM, LivenessMode.TTL, LivenessMode.STATIC))),
        retention_s=draw(st.none() | st.floats(0, 1_000)),
    )
    return Record(
        spec=spec,
        secret_hash=draw(hashes),
        identity=draw(texts),
        generation=draw(st.integers(1, limits.COUNTER)),
        used_epoch=draw(st.integers(0, 999)),
        registered_wall=draw(walls),
        request_id=draw(texts),
        payload_hash=draw(hashes),
    )


storeds = st.builds(
    Stored,
    records=st.lists(records(), max_size=5, unique_by=lambda record: record.service_id).map(tuple),
    epochs_below=st.integers(1_000, limits.COUNTER),
    overlays=st.lists(
        st.builds(
            Overlay,
            namespace=ids,
            agent_id=ids,
            service_name=ids,
            service_id=ids,
            mode=st.sampled_from((OverlayMode.MAINTENANCE, OverlayMode.DRAIN)),
            weight=st.none() | st.floats(0.001, limits.WEIGHT),
            note=texts,
            set_by=texts,
            set_wall=walls,
        ),
        max_size=3,
        unique_by=lambda overlay: overlay.key,
    ).map(tuple),
)
OVERLAY = Overlay(
    namespace="default", agent_id="a", service_name="n", service_id="s", mode=OverlayMode.DRAIN, deadline_s=9.0
)


def some(count: int = 3, **fields: Any) -> Stored:
    made = (make_record(make_spec(f"agent-{n}", service_id=f"s{n}", **fields), **HASHES) for n in range(count))
    return Stored(records=tuple(made), epochs_below=1_048_577)


def file_of(stored: Stored) -> bytes:
    return b"".join(write_snapshot(stored, WALL))


def read(pieces: Iterable[bytes], **options: Any) -> Stored:
    reader = SnapshotReader(**options)
    for piece in pieces:
        reader.feed(piece)
    return reader.finish()


def refused(data: bytes) -> str:
    """The message with which it is refused."""
    with pytest.raises(InvalidArgument) as caught:
        read([data])
    assert caught.value.reason is Reason.BAD_FIELD
    assert caught.value.message.startswith("snapshot line ")
    return caught.value.message


def sealed(*lines: bytes) -> bytes:
    """A file of these lines, with an end line that fits."""
    body = b"".join(line + b"\n" for line in lines)
    end = {"end": True, "services": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")).encode() + b"\n"


def header(**changes: Any) -> bytes:
    plain = {
        "format": "orion-registry-snapshot",
        "version": 1,
        "created": "2026-11-23T11:00:00Z",
        "epochs_below": 1_000,
        "services": 1,
    }
    return json.dumps({**plain, **changes}, separators=(",", ":")).encode()


def record_line(**changes: Any) -> bytes:
    """A record's line; `spec_NAME` changes a field of its spec."""
    plain = json.loads(file_of(some(1)).split(b"\n")[1])
    for name, value in changes.items():
        where, _, field = name.partition("spec_")
        (plain["spec"] if field and not where else plain)[field or name] = value
    return json.dumps(plain).encode()


# The form.


def test_the_form() -> None:
    first, line, last, rest = file_of(some(1)).split(b"\n")
    assert rest == b""
    assert json.loads(first) == {
        "format": "orion-registry-snapshot",
        "version": 1,
        "created": "2026-11-23T11:00:00Z",
        "epochs_below": 1_048_577,
        "services": 1,
    }
    record = json.loads(line)
    assert (record["spec"]["agent_id"], record["secret_hash"]) == ("agent-0", "a" * 64)
    sha256 = hashlib.sha256(first + b"\n" + line + b"\n").hexdigest()
    assert json.loads(last) == {"end": True, "services": 1, "sha256": sha256}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(storeds, st.randoms(use_true_random=False))
def test_round_trip_however_it_is_cut(stored: Stored, draw: random.Random) -> None:
    data = file_of(stored)
    cuts = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert read(pieces) == stored
    assert read(data[n : n + 1] for n in range(len(data))) == stored


def test_pieces_are_small_and_the_reader_counts() -> None:
    stored = some(2_000, metadata_json='{"a":"' + "x" * 500 + '"}', metadata_scalars={"a": "x" * 500})
    pieces = list(write_snapshot(stored, WALL))
    assert len(pieces) > 30
    assert max(map(len, pieces)) < CHUNK_BYTES + LINE_BYTES
    reader = SnapshotReader()
    for piece in pieces:
        reader.feed(piece)
    assert (reader.services, reader.size) == (2_000, sum(map(len, pieces)))
    assert reader.header is not None
    assert (reader.header.created, reader.header.services) == ("2026-11-23T11:00:00Z", 2_000)
    assert reader.finish() == stored


def test_a_record_at_all_its_limits_fits_into_a_line() -> None:
    wide = tuple(chr(0x20000 + n) * limits.LABEL for n in range(limits.LABELS))
    text, top = canonical_metadata({"k": '"' * (limits.METADATA_BYTES // 2 - 8)})
    spec = make_spec(
        "a" * 128,
        "n" * 128,
        service_id="s" * 128,
        capabilities=wide,
        tags=wide,
        metadata_json=text,
        metadata_scalars=top,
    )
    stored = Stored(records=(make_record(spec, identity="\U00020000" * limits.URL, **HASHES),), epochs_below=5)
    data = file_of(stored)
    assert max(map(len, data.split(b"\n"))) < LINE_BYTES / 1.5
    assert read([data]) == stored


def test_no_secret_is_in_it() -> None:
    stored = some(1)
    assert b"secret" in file_of(stored)
    assert set(json.loads(record_line())) == {
        "spec", "secret_hash", "identity", "generation", "used_epoch", "registered_wall", "request_id", "payload_hash",
        "address",
    }  # fmt: skip


def test_without_overlays_it_is_what_older_registries_read() -> None:
    assert json.loads(file_of(some(1)).splitlines()[0])["version"] == 1


def test_the_form_with_overlays() -> None:
    first, _, line, last = file_of(replace(some(1), overlays=(OVERLAY,))).splitlines()
    assert (json.loads(first)["version"], json.loads(first)["overlays"], json.loads(last)["overlays"]) == (2, 1, 1)
    assert json.loads(line) == {
        "overlay": {
            "namespace": "default",
            "agent_id": "a",
            "service_name": "n",
            "service_id": "s",
            "mode": 2,
            "weight": None,
            "deadline_s": 9.0,
            "note": "",
            "set_by": "",
            "set_wall": 0.0,
        }
    }


def overlay_line(**changes: Any) -> bytes:
    plain = json.loads(file_of(replace(some(0), overlays=(OVERLAY,))).splitlines()[1])
    plain["overlay"].update(changes)
    return json.dumps(plain).encode()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (overlay_line(agent_id=""), "overlay.agent_id"),
        (overlay_line(agent_id=5), "agent_id is int"),
        (overlay_line(mode=9), "not an overlay"),
        (overlay_line(weight=0), "weight: must be above 0"),
        (overlay_line(weight="1"), "weight is str"),
        (overlay_line(weight=float("nan")), "weight"),
        (overlay_line(new=1), "not an overlay"),
        (b'{"overlay":{}}', "not an overlay"),
        (b'{"overlay":null}', "not an overlay"),
        (b'{"overlay":null,"x":1}', "not an overlay alone"),
        (b'{"overlay":', "not JSON"),
    ],
)
def test_what_no_registry_sets_is_refused_though_the_sum_is_right(line: bytes, says: str) -> None:
    assert says in refused(sealed(header(version=2, services=0, overlays=1), line))


def test_an_overlay_in_an_old_file_or_twice_is_refused() -> None:
    assert "not a record" in refused(sealed(header(), overlay_line()))
    twice = sealed(header(version=2, services=0, overlays=2), overlay_line(), overlay_line())
    assert "one for each service" in refused(twice)


# Damage.


def test_every_flipped_byte_is_refused() -> None:
    data = bytearray(file_of(replace(some(1), overlays=(OVERLAY,))))
    for place in range(len(data)):
        kept = data[place]
        for flip in (0x01, 0x20, 0x80, 0xFF):
            data[place] = kept ^ flip
            refused(bytes(data))
        data[place] = kept


def test_every_beginning_is_refused() -> None:
    data = file_of(some(2))
    for size in range(len(data)):
        message = refused(data[:size])
        assert "cut off" in message or "empty" in message


def test_every_byte_too_many_is_refused() -> None:
    data = file_of(some(2))
    for extra in (b"\n", b" ", b"x", b"{}\n", data):
        assert "after the end line" in refused(data + extra)
    for place in range(len(data)):
        refused(data[:place] + data[place : place + 1] + data[place:])


@settings(max_examples=50)
@given(st.permutations(range(5)))
def test_every_other_order_of_lines_is_refused(order: list[int]) -> None:
    lines = file_of(some(3)).splitlines(keepends=True)
    data = b"".join(lines[n] for n in order)
    if order == sorted(order):
        assert read([data]) == some(3)
    else:
        refused(data)


def test_a_missing_or_doubled_record_is_refused() -> None:
    first, one, two, last = file_of(some(2)).splitlines(keepends=True)
    assert "1 services were read, the header says 2" in refused(first + one + last)
    assert "one record alone" in refused(first + one + one + last)
    assert "3 services" in refused(first + one + two + file_of(some(3)).splitlines(keepends=True)[3] + last)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_refused(data: bytes) -> None:
    refused(data)
    refused(header() + b"\n" + data)
    refused(sealed(header(), data))


@given(st.sampled_from(sorted(json.loads(record_line())["spec"]) + sorted(json.loads(record_line()))), st.data())
def test_any_value_in_any_field_is_read_or_refused(field: str, data: st.DataObject) -> None:
    value = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        )
    )
    plain = json.loads(record_line())
    (plain["spec"] if field in plain["spec"] else plain)[field] = value
    text = sealed(header(), json.dumps(plain).encode())
    try:
        stored = read([text])
    except InvalidArgument:
        assert refused(text).startswith("snapshot line 2: ")
    else:
        assert read([file_of(stored)]) == stored


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (record_line(spec_port="80"), "spec.port is str"),
        (record_line(spec_port=True), "spec.port is bool"),
        (record_line(spec_tags=[1]), "spec.tags is tuple"),
        (record_line(spec_port=70_000), "service.port: must be 0 to 65,535"),
        (record_line(spec_liveness=3), "service.checks: must be set"),
        (record_line(spec_metadata_json='{"a":"\\ud800"}'), "surrogates not allowed"),
        (record_line(spec_metadata_json='{"a":NaN}'), "finite"),
        (record_line(spec_namespace="\ud800"), "service.namespace"),
        (record_line(used_epoch=1_000), "used_epoch: must be below epochs_below"),
        (record_line(secret_hash="x"), "secret_hash: must be SHA-256"),
        (record_line(new_field=1), "new_field"),
        (record_line(spec_new_field=1), "new_field"),
        (b"[" * 100_000, "not a record"),
        (b"{}", "not a record"),
        (b"null", "not a record"),
        (b'{"spec":null}', "not a record"),
        (b"\xff", "codec"),
        (b"x" * (LINE_BYTES + 1), "longer than 262144 bytes"),
    ],
)
def test_what_no_registry_stores_is_refused_though_the_sum_is_right(line: bytes, says: str) -> None:
    message = refused(sealed(header(), line))
    assert says in message
    assert message.startswith("snapshot line 2: ")
    assert len(message) < 400


@pytest.mark.parametrize(
    ("first", "says"),
    [
        (header(version=3), "version 3, this registry reads up to 2: it needs a newer one"),
        (header(version=3, new="x"), "needs a newer one"),
        (header(version=2), "must hold format, version, created, epochs_below, services, overlays"),
        (header(version=2, overlays=-1), "out of range"),
        (header(version=2, overlays=1), "0 overlays were read, the header says 1"),
        (header(overlays=0), "nothing else"),
        (header(version=0), "version 1"),
        (header(version=True), "nothing else"),
        (header(new="x"), "nothing else"),
        (header(format="tar"), "not a snapshot"),
        (header(created="yesterday"), "created"),
        (header(created=5), "created"),
        (header(epochs_below=0), "epochs_below: must be 1 to"),
        (header(epochs_below=2**53 + 1), "epochs_below: must be 1 to"),
        (header(epochs_below=1.0), "nothing else"),
        (header(services=-1), "out of range"),
        (header(services=2), "the header says 2"),
        (b"[]", "not a snapshot"),
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\x89PNG\r", "not JSON"),
    ],
)
def test_a_wrong_first_line_is_refused(first: bytes, says: str) -> None:
    assert says in refused(sealed(first, record_line()))


def test_a_line_without_end_is_not_kept() -> None:
    reader = SnapshotReader()
    for _ in range(4):
        reader.feed(b"x" * 64 * 1024)
    with pytest.raises(InvalidArgument, match="line 1: the line is longer"):
        reader.feed(b"x")


def test_too_large() -> None:
    data = file_of(some(3))
    assert read([data], limit=len(data)) == some(3)
    with pytest.raises(ResourceExhausted) as caught:
        read([data], limit=len(data) - 1)
    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.retry_after_s is None
    reader = SnapshotReader()
    with pytest.raises(RegistryError, match=f"more than {LIMIT_BYTES} bytes"):
        reader.feed(bytes(LIMIT_BYTES + 1))
    assert read([data], limit=None) == some(3)


def test_what_looks_like_a_secret_is_masked_unless_it_is_asked_for_and_a_mask_is_never_taken_for_a_value() -> None:
    metadata_json, scalars = canonical_metadata({"api_key": "k-1", "model": "m"})
    spec = make_spec(service_id="s", metadata_json=metadata_json, metadata_scalars=scalars)
    record = make_record(spec, **HASHES)
    stored = Stored(records=(record,), epochs_below=10)
    masked, whole = (b"".join(write_snapshot(stored, WALL, with_secrets=asked)) for asked in (False, True))
    assert (b"k-1" in masked, b"***" in masked) == (False, True)
    reader = SnapshotReader()
    reader.feed(masked)
    (back,) = reader.finish().records
    assert (reader.masked, back.spec.metadata_json) == (1, '{"model":"m"}')
    reader = SnapshotReader()
    reader.feed(whole)
    assert (reader.finish().records, reader.masked) == ((record,), 0)
