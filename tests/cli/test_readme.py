"""README.md: its Python examples run as they stand, against a daemon."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.process import clean_environment, daemon_process

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
DAEMON = '"127.0.0.1:6746"'


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize(("number", "told"), [(0, "127.0.0.1 9000 HEALTHY\n"), (1, "")])
def test_an_example(number: int, told: str) -> None:
    example = EXAMPLES[number]
    assert DAEMON in example
    with daemon_process() as daemon:
        ended = subprocess.run(
            [sys.executable, "-c", example.replace(DAEMON, repr(daemon.wait_ready()))],
            capture_output=True,
            text=True,
            timeout=30,
            env=clean_environment(),
            check=False,
        )
    assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", told)
