"""Words of a command: whom it concerns, spans of time, NAME=VALUE pairs, and switches."""

import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from enum import Enum
from typing import Any, TypeVar

from orion_registry.core.checks.spec import CheckSpec, TcpProbe

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_RANGE = re.compile(r"(.*?)(\d+)\.\.\1(\d+)")
E = TypeVar("E", bound=Enum)


class BadWords(Exception):
    """A command that cannot be understood; whoever knows file and line adds them."""


def span_ms(text: str) -> int:
    """`1.5s`, `200ms`, `5m` or `1h` in milliseconds: the finest grain of a scenario's time."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise BadWords(f"not a span of time such as 1.5s: {text!r}")
    ms = float(found[1]) * _MS[found[2]]
    if ms != round(ms):
        raise BadWords(f"finer than a millisecond: {text!r}")
    return round(ms)


def names_in(text: str) -> list[str]:
    """`a,b` and `a-1..a-3`, which is `a-1,a-2,a-3`."""
    names = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part)
        if found is None and ".." in part:
            raise BadWords(f"not a range such as calc-1..calc-4: {part!r}")
        names += [part] if found is None else [f"{found[1]}{n}" for n in range(int(found[2]), int(found[3]) + 1)]
    if not all(names) or len(set(names)) < len(names):
        raise BadWords(f"names twice, or none: {text!r}")
    return names


def one_of(kind: type[E], text: str) -> E:
    """A member of an enum by its name in lower case."""
    known = {member.name.lower().replace("_", "-"): member for member in kind}
    if text not in known:
        raise BadWords(f"{text!r} is none of {', '.join(known)}")
    return known[text]


def checks_in(text: str) -> tuple[CheckSpec, ...]:
    """`web,db:10s` as TCP checks of that name and interval, each at a port of its own."""
    checks = []
    for port, part in enumerate(text.split(","), 1):
        name, _, interval = part.partition(":")
        interval_s = span_ms(interval or "30s") / 1_000
        checks.append(CheckSpec(name=name, probes=(TcpProbe(port=port),), interval_s=interval_s))
    return tuple(checks)


class Words:
    """The words after a command's name. Each is asked for once; `done` complains of what nobody asked for."""

    def __init__(self, words: Iterable[str]) -> None:
        self._plain: list[str] = []
        self._pairs: dict[str, str] = {}
        for word in words:
            name, is_pair, value = word.partition("=")
            if not is_pair:
                self._plain.append(word)
            elif name in self._pairs or not value:
                raise BadWords(f"{name} is given twice, or has no value")
            else:
                self._pairs[name] = value

    def next(self, what: str) -> str:
        """The next plain word; `what` it is, for the complaint if there is none."""
        if not self._plain:
            raise BadWords(f"{what} is missing")
        return self._plain.pop(0)

    def next_span_ms(self, what: str) -> int:
        """The next plain word as a span in milliseconds."""
        return span_ms(self.next(what))

    def maybe(self) -> str:
        """The next plain word; empty if there is none."""
        return self._plain.pop(0) if self._plain else ""

    def after(self, word: str) -> str:
        """The plain word that follows `word`, as in `every 1s`; empty if `word` is not there."""
        if word not in self._plain:
            return ""
        at = self._plain.index(word)
        if at + 1 == len(self._plain):
            raise BadWords(f"nothing after {word!r}")
        del self._plain[at]
        return self._plain.pop(at)

    def switch(self, word: str) -> bool:
        """Whether the plain word is there."""
        there = word in self._plain
        if there:
            self._plain.remove(word)
        return there

    def pair(self, name: str, default: str = "") -> str:
        """The value of NAME=VALUE."""
        return self._pairs.pop(name, default)

    def fields_of(self, kind: type) -> dict[str, Any]:
        """All pairs that name a field of a dataclass: `liveness-ttl=5s` is its `liveness_ttl_s`, in seconds.

        So a new field of the core can be used in a scenario as soon as it is there.
        """
        values: dict[str, Any] = {}
        for field in fields(kind):
            shown = field.name.replace("_", "-")
            if field.name.endswith("_s") and (text := self._pairs.pop(shown.removesuffix("-s"), "")):
                values[field.name] = span_ms(text) / 1_000
            elif not field.name.endswith("_s") and (text := self._pairs.pop(shown, "")):
                values[field.name] = checks_in(text) if field.name == "checks" else _as(field.default, text)
        return values

    def done(self) -> None:
        """Raises if a word is left over."""
        left = [*self._plain, *(f"{name}={value}" for name, value in self._pairs.items())]
        if left:
            raise BadWords(f"not understood: {' '.join(left)}")


def _as(default: object, text: str) -> Any:
    """A value of the kind that the field's default is."""
    if isinstance(default, Enum):
        return one_of(type(default), text)
    if isinstance(default, tuple):
        return tuple(text.split(","))
    if default is MISSING or isinstance(default, str):
        return text
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        raise BadWords(f"not a number: {text!r}") from None
