"""The audit chain: what was changed and what was refused, each record bound to the one before it by a hash.

A record's canonical text is JSON with its keys in order and nothing but ASCII in it, so that no name that a client
chose can end a line or pass for another field. Its hash is SHA-256 over the hash before it and that text. Whoever
edits, deletes or moves a record breaks the chain there; whoever cuts off its end is found out by a head kept elsewhere.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Final

START: Final = "0" * 64
"""The hash before the first record."""

OK: Final = "OK"
"""Outcome of what was done. What was refused has the reason that the caller was told."""

_HEX = 64
_quoted = json.encoder.encode_basestring_ascii


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What happened, before it has its place in the chain.

    Attributes:
        wall: when, in seconds since 1970; a label, which may go back.
        history_id: the life of the registry in which it happened.
        identity: who did it; empty where none was proven, "the registry" for what it does by itself.
        address: where the caller came from; empty for a Unix socket and in process.
        method: the RPC, or what the registry did by itself.
        namespace: of the target; empty if there is none.
        target: a service_id, the natural key of an overlay, or what else it was about; may be empty.
        outcome: `OK`, or the reason for which it was refused.
        count: how many there were like this; more than 1 for those that are summed up.
    """

    wall: float
    history_id: str
    identity: str
    address: str
    method: str
    namespace: str = ""
    target: str = ""
    outcome: str = OK
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """An entry in its place.

    Attributes:
        seq: its number; the first is 1, and none is left out.
        before_hash: SHA-256 of what was stored of the target before, in its stored form; empty if nothing was.
        after_hash: SHA-256 of what is stored of it now; empty if nothing is.
        prev_hash: hash of the record before it.
        hash: its own, over prev_hash and `body_of`.
    """

    address: str
    after_hash: str
    before_hash: str
    count: int
    history_id: str
    identity: str
    method: str
    namespace: str
    outcome: str
    seq: int
    target: str
    wall: float
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHead:
    """A place in the chain: a record's number and its hash. Number 0 is the place before the first.

    >>> str(AuditHead.parse("7:" + 64 * "a"))[:6]
    '7:aaaa'
    """

    seq: int = 0
    hash: str = START

    @classmethod
    def parse(cls, text: str) -> "AuditHead":
        """The place that `str` wrote.

        Raises:
            ValueError: it is none.
        """
        seq, _, digest = text.partition(":")
        if not (seq.isascii() and seq.isdigit() and len(seq) < 20 and is_hash(digest)):
            raise ValueError(f"a head is SEQ:HASH with a hash of 64 hexadecimal digits, not {text!r}")
        return cls(seq=int(seq), hash=digest)

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f"{self.seq}:{self.hash}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records somebody asks for. What is empty lets all through."""

    identity: str = ""
    method: str = ""
    namespace: str = ""
    target: str = ""
    outcome: str = ""

    def passes(self, record: AuditRecord) -> bool:
        """Whether a record is asked for."""
        return (
            self.identity in ("", record.identity)
            and self.method in ("", record.method)
            and self.namespace in ("", record.namespace)
            and self.target in ("", record.target)
            and self.outcome in ("", record.outcome)
        )


def is_hash(text: str) -> bool:
    """Whether a text could be a SHA-256 as it is written here."""
    return len(text) == _HEX and all(digit in "0123456789abcdef" for digit in text)


# Writing.


def sealed(head: AuditHead, entry: AuditEntry, before_hash: str, after_hash: str) -> tuple[str, AuditHead]:
    """The canonical text of an entry that comes after `head`, and its own place."""
    seq = head.seq + 1
    text = _text(entry, seq, before_hash, after_hash)
    return text, AuditHead(seq=seq, hash=chained(head.hash, text))


def _text(one: "AuditEntry | AuditRecord", seq: int, before_hash: str, after_hash: str) -> str:
    """Written out by hand: it is on the way of every registration, and `json` takes three times as long."""
    wall = float(one.wall)
    if not isfinite(wall):
        raise ValueError(f"wall: must be a finite number, got {wall}")
    return (
        f'{{"address":{_quoted(one.address)},"after_hash":{_quoted(after_hash)},"before_hash":{_quoted(before_hash)}'
        f',"count":{one.count:d},"history_id":{_quoted(one.history_id)},"identity":{_quoted(one.identity)}'
        f',"method":{_quoted(one.method)},"namespace":{_quoted(one.namespace)},"outcome":{_quoted(one.outcome)}'
        f',"seq":{seq:d},"target":{_quoted(one.target)},"wall":{wall!r}}}'
    )


def chained(prev_hash: str, text: str) -> str:
    """The hash of a record."""
    return hashlib.sha256((prev_hash + text).encode("ascii")).hexdigest()


def hash_of_stored(text: str) -> str:
    """The hash of a stored form; of none, none."""
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def body_of(record: AuditRecord) -> str:
    """A record's canonical text: all but its hashes of the chain."""
    return _text(record, record.seq, record.before_hash, record.after_hash)


def line_of(record: AuditRecord) -> str:
    """A record as one line of JSON, without its end."""
    return f'{body_of(record)[:-1]},"prev_hash":"{record.prev_hash}","hash":"{record.hash}"}}'


# Reading.

_BODY: Final = tuple(field.name for field in fields(AuditRecord))[:-2]
_KINDS: Final[dict[str, tuple[type, ...]]] = {"count": (int,), "seq": (int,), "wall": (float,)}


def record_of(text: str, prev_hash: str, own_hash: str) -> AuditRecord:
    """The record of a canonical text and its hashes, which may not fit it: see `verification.verify`.

    Raises:
        ValueError: the text is none.
    """
    return _record({**_plain(text), "prev_hash": prev_hash, "hash": own_hash}, text, body_of)


def record_of_line(line: str) -> AuditRecord:
    """The record of a line; see `record_of`.

    Raises:
        ValueError: the line is none, or not written as `line_of` writes it.
    """
    return _record(_plain(line), line, line_of)


def _plain(text: str) -> dict[str, Any]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("not JSON") from error
    if not isinstance(plain, dict):
        raise ValueError("not an audit record")  # noqa: TRY004 - of a text, not of a type
    return plain


def _record(plain: dict[str, Any], text: str, written: Any) -> AuditRecord:
    if plain.keys() != {*_BODY, "prev_hash", "hash"}:
        raise ValueError("not an audit record")
    for name, value in plain.items():
        if type(value) not in _KINDS.get(name, (str,)):
            raise ValueError(f"not an audit record ({name} is {type(value).__name__})")
    record = AuditRecord(**plain)
    try:
        same = written(record) == text
    except ValueError:  # NaN and its like
        same = False
    if not same:
        raise ValueError("not written as the registry writes it")
    return record
