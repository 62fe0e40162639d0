"""docs/operating.md: every alarm that there is stands in it; what it says of the log is what is logged."""

import re
from pathlib import Path

from orion_registry.cli.daemon_doctor import ALARMS
from tests.docs.protos import ROOT

PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
CODE = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "orion_registry").rglob("*.py")))


def section(title: str) -> str:
    """What stands under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_alarm_is_explained() -> None:
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", section("Alarms"), re.MULTILINE))
    assert rows == ALARMS.keys()


def test_every_message_that_it_explains_is_logged() -> None:
    rows = re.findall(r"^\| (`.*?) \| .* \|$", section("The log"), re.MULTILINE)
    messages = [message for row in rows for message in re.findall("`([^`]+)`", row.partition(" | ")[0])]
    assert len(messages) > 10
    for message in messages:
        assert re.search(rf'log\.\w+\(\s*"{re.escape(message)}"', CODE) or f'error("{message}"' in CODE, message


def test_every_link_of_its_head_is_a_section() -> None:
    head = PAGE.partition("\n## ")[0]
    assert len(re.findall(r"\]\(#", head)) == len(re.findall("^## ", PAGE, re.MULTILINE))


def test_it_is_a_page_for_people_of_any_machine() -> None:
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for word in ("/work/", "/tmp/orion", "/root/"):
            assert word not in text, f"{Path(page).name} names {word}"
