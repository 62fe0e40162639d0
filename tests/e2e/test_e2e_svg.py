"""Screens as pictures."""

from xml.etree import ElementTree as ET

from tests.e2e.svg import Style, picture, runs_of


def test_styles_go_on_over_lines_until_they_end() -> None:
    runs, style = runs_of("a\x1b[1;31mb\x1b[39mc", Style())
    assert runs == [("a", Style()), ("b", Style("#ff7b72", bold=True)), ("c", Style(bold=True))]
    assert runs_of("d\x1b[0m", style) == ([("d", Style(bold=True))], Style())


def test_a_picture_keeps_columns_and_takes_nothing_for_markup() -> None:
    drawn = picture("a  <b>\n\x1b[7m c\x1b[0m", 10, "x & y")
    root = ET.fromstring(drawn)
    texts = [(one.text, one.get("x")) for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[1:] == [("a", "14"), ("<b>", "39.2"), ("c", "22.4")]
    assert root.get("aria-label") == "x & y"
    assert sum(one.get("height") == "18" for one in root.iter("{http://www.w3.org/2000/svg}rect")) == 1
