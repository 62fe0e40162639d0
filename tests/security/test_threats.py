"""SECURITY.md: every test that it names exists, and what has none says so."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


def test_every_threat_has_a_row() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 22))


def test_every_test_that_a_row_names_exists() -> None:
    for number, _, defence, held in ROWS:
        named = re.findall(r"`(tests/[^`]+)`", held)
        assert named or "not yet" in defence, f"threat {number} has neither a test nor a word of why"
        for name in named:
            path, _, test = name.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8")
            assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE) if test else text, name
