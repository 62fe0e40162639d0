"""README.md: all 18 promises are in it, and each names a test or a row that exists; what holds in part says how."""

import re
import shlex
from pathlib import Path

from tests.docs.protos import ROOT
from tests.faults.__main__ import ROWS as FAULTS

README = (ROOT / "README.md").read_text(encoding="utf-8")
_, _, SECTION = README.partition("## What it promises, and the test that holds it\n")
SECTION, _, _ = SECTION.partition("\n## ")
ROWS = re.findall(r"^\| (\d*) ?\| (.+?) \| (.+?) \| (.+?) \|$", SECTION, re.MULTILINE)[1:]
NOTES = SECTION.rpartition(" |\n")[2]
PROMISES = 18
IN_WORDS = re.compile(r"yes|(?:yes|one by one|mostly|partly) ([¹²³⁴⁵⁶⁷])")
FAULT_NAMES = {row.name for row in FAULTS}


def exists(named: str, root: Path = ROOT) -> bool:
    """Whether a test, a file of tests, a program of ours or a row of faults is there."""
    words = shlex.split(named)
    if "--row" in words:  # the second one of a promise is named without scripts/faults
        return words[-1] in FAULT_NAMES and words[:-2] in ([], ["scripts/faults"])
    if words[:2] == ["python", "-m"]:
        place = root / words[2].replace(".", "/")
        return place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()
    path, _, test = named.partition("::")
    if not (root / path).is_file():
        return False
    text = (root / path).read_text(encoding="utf-8")
    return bool(re.search(rf"^(?:async )?def {test or 'test_'}", text, re.MULTILINE))


def test_all_promises_are_there_in_their_order() -> None:
    numbers = [int(number) for number, *_ in ROWS if number]
    assert numbers == list(range(1, PROMISES + 1))


def test_every_test_that_it_names_exists() -> None:
    for number, promise, _, tests in ROWS:
        named = re.findall("`([^`]+)`", tests)
        assert named, promise
        for one in named:
            assert exists(one), f"{number}: {one}"


def test_what_holds_in_part_says_how() -> None:
    marks = []
    for _, promise, holds, _ in ROWS:
        found = IN_WORDS.fullmatch(holds)
        assert found, promise
        marks += [found.group(1)] if found.group(1) else []
    assert marks == re.findall("([¹²³⁴⁵⁶⁷])", NOTES), "each mark has its note, in their order"


def test_what_is_not_there_is_found() -> None:
    assert exists("scripts/faults --row kill")
    assert not exists("scripts/faults --row kill-nobody")
    assert not exists("scripts/fault --row kill")
    assert not exists("python -m tests.e2e.gone")
    assert not exists("tests/core/test_registry.py::test_gone")
    assert not exists("tests/core/test_gone.py")
