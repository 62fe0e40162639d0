"""Mutations of messages, built from their descriptors: one field made odd, or the bytes damaged."""

import random
from collections.abc import Callable
from typing import Any

from tests.fuzz.coverage import Coverage
from tests.fuzz.odd import HUGE_TEXT, deep_struct, odd_scalar, odd_text, tagged, unknown_fields
from tests.fuzz.schema import Fields, Rpc

BLOW_UPS = (2, 17, 65, 300, 1_001, 4_000)
"""Entries added to a repeated field: around the limits of the registry."""


class Mutator:
    """Makes messages odd. `words` is shared with who sends: what the daemon knows by now."""

    def __init__(self, rng: random.Random, coverage: Coverage, words: list[str]) -> None:
        self._rng = rng
        self._coverage = coverage
        self._words = words

    def arbitrary(self, rpc: Rpc) -> Any:
        """A message of some odd fields and nothing else."""
        message = rpc.request()
        for _ in range(self._rng.randrange(1, 6)):
            self._put_random(rpc, message)
        return message

    def mutate(self, rpc: Rpc, message: Any) -> bytes:
        """Changes a message in one to three ways and serialises it; now and then damages the bytes."""
        rng = self._rng
        if rpc.fields:
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                draw = rng.random()
                if draw < 0.6:
                    self._put_least(rpc, message)
                elif draw < 0.88:
                    self._put_random(rpc, message)
                elif draw < 0.95:
                    self._clear(message)
                else:
                    self._blow_up(rpc, message)
        data: bytes = message.SerializeToString()
        return self._damage(rpc, data) if rng.random() < 0.3 or not rpc.fields else data

    # Fields.

    def _put_least(self, rpc: Rpc, message: Any) -> None:
        way = self._coverage.least(rpc)
        if way is not None:
            self._put(message, way)

    def _put_random(self, rpc: Rpc, message: Any) -> None:
        if rpc.fields:
            self._put(message, self._rng.choice(rpc.fields))

    def _put(self, message: Any, way: Fields) -> None:
        """Sets the field at the end of the way to something odd, and makes what is missing on the way."""
        field, rest = way[0], way[1:]
        if _is_map(field):
            self._put_entry(message, field, rest)
        elif field.message_type is None:
            value = odd_scalar(field, self._rng, self._words)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        else:
            inner = self._inner(message, field)
            if rest:
                self._put(inner, rest)

    def _put_entry(self, message: Any, field: Any, rest: Fields) -> None:
        entries, value = getattr(message, field.name), field.message_type.fields_by_name["value"]
        key = next(iter(entries), "") if entries and self._rng.random() < 0.5 else odd_text(self._rng, self._words)
        if value.message_type is None:
            entries[key] = odd_scalar(value, self._rng, self._words)
        else:
            inner = entries[key]  # made by looking at it
            if len(rest) > 1:
                self._put(inner, rest[1:])

    def _inner(self, message: Any, field: Any) -> Any:
        inner = getattr(message, field.name)
        if field.is_repeated:
            return self._rng.choice(inner) if len(inner) and self._rng.random() < 0.7 else inner.add()
        inner.SetInParent()
        return inner

    def _clear(self, message: Any) -> None:
        """Clears a field that is set, at some depth."""
        while fields := message.ListFields():
            field, value = self._rng.choice(fields)
            plain = field.message_type is None or field.is_repeated
            if plain or self._rng.random() < 0.5:
                message.ClearField(field.name)
                return
            message = value

    def _blow_up(self, rpc: Rpc, message: Any) -> None:
        """Many entries in one repeated field."""
        ways = [way for way in rpc.fields if way[-1].is_repeated and not any(_is_map(field) for field in way[:-1])]
        if not ways:
            return
        way = self._rng.choice(ways)
        for field in way[:-1]:
            message = self._inner(message, field)
        count = self._rng.choice(BLOW_UPS)
        field = way[-1]
        if _is_map(field):
            for index in range(count):
                self._put_entry_named(message, field, f"k{index}")
        elif field.message_type is None:
            value = odd_scalar(field, self._rng, self._words)
            distinct = isinstance(value, str)
            values = [f"{value[:40]}{index}" if distinct else value for index in range(count)]
            getattr(message, field.name).extend(values)
        else:
            entries = getattr(message, field.name)
            for _ in range(count):
                entries.add()

    def _put_entry_named(self, message: Any, field: Any, key: str) -> None:
        entries, value = getattr(message, field.name), field.message_type.fields_by_name["value"]
        if value.message_type is None:
            entries[key] = odd_scalar(value, self._rng, self._words)
        else:
            entries[key].SetInParent()

    # Bytes.

    def _damage(self, rpc: Rpc, data: bytes) -> bytes:
        damages: tuple[Callable[[Rpc, bytes], bytes], ...] = (
            lambda _rpc, data: data + unknown_fields(self._rng),
            lambda _rpc, data: unknown_fields(self._rng) + data,
            lambda _rpc, data: data[: self._rng.randrange(len(data) + 1)],
            lambda _rpc, data: data + data,
            lambda _rpc, data: self._rng.randbytes(self._rng.choice((1, 2, 9, 100, 1_000))),
            self._flip,
            self._cut_out,
            self._deepen,
            self._deepen,
            self._enlarge,
        )
        return self._rng.choice(damages)(rpc, data)

    def _flip(self, _rpc: Rpc, data: bytes) -> bytes:
        out = bytearray(data)
        for _ in range(self._rng.choice((1, 1, 2, 8)) if out else 0):
            out[self._rng.randrange(len(out))] ^= 1 << self._rng.randrange(8)
        return bytes(out)

    def _cut_out(self, _rpc: Rpc, data: bytes) -> bytes:
        start = self._rng.randrange(len(data) + 1)
        return data[:start] + data[start + self._rng.randrange(1, 9) :]

    def _deepen(self, rpc: Rpc, data: bytes) -> bytes:
        """Appends a deep Value where the request takes a Struct."""
        ways = [way for way in rpc.fields if _is_struct(way[-1])]
        if not ways:
            return data + unknown_fields(self._rng)
        grown = tagged(1, tagged(1, b"deep") + tagged(2, deep_struct(self._rng)))
        for field in reversed(self._rng.choice(ways)):
            grown = tagged(field.number, grown)
        return data + grown

    def _enlarge(self, _rpc: Rpc, data: bytes) -> bytes:
        """Rarely more than the daemon takes; otherwise a lot that it does not know."""
        return data + tagged(900, b"\x00" * (HUGE_TEXT if self._rng.random() < 0.05 else 50_000))


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _is_struct(field: Any) -> bool:
    return field.message_type is not None and field.message_type.full_name == "google.protobuf.Struct"
