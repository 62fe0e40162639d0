"""Bytes of a terminal to names of keys. Pure."""

import codecs
import re

_NAMES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOC": "right", b"\x1bOD": "left",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1b[7~": "home", b"\x1b[8~": "end",
    b"\x1b[5~": "pageup", b"\x1b[6~": "pagedown", b"\x1b[3~": "delete", b"\x1bOP": "f1", b"\x1b[11~": "f1",
    b"\r": "enter", b"\n": "enter", b"\t": "tab", b"\x7f": "backspace", b"\x08": "backspace",
    b"\x15": "ctrl-u", b"\x17": "ctrl-w", b"\x0c": "ctrl-l", b"\x06": "ctrl-f", b"\x02": "ctrl-b",
}  # fmt: skip
_ESCAPE = b"\x1b"
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~])")
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_LONGEST = 16
"""Bytes of a sequence; what is longer is none."""


class KeyReader:
    """Takes bytes as they come, in whatever pieces."""

    def __init__(self) -> None:
        self._left = b""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def waits(self) -> bool:
        """Whether an Esc came that may be the key, or the beginning of another one."""
        return bool(self._left)

    def feed(self, data: bytes) -> list[str]:
        """The keys that these bytes complete; sequences that mean nothing here are left out."""
        data = self._left + data
        self._left = b""
        keys: list[str] = []
        while data:
            if data.startswith(_ESCAPE):
                if found := _SEQUENCE.match(data):
                    keys += [_NAMES[found[0]]] if found[0] in _NAMES else []
                    data = data[found.end() :]
                elif len(data) <= _LONGEST and _BEGUN.match(data):
                    self._left = data
                    break
                else:
                    keys.append("escape")
                    data = data[1:]
                continue
            one, data = data[:1], data[1:]
            if one in _NAMES:
                keys.append(_NAMES[one])
            else:
                keys += [text for text in self._decoder.decode(one) if text.isprintable()]
        return keys

    def flush(self) -> list[str]:
        """Nothing more came: an Esc was the key."""
        begun, self._left = self._left, b""
        return ["escape"] if begun else []
