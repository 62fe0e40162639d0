"""Every scenario runs as its file says, to the letter. `python -m tests.scenarios --rewrite` writes what is so now."""

from pathlib import Path

import pytest

from tests.scenarios.run import differences, run
from tests.scenarios.script import read

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_runs_as_written(path: Path) -> None:
    script = read(path)
    ran = run(script)
    assert ran.text == path.read_text(), differences(script, ran)
