"""Kinds of settings: how a value is written, read, checked and shown. Every kind is its form, nothing else.

A value arrives as text (flag, environment) or as what TOML made of it. `read` turns either into the Python value,
`rule` says in words what `allows` checks, `show` writes the value as TOML that `read` takes back.
"""

import ipaddress
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orion_registry.core import limits
from orion_registry.errors import Said
from orion_registry.server.address import TcpAddress, parse_address

_SPANS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_SIZES = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"(\d{1,12}) ?(B|KiB|MiB|GiB)?")
_PLACE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """One form of value.

    `read` raises ValueError or TypeError for what has not the form; `allows` judges what has; `blame` names the part of
    it that is wrong, with the rule for that part.
    """

    metavar: str
    rule: str
    read: Callable[[object], Any]
    allows: Callable[[Any], bool]
    show: Callable[[Any], str]
    many: bool = False
    switch: bool = False
    blame: Callable[[Any], tuple[str, object]] | None = None


def _as_text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError("not text")
    return raw.strip()


def _as_int(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | str):
        raise TypeError("not a whole number")
    if isinstance(raw, int):
        return raw
    if not re.fullmatch(r"-?\d{1,18}", raw.strip()):
        raise ValueError("not a whole number")
    return int(raw)


def _as_float(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise TypeError("not a number")
    return float(raw)


def read_duration(raw: object) -> float:
    """Seconds of a span such as "1.5s", "500ms", "2m", "1h", "90d"; "0" needs no unit."""
    text = _as_text(raw)
    if text == "0":
        return 0.0
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError("not a span")
    return float(match[1]) * _SPANS[match[2]]


def show_duration(seconds: float) -> str:
    """Text of a span that `read_duration` takes back."""
    if seconds >= 86_400 and seconds % 3_600 == 0:
        return f"{seconds / 3_600:.10g}h"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.10g}ms"
    return f"{seconds:.10g}s"


def read_size(raw: object) -> int:
    """Bytes of a size such as 4096, "64KiB", "1MiB"."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    match = _SIZE.fullmatch(_as_text(raw))
    if match is None:
        raise ValueError("not a size")
    return int(match[1]) * _SIZES[match[2] or ""]


def show_size(size: int) -> str:
    """Text of a size in the largest unit that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _SIZES[unit] == 0:
            return f"{size // _SIZES[unit]}{unit}"
    return str(size)


def _read_switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    word = _as_text(raw).lower()
    if word in {"true", "yes", "on", "1"}:
        return True
    if word in {"false", "no", "off", "0"}:
        return False
    raise ValueError("not a switch")


def _read_list(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):  # the environment, or one address in the file
        raw = raw.split(",")
    if not isinstance(raw, list | tuple):
        raise TypeError("not a list")
    return tuple(_as_text(part) for part in raw)


def quote(text: str) -> str:
    """Text as a TOML basic string: JSON's escapes, and DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def duration(least: float, most: float) -> Kind:
    """A span of `least` to `most` seconds."""
    rule = f"a span of {show_duration(least)} to {show_duration(most)}, as in 1.5s, 500ms, 2m or 1h"
    return Kind("SPAN", rule, read_duration, lambda s: _within(s, least, most), lambda s: quote(show_duration(s)))


def size(least: int, most: int) -> Kind:
    """A number of bytes."""
    rule = f"a size of {show_size(least)} to {show_size(most)}, as in 4096, 64KiB or 1MiB"
    return Kind("SIZE", rule, read_size, lambda n: _within(n, least, most), lambda n: quote(show_size(n)))


def whole(least: int, most: int) -> Kind:
    """A whole number."""
    return Kind("N", f"a whole number of {least:,} to {most:,}", _as_int, lambda n: _within(n, least, most), str)


def share() -> Kind:
    """A part of a whole."""
    return Kind("SHARE", "a share of 0 to 1, as in 0.3", _as_float, lambda x: _within(x, 0, 1), lambda x: f"{x:.10g}")


def choice(*words: str) -> Kind:
    """One of a few words."""
    return Kind(f"[{'|'.join(words)}]", f"one of {', '.join(words)}", _as_text, lambda w: w in words, quote)


def path(metavar: str = "DIR") -> Kind:
    """A path in the file system; empty = the default place."""
    most = 4_096  # PATH_MAX of Linux

    def allows(text: str) -> bool:
        return len(text) <= most and "\0" not in text

    return Kind(metavar, f"a path of at most {most:,} characters", _as_text, allows, quote)


def switch() -> Kind:
    """On or off."""
    return Kind("", "true or false", _read_switch, lambda b: isinstance(b, bool), lambda b: str(b).lower(), switch=True)


def word(form: str, rule: str) -> Kind:
    """Text of a form (a regular expression); the rule says it in words."""
    pattern = re.compile(form)
    return Kind("TEXT", rule, _as_text, lambda text: pattern.fullmatch(text) is not None, quote)


def addresses(valid: Callable[[str], object], least: int = 1) -> Kind:
    """Addresses; `valid` raises ValueError for text that is none."""
    one = "HOST:PORT (port 0 to 65,535) or unix:PATH (at most 107 bytes)"

    def text_of(text: str) -> str:
        valid(text)
        return text

    return _several("ADDRESS", "addresses", one, text_of, least)


def http_address() -> Kind:
    """Where HTTP is spoken: an address, "auto" or "off"."""

    def allows(text: str) -> bool:
        if text in {"auto", "off"}:
            return True
        try:
            return isinstance(parse_address(text), TcpAddress)
        except ValueError:
            return False

    return Kind("ADDRESS", "HOST:PORT (port 0 to 65,535), auto or off", _as_text, allows, quote)


def networks() -> Kind:
    """Networks of IP addresses, none to 64."""
    one = "an address or network with no bits beyond its prefix, as in 10.1.0.0/16, 10.2.3.4 or fd00::/8"
    return _several("NETWORK", "networks", one, ipaddress.ip_network, 0, 64)


def callables() -> Kind:
    """Python callables, each under a name of its own, none to 64."""

    def name_of(text: str) -> str:
        return read_callable(text)[0]

    one = "NAME=MODULE:CALLABLE, as in disk=ops.checks:disk"
    return _several("NAME=MODULE:CALLABLE", "names", one, name_of, 0, 64)


def read_callable(text: str) -> tuple[str, str]:
    """Name and place of a callable: "disk=ops.checks:disk" is ("disk", "ops.checks:disk").

    Raises:
        ValueError: it is none.
    """
    name, _, place = text.partition("=")
    if not limits.ID.fullmatch(name) or not _PLACE.fullmatch(place):
        raise ValueError("not a named callable")
    return name, place


def place() -> Kind:
    """A Python callable by its place, or none."""

    def allows(text: str) -> bool:
        return not text or _PLACE.fullmatch(text) is not None

    return Kind("MODULE:CALLABLE", "MODULE:CALLABLE, as in ops.traces:provider", _as_text, allows, quote)


def read_place(text: str) -> tuple[str, str]:
    """Module and name of a place."""
    module, _, name = text.partition(":")
    return module, name


def _several(metavar: str, noun: str, one: str, key: Callable[[str], object], least: int, most: int = 16) -> Kind:
    """Some texts with different keys; `key` raises ValueError for a text that has not the form."""

    def is_valid(text: str) -> bool:
        try:
            key(text)
        except ValueError:
            return False
        return True

    def allows(values: tuple[str, ...]) -> bool:
        return least <= len(values) <= most and all(map(is_valid, values)) and len(set(map(key, values))) == len(values)

    def blame(values: tuple[str, ...]) -> tuple[str, object]:
        for text in values:
            if not is_valid(text):
                return one, text
        if least <= len(values) <= most:
            keys = [key(text) for text in values]
            return f"different {noun}", Said(f"{str(max(keys, key=keys.count))!r} twice")
        return f"{least} to {most} {noun}", len(values)

    def show(values: tuple[str, ...]) -> str:
        return f"[{', '.join(map(quote, values))}]"

    rule = f"{least} to {most} different {noun} {one}"
    return Kind(metavar, rule, _read_list, allows, show, many=True, blame=blame)


def _within(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and least <= value <= most  # nan is not
