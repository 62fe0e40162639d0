"""SECURITY.md: every test that it names exists, and what has none says so."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
KNOWN = re.findall(
    r"\S+",
    """
2023-44487 2025-8671 2023-33953 2023-32731 2023-32732 2023-1428 2023-4785 2024-7246 2024-11407 2024-27316
2019-9512 2019-9515 2019-9518 2022-1941 2025-4565 2026-0994 2022-29153 2020-7219 2021-28156 2018-19653
2021-29441 2021-29442 2021-43116 2026-33413 2026-33343 2026-73499 2023-32082 2018-16886 2023-44981 2020-16248
2020-8555 2026-77822 2026-42559 2026-11624 2025-49596 2024-4032
""",
)
"""Flaws of the libraries that are used, and of what does such work elsewhere."""
FLAWS = PAGE.partition("## Known flaws of others")[2]
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


def test_every_threat_has_a_row() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 22))


def test_every_test_that_a_row_names_exists() -> None:
    for number, _, defence, held in ROWS:
        named = re.findall(r"`(tests/[^`]+)`", held)
        assert named, f"threat {number} has no test: {defence}"
        for name in named:
            assert is_there(name), name


def is_there(name: str) -> bool:
    """Whether a test, or a file of them, exists."""
    path, _, test = name.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    return bool(re.search(rf"^(async )?def {test}\(", text, re.MULTILINE) if test else text)


def test_every_known_flaw_has_a_row_that_says_what_holds_here() -> None:
    rows = re.findall(r"^\| (.*) \| (.*?) \|$", FLAWS, re.MULTILINE)[1:]
    for cve in KNOWN:
        assert [here for flaw, here in rows if f"CVE-{cve}" in flaw], cve
    for flaw, here in rows:
        threats = re.search(r"[Tt]hreats? (\d+)", here)
        assert threats or re.search("mended|not used|docs/guarantees|the store has one", here) or "`tests/" in here, (
            flaw
        )
        assert all(is_there(name) for name in re.findall(r"`(tests/[^`]+)`", here)), flaw
