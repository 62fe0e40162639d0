"""Bytes to keys, and lines to bytes."""

import pytest

from orion_registry.cli.top.keys import KeyReader
from orion_registry.cli.top.line import Pen, clean, cut, fitted, padded, plain, spread, width_of


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB\x1b[5~", ["up", "down", "pageup"]),
        (b"\r\x7f\x15", ["enter", "backspace", "ctrl-u"]),
        ("é→".encode(), ["é", "→"]),
        (b"\x1b\x1b[A", ["escape", "up"]),
        (b"\x1bx", ["escape", "x"]),
        (b"\x1b[200~a", ["a"]),
        (b"\x1b[<0;3;4M/", ["/"]),
        (b"\x00\x01", []),
    ],
)
def test_keys_come_whole_or_in_pieces(data: bytes, keys: list[str]) -> None:
    assert KeyReader().feed(data) == keys
    reader = KeyReader()
    assert [key for at in range(len(data)) for key in reader.feed(data[at : at + 1])] == keys


def test_an_esc_alone_is_a_key_once_nothing_follows() -> None:
    reader = KeyReader()
    assert reader.feed(b"\x1b") == []
    assert reader.waits
    assert reader.flush() == ["escape"]
    assert (reader.flush(), reader.waits) == ([], False)


def test_an_endless_sequence_is_given_up() -> None:
    assert KeyReader().feed(b"\x1b[" + b"1" * 30)[0] == "escape"


def test_text_is_cut_by_cells() -> None:
    assert (width_of("abc"), width_of("日本"), width_of("e\u0301")) == (3, 4, 1)
    assert (cut("abcdef", 4), cut("日本語", 4), cut("ab", 2), cut("ab", 0)) == ("abc…", "日…", "ab", "")
    assert (padded("ab", 4), padded("ab", 4, right=True)) == ("ab  ", "  ab")
    assert plain(fitted([("abc", "red"), ("def", "")], 4)) == "abc…"
    assert plain(spread([("left", "")], [("right", "")], 12)) == "left   right"
    assert plain(spread([("a long one", "")], [("right", "")], 7)) == "a long…", "if there is no room, what counts more"


def test_what_an_agent_gave_is_text_and_no_command() -> None:
    assert clean("a\x1b[2Jb\u202ec\nd") == "a?[2Jb?c?d"


def test_colours_are_left_out_and_forms_stay() -> None:
    line = [("● up", "green bold"), (" …", "")]
    assert Pen(colours=True, unicode=True)(line) == "\x1b[32;1m● up\x1b[0m …"
    assert Pen(colours=False, unicode=True)(line) == "\x1b[1m● up\x1b[0m …"
    assert Pen(colours=False, unicode=False)(line) == "\x1b[1m* up\x1b[0m ~"
    assert Pen(colours=True, unicode=False)([("日", "")]) == "?"
