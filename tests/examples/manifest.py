"""What the manifest of examples/kubernetes runs."""

import json
import re
from pathlib import Path

PLACE = Path(__file__).resolve().parents[2] / "examples" / "kubernetes"
MANIFEST = PLACE / "agent.yaml"


def commands() -> list[str]:
    """The shell lines of the manifest that call the command line, in their order: clear, drain, wait."""
    found = [json.loads(text) for text in re.findall(r"command: (\[.*\])$", MANIFEST.read_text(), re.MULTILINE)]
    return [line for *shell, line in found if shell == ["/bin/sh", "-ec"]]


def number(name: str) -> int:
    """A whole number that the manifest sets."""
    (value,) = re.findall(rf"^ *{name}: (\d+)$", MANIFEST.read_text(), re.MULTILINE)
    return int(value)
