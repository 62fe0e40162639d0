"""The snapshot file: everything that a registry stores, as lines of JSON that text tools can read (docs/snapshots.md).

{"format":"orion-registry-snapshot","version":1,"created":"2026-11-23T11:00:00Z","epochs_below":1048577,"services":1}
{"generation":1,...,"spec":{"agent_id":"calc-1",...},"used_epoch":1}
{"end":true,"services":1,"sha256":"hex, over all bytes before this line"}

That is version 1. Where overlays are set it is version 2: header and end line say how many, and behind the services
there is a line {"overlay":{...}} for each.

What looks like a secret stands there as "***", unless it was asked for; whoever reads such a file leaves those out.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from orion_registry.core.checks.spec import CheckSpec
from orion_registry.core.facts import Stored
from orion_registry.core.importing import Intake
from orion_registry.core.limits import COUNTER
from orion_registry.core.masking import mask_text, masked_spec, unmasked_spec
from orion_registry.core.model import Record, ServiceSpec
from orion_registry.core.overlay import Overlay
from orion_registry.errors import InvalidArgument, Limit, Reason, RegistryError, ResourceExhausted
from orion_registry.store.rows import overlay_from_json, overlay_to_json, record_from_json, record_to_json

FORMAT = "orion-registry-snapshot"
VERSION = 2
"""Raised when an older registry could not read what is written any more. A file that version 1 can say is of that."""

CHUNK_BYTES = 64 * 1024
"""Bytes in a piece, or a line more: about 100 services, made in 2 ms, so that others get their turn between two."""
LINE_BYTES = 256 * 1024
"""Longest line; a record at all its limits takes half of it."""
LIMIT_BYTES = 64 * 1024 * 1024
"""Largest file that a daemon takes over the network: it must hold it all before it can believe any of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line. created: UTC, such as 2026-11-23T11:00:00Z; a label. overlays: 0 in version 1."""

    version: int
    created: str
    epochs_below: int
    services: int
    overlays: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many lines of each kind there are, as header and end line say it."""
        return {"services": self.services} | ({"overlays": self.overlays} if self.version > 1 else {})


# Writing.


def write_snapshot(stored: Stored, created_wall: float, *, with_secrets: bool = False) -> Iterator[bytes]:
    """The file in pieces of `CHUNK_BYTES` and up to a line more.

    created_wall: seconds since 1970. with_secrets: nothing is masked; see `core.masking`.
    """
    digest = hashlib.sha256()
    piece = bytearray()
    header = Header(
        version=2 if stored.overlays else 1,
        created=datetime.fromtimestamp(created_wall, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        epochs_below=stored.epochs_below,
        services=len(stored.records),
        overlays=len(stored.overlays),
    )
    for line in _lines(stored, header, with_secrets=with_secrets):
        piece += line
        if len(piece) >= CHUNK_BYTES:
            digest.update(piece)
            yield bytes(piece)
            piece.clear()
    digest.update(piece)
    yield bytes(piece) + _end_line(header, digest.hexdigest())


def _lines(stored: Stored, header: Header, *, with_secrets: bool) -> Iterator[bytes]:
    yield _line(
        format=FORMAT,
        version=header.version,
        created=header.created,
        epochs_below=header.epochs_below,
        **header.counts,
    )
    for record in stored.records:
        shown = record if with_secrets else replace(record, spec=masked_spec(record.spec))
        yield record_to_json(shown).encode() + b"\n"
    for overlay in stored.overlays:
        told = overlay if with_secrets else replace(overlay, note=mask_text(overlay.note))
        yield b'{"overlay":' + overlay_to_json(told).encode() + b"}\n"


def _end_line(header: Header, sha256: str) -> bytes:
    return _line(end=True, **header.counts, sha256=sha256)


def _line(**values: object) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode() + b"\n"


# Reading.


class SnapshotReader:
    """Reads a snapshot, however it is cut into pieces. Nothing comes out unless all of it is sound.

    Args:
        limit: bytes that it takes at most; None = any number.

    Attributes:
        header: the first line, once it was read.
        size: bytes read.
        masked: values that were masked, and are left out.
    """

    def __init__(self, limit: int | None = LIMIT_BYTES) -> None:
        self.header: Header | None = None
        self.size = 0
        self.masked = 0
        self._limit = limit
        self._digest = hashlib.sha256()
        self._rest = bytearray()
        self._intake: Intake | None = None
        self._number = 0
        self._ended = False

    @property
    def services(self) -> int:
        """Services read by now."""
        return 0 if self._intake is None else len(self._intake)

    @property
    def overlays(self) -> int:
        """Overlays read by now."""
        return 0 if self._intake is None else self._intake.overlays

    def feed(self, data: bytes) -> None:
        """Takes the next piece.

        Raises:
            InvalidArgument: BAD_FIELD, this is no sound snapshot; the message says in which line and why.
            ResourceExhausted: TOO_LARGE.
        """
        self.size += len(data)
        if self._limit is not None and self.size > self._limit:
            message = f"the snapshot has more than {self._limit} bytes; restore it offline: snapshot restore --data-dir"
            raise ResourceExhausted(Reason.TOO_LARGE, message, limit=Limit.IMPORTS)
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._rest += line
            whole = bytes(self._rest)
            self._rest.clear()
            self._take(whole)
        self._rest += rest
        if self._ended and self._rest:
            self._refuse("there is something after the end line", self._number + 1)
        if len(self._rest) > LINE_BYTES:
            self._refuse(f"the line is longer than {LINE_BYTES} bytes", self._number + 1)

    def finish(self) -> Stored:
        """What the snapshot holds, once all pieces were fed.

        Raises:
            InvalidArgument: BAD_FIELD, it is cut off.
        """
        if not self._ended or self._intake is None:
            if self.header is not None:
                self._refuse("it is cut off: there is no end line", self._number + bool(self._rest))
            self._refuse("it is empty" if self.size == 0 else "not a snapshot of a registry, or it is cut off", 1)
        return self._intake.stored()

    def _take(self, line: bytes) -> None:
        self._number += 1
        if self._ended:
            self._refuse("there is something after the end line")
        if len(line) > LINE_BYTES:
            self._refuse(f"the line is longer than {LINE_BYTES} bytes")
        if self._intake is None:
            self._take_header(line)
        elif line.startswith(b'{"end":'):
            self._take_end(line)
            return
        elif line.startswith(b'{"overlay":') and self.header is not None and self.header.version > 1:
            self._take_overlay(line, self._intake)
        else:
            self._take_record(line, self._intake)
        self._digest.update(line + b"\n")

    def _take_header(self, line: bytes) -> None:
        plain = self._json(line)
        if not isinstance(plain, dict) or plain.get("format") != FORMAT:
            self._refuse(f'not a snapshot of a registry: its first line must say "format":"{FORMAT}"')
        version = plain.get("version")
        if type(version) is int and version > VERSION:
            self._refuse(f"it has version {version}, this registry reads up to {VERSION}: it needs a newer one")
        wanted = {"format": str, "version": int, "created": str, "epochs_below": int, "services": int}
        if version == VERSION:
            wanted["overlays"] = int
        if {name: type(value) for name, value in plain.items()} != wanted or version not in {1, VERSION}:
            self._refuse(f"the header must hold {', '.join(wanted)}, nothing else, and version 1 or {VERSION}")
        counts = (plain["services"], plain.get("overlays", 0))
        if not _is_utc(plain["created"]) or not all(0 <= count <= COUNTER for count in counts):
            self._refuse("the header's created or a count is out of range")
        try:
            self._intake = Intake(plain["epochs_below"])
        except RegistryError as error:
            self._refuse(error.message)
        del plain["format"]
        self.header = Header(**plain)

    def _take_record(self, line: bytes, intake: Intake) -> None:
        try:
            record = record_from_json(line.decode())
            _require_types(record)
            record.spec.metadata_json.encode()  # else a lone surrogate would come in, which no answer could carry
            spec, masked = unmasked_spec(record.spec)
            intake.add(replace(record, spec=spec))
            self.masked += masked
        except RegistryError as error:
            self._refuse(error.message)
        except ValueError as error:
            self._refuse(str(error))

    def _take_overlay(self, line: bytes, intake: Intake) -> None:
        plain = self._json(line)
        try:
            if plain.keys() != {"overlay"}:
                raise ValueError("not an overlay alone")
            overlay = overlay_from_json(json.dumps(plain["overlay"]))
            _require_overlay_types(overlay)
            intake.add_overlay(overlay)
        except RegistryError as error:
            self._refuse(error.message)
        except ValueError as error:
            self._refuse(str(error))

    def _take_end(self, line: bytes) -> None:
        """The end line must be, byte for byte, what `write_snapshot` would have written."""
        plain, header = self._json(line), self.header
        assert header is not None  # it came first
        read = {"services": self.services, "overlays": self.overlays}
        for name, said in header.counts.items():
            counts = (read[name], said, plain.get(name))
            if len(set(counts)) != 1:
                self._refuse(
                    "{} {} were read, the header says {}, the end line {}".format(counts[0], name, *counts[1:])
                )
        if plain.get("sha256") != self._digest.hexdigest():
            self._refuse("the lines before do not match its sha256: the file is damaged, or was edited")
        if line + b"\n" != _end_line(header, self._digest.hexdigest()):
            self._refuse("the end line is damaged, or was edited")
        self._ended = True

    def _json(self, line: bytes) -> Any:
        try:
            return json.loads(line.decode())
        except (ValueError, RecursionError):
            self._refuse("not JSON in UTF-8")

    def _refuse(self, what: str, number: int | None = None) -> NoReturn:
        raise InvalidArgument(Reason.BAD_FIELD, f"snapshot line {number or self._number}: {what}")


def _is_utc(text: str) -> bool:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).year > 0
    except ValueError:
        return False


def _fits(value: object, kind: object) -> bool:
    if kind is float:
        return type(value) in (int, float)
    if kind == float | None:
        return value is None or type(value) in (int, float)
    if kind == tuple[str, ...]:
        return isinstance(value, tuple) and all(type(item) is str for item in value)
    if kind == tuple[CheckSpec, ...]:
        return True  # check_rows has looked
    return type(value) is kind


_KINDS = (
    *(("spec." + field.name, field.type) for field in fields(ServiceSpec) if field.name != "metadata_scalars"),
    *((field.name, field.type) for field in fields(Record) if field.name != "spec"),
)


def _require_types(record: Record) -> None:
    """JSON knows fewer types than records do: nothing but the right ones may pass."""
    for name, kind in _KINDS:
        part, _, inner = name.rpartition(".")
        value = getattr(record.spec if part else record, inner)
        if not _fits(value, kind):
            raise ValueError(f"not a record of a service ({name} is {type(value).__name__})")


def _require_overlay_types(overlay: Overlay) -> None:
    for field in fields(Overlay):
        value = getattr(overlay, field.name)
        if not _fits(value, field.type):
            raise ValueError(f"not an overlay ({field.name} is {type(value).__name__})")
