"""What holds for the page's files, read as text; tests/e2e/page.py looks at them in a browser."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "orion_registry" / "web" / "static"
FILES = sorted(STATIC.iterdir())
MODULES = sorted(STATIC.glob("*.js"))
INDEX = (STATIC / "index.html").read_text()

PARSES_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|document\.write|DOMParser|createContextualFragment|srcdoc"
)
RUNS_TEXT = re.compile(r"\beval\(|new Function|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:|import\(")
STYLE_ATTRIBUTE = re.compile(r"setAttribute\(\s*[\"']style|\bstyle:\s|cssText")
ELSEWHERE = re.compile(r"(https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9-]+\.[a-z]{2,}")


class _Tags(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def tags() -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(INDEX)
    return parser.seen


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_nothing_parses_markup_or_runs_text(path: Path) -> None:
    text = path.read_text()
    for pattern in (PARSES_MARKUP, RUNS_TEXT, STYLE_ATTRIBUTE):
        assert pattern.findall(text) == [], pattern.pattern


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    assert ELSEWHERE.findall(path.read_text()) == []


def test_the_page_holds_no_inline_script_or_style() -> None:
    """The content security policy refuses them."""
    for tag, attributes in tags():
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name == "style" or name.startswith("on")], (tag, attributes)
    assert not re.search(r"<script[^>]*>[^<]", INDEX)


def test_every_file_that_the_page_names_is_there() -> None:
    named = {value for _, attributes in tags() for name in ("src", "href") if (value := attributes.get(name))}
    files = {value.removeprefix("static/") for value in named if value.startswith("static/")}
    assert files <= {path.name for path in FILES}
    assert files | {"index.html"} == {path.name for path in FILES}, "each file is fetched with the page"


def test_modules_import_what_is_there() -> None:
    for path in MODULES:
        for name in re.findall(r'from "\./([^"]+)"', path.read_text()):
            assert (STATIC / name).is_file(), f"{path.name} imports {name}"


def test_ids_are_named_once_and_found() -> None:
    ids = [value for _, attributes in tags() if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids))
    for path in MODULES:
        for wanted in re.findall(r'byId\("([^"]+)"\)', path.read_text()):
            assert wanted in ids, f"{path.name} wants #{wanted}"


def test_reasons_have_a_meaning() -> None:
    """Each reason of the protos is explained where it is shown."""
    proto = STATIC.parents[2] / "protos" / "orion_registry_pb" / "v1" / "service.proto"
    reasons = set(re.findall(r"STATUS_REASON_CODE_(\w+) =", proto.read_text())) - {"UNSPECIFIED"}
    assert set(re.findall(r"^  ([A-Z_]+): \"", (STATIC / "words.js").read_text(), re.MULTILINE)) == reasons


def test_events_have_words() -> None:
    """Each event of the protos is told in words."""
    proto = (STATIC.parents[2] / "protos" / "orion_registry_pb" / "v1" / "events.proto").read_text()
    block = proto.partition("oneof event {")[2].partition("\n  }")[0]
    events = set(re.findall(r"^    \w+ (\w+) = \d+;", block, re.MULTILINE))
    assert set(re.findall(r"^  (\w+): \(", (STATIC / "event_words.js").read_text(), re.MULTILINE)) == events


@pytest.mark.parametrize("path", [*MODULES, *sorted(STATIC.glob("*.css"))], ids=lambda path: path.name)
def test_files_are_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 120
