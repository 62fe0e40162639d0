"""docs/embedded.md: its blocks run one after the other, and print what stands below them."""

import re
import subprocess
import sys
from pathlib import Path

from tests.cli.process import clean_environment

PAGE = (Path(__file__).parents[2] / "docs" / "embedded.md").read_text(encoding="utf-8")
TRIED = re.findall(r"<!-- tried: (\w+) -->\n```python\n(.*?)```\n\n```\n(.*?)```", PAGE, re.DOTALL)


def test_what_the_page_says_can_be_typed_and_prints_what_it_says() -> None:
    assert [name for name, _, _ in TRIED] == ["ten", "alive", "select", "checks", "events"]
    assert PAGE.count("```python") == len(TRIED)
    code = "\n".join(block for _, block, _ in TRIED)
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env=clean_environment(),
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == "".join(printed for _, _, printed in TRIED)
