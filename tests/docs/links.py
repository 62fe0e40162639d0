"""Links and headings of the project's pages."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.docs.protos import ROOT

PAGES = sorted(
    page for place in ("*.md", "docs/**/*.md", "examples/**/*.md", "deploy/**/*.md") for page in ROOT.glob(place)
)
PAGES = [page for page in PAGES if "node_modules" not in page.parts]


def prose(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^(```|~~~).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)


def links(text: str) -> Iterator[str]:
    """Where a page points to, but for other sites."""
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`(?!\])", "", prose(text))):
        if not re.match(r"[a-z]+:", target):
            yield target


def anchors(text: str) -> Counter[str]:
    """What the headings of a page are linked by, as GitHub makes it."""
    found: Counter[str] = Counter()
    for title in re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        found[re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")] += 1
    return found


def broken(page: Path) -> Iterator[str]:
    """Links of a page that lead nowhere, or to one of several headings of the same name."""
    text = page.read_text(encoding="utf-8")
    for target in links(text):
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        if not place.exists() or (anchor and anchors(place.read_text(encoding="utf-8"))[anchor] != 1):
            yield target
