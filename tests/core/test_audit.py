"""The audit chain: what is done to it is found, and named as what it is."""

import json
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orion_registry.core.audit import (
    AuditHead,
    AuditRecord,
    body_of,
    chained,
    hash_of_stored,
    line_of,
    record_of,
    record_of_line,
    sealed,
)
from orion_registry.core.audit_verification import Damage, Unreadable, verify
from tests.building import make_audit_entry

COUNT = 9


def chain(count: int = COUNT, target: str = "s") -> list[AuditRecord]:
    head, records = AuditHead(), list[AuditRecord]()
    for number in range(1, count + 1):
        text, after = sealed(head, make_audit_entry(f"{target}{number}"), "", "")
        records.append(record_of(text, head.hash, after.hash))
        head = after
    return records


CHAIN = chain()
HEAD = AuditHead(seq=COUNT, hash=CHAIN[-1].hash)


def test_a_whole_chain_is_proven_to_its_head() -> None:
    verdict = verify(CHAIN, head=HEAD)
    assert (verdict.records, verdict.first_seq, verdict.head, verdict.broken) == (COUNT, 1, HEAD, None)


def test_the_rest_of_a_trimmed_chain_is_proven_by_its_anchor() -> None:
    anchor = AuditHead(seq=3, hash=CHAIN[2].hash)
    assert verify(CHAIN[3:], anchor=anchor, head=HEAD).broken is None
    assert verify(CHAIN[3:]).broken is None
    assert verify([], anchor=HEAD, head=HEAD).broken is None
    other = replace(anchor, hash=CHAIN[1].hash)
    assert damage_of(CHAIN[3:], anchor=other) is Damage.EDITED
    assert damage_of(CHAIN[4:], anchor=anchor) is Damage.DELETED


def damage_of(records: Sequence[AuditRecord | Unreadable], **known: AuditHead) -> Damage | None:
    broken = verify(records, **known).broken
    return None if broken is None else broken.damage


def resealed(record: AuditRecord) -> AuditRecord:
    """An edited record by somebody who knows how hashes are made."""
    return replace(record, hash=chained(record.prev_hash, body_of(record)))


def with_one(number: int, edited: AuditRecord | Unreadable) -> list[AuditRecord | Unreadable]:
    return [*CHAIN[: number - 1], edited, *CHAIN[number:]]


@given(st.integers(1, COUNT), st.sampled_from(["target", "identity", "outcome", "before_hash", "wall", "count"]))
def test_an_edited_record_is_found_where_it_is(number: int, name: str) -> None:
    record = CHAIN[number - 1]
    value = getattr(record, name)
    change: dict[str, Any] = {name: "else" if isinstance(value, str) else value + 1}
    edited = replace(record, **change)
    verdict = verify(with_one(number, edited))
    assert verdict.broken is not None
    assert (verdict.broken.damage, verdict.broken.seq, verdict.records) == (Damage.EDITED, number, number - 1)
    if number < COUNT:
        assert damage_of(with_one(number, resealed(edited))) is Damage.EDITED
    else:  # the last one can be made anew: only a head that was kept elsewhere tells
        assert damage_of(with_one(number, resealed(edited))) is None
        assert damage_of(with_one(number, resealed(edited)), head=HEAD) is Damage.EDITED


@given(st.integers(1, COUNT - 1))
def test_an_edited_record_that_its_successor_was_made_to_follow_is_found_at_that(number: int) -> None:
    edited = resealed(replace(CHAIN[number - 1], target="else"))
    follower = replace(CHAIN[number], prev_hash=edited.hash)
    verdict = verify([*CHAIN[: number - 1], edited, follower, *CHAIN[number + 1 :]])
    assert verdict.broken is not None
    assert (verdict.broken.damage, verdict.broken.seq) == (Damage.EDITED, number + 1)


def test_a_chain_that_was_written_anew_is_found_by_a_head_kept_elsewhere() -> None:
    forged = chain(target="x")
    assert damage_of(forged) is None
    assert damage_of(forged, head=HEAD) is Damage.EDITED


@given(st.integers(1, COUNT - 1), st.integers(1, 3))
def test_deleted_records_are_found(first: int, count: int) -> None:
    rest = [one for one in CHAIN if not first <= one.seq < min(first + count, COUNT)]
    verdict = verify(rest, anchor=AuditHead())
    assert verdict.broken is not None
    assert verdict.broken.damage is Damage.DELETED
    assert f"{first} " in verdict.broken.message


@given(st.permutations(CHAIN).filter(lambda some: some != CHAIN))
def test_moved_records_are_found(some: list[AuditRecord]) -> None:
    assert damage_of(some, anchor=AuditHead()) is Damage.REORDERED


def test_a_repeated_record_is_found() -> None:
    assert damage_of([*CHAIN[:3], *CHAIN[2:]]) is Damage.REORDERED


@given(st.integers(0, COUNT - 1))
def test_an_end_that_was_cut_off_is_found_by_a_known_head_alone(kept: int) -> None:
    assert damage_of(CHAIN[:kept]) is None
    assert damage_of(CHAIN[:kept], head=HEAD) is Damage.TRUNCATED
    assert damage_of(CHAIN[:kept], head=AuditHead()) is None


def test_a_known_head_before_the_first_record_kept_is_told() -> None:
    assert damage_of(CHAIN[4:], head=AuditHead(seq=2, hash=CHAIN[1].hash)) is Damage.DELETED


def test_what_is_no_record_is_a_break() -> None:
    verdict = verify(with_one(3, Unreadable(where="line 3", why="not JSON")))
    assert verdict.broken is not None
    assert (verdict.broken.seq, verdict.broken.message) == (3, "line 3: not JSON")


texts = st.text(st.characters(codec=None), max_size=20)


@given(texts, texts, texts, st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 2**40))
def test_no_text_can_forge_a_line(target: str, identity: str, method: str, wall: float, count: int) -> None:
    entry = make_audit_entry(target, identity=identity, method=method, wall=wall, count=count)
    text, head = sealed(AuditHead(), entry, "", "")
    record = record_of(text, AuditHead().hash, head.hash)
    line = line_of(record)
    plain = {field.name: getattr(record, field.name) for field in fields(record)[:-2]}
    assert text == json.dumps(plain, sort_keys=True, separators=(",", ":")), "as anybody can write it"
    assert (record.target, record.identity, record.method, record.count) == (target, identity, method, count)
    assert line.isascii()
    assert line.isprintable()
    assert record_of_line(line) == record
    assert verify([record]).broken is None


LINE = line_of(CHAIN[0])
SPOILED: dict[str, Callable[[str], str]] = {
    "no JSON": lambda line: line[:-1],
    "a list": lambda line: f"[{line}]",
    "a field more": lambda line: line[:-1] + ',"more":1}',
    "a field less": lambda line: line.replace('"count":1,', ""),
    "a field twice": lambda line: line.replace('"count":1,', '"count":1,"count":1,'),
    "another type": lambda line: line.replace('"count":1', '"count":true'),
    "a space": lambda line: line.replace(":1,", ": 1,"),
    "not a number": lambda line: line.replace('"wall":1.0', '"wall":NaN'),
    "another order": lambda line: "{" + line[1:-1].split(",", 1)[1] + "," + line[1:].split(",", 1)[0] + "}",
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_line_that_the_registry_did_not_write_is_none(how: str) -> None:
    assert record_of_line(LINE) == CHAIN[0]
    spoiled = SPOILED[how](LINE)
    assert spoiled != LINE
    with pytest.raises(ValueError, match="not "):
        record_of_line(spoiled)


@pytest.mark.parametrize("text", ["", "7", "7:", "x:" + "a" * 64, "7:" + "g" * 64, "-1:" + "a" * 64, "7:" + "A" * 64])
def test_a_head_is_a_number_and_a_hash(text: str) -> None:
    with pytest.raises(ValueError, match="SEQ:HASH"):
        AuditHead.parse(text)
    assert AuditHead.parse(str(HEAD)) == HEAD


def test_a_chain_says_how_far_it_says_that_it_goes() -> None:
    assert verify(CHAIN, end=HEAD).broken is None
    broken = verify(CHAIN[:-1], end=HEAD).broken
    assert broken is not None
    assert (broken.damage, broken.message) == (Damage.TRUNCATED, "the chain ends at record 8, its own head says 9")


def test_of_nothing_stored_there_is_no_hash() -> None:
    assert (hash_of_stored(""), len(hash_of_stored("x"))) == ("", 64)


def test_a_record_that_cannot_be_said_is_refused() -> None:
    with pytest.raises(ValueError, match="wall: must be a finite number, got nan"):
        sealed(AuditHead(), make_audit_entry(wall=float("nan")), "", "")
