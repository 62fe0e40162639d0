"""Every link of every page leads to something; every page of docs/ is in the index, and leads back to it."""

from pathlib import Path

import pytest

from tests.docs.links import PAGES, anchors, broken, links
from tests.docs.protos import ROOT

DOCS = ROOT / "docs"
INDEX = DOCS / "README.md"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken(page)) == []


def test_every_page_of_the_docs_is_in_the_index_and_leads_back() -> None:
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in links(INDEX.read_text(encoding="utf-8"))}
    for page in sorted(DOCS.rglob("*.md")):
        if page == INDEX:
            continue
        back = {target.partition("#")[0] for target in links(page.read_text(encoding="utf-8"))}
        assert page in listed, f"{named(page)} is not in docs/README.md"
        assert {"README.md", "../README.md"} & back, f"{named(page)} does not lead back to docs/README.md"


def test_what_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One, and `two`\n\n[a](other.md) [b](#one-and-two) [c](#three) `[d](no.md)`\n```\n[e](no.md)\n```\n"
        "# Four\n# Four\n[f](#four) [g](https://example.org/x) [`h`](gone.md)\n",
        encoding="utf-8",
    )
    assert list(broken(page)) == ["other.md", "#three", "#four", "gone.md"]
    assert anchors("## `a_b`: C-d (e)")["a_b-c-d-e"] == 1
