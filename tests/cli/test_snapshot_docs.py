"""docs/snapshots.md: what it tells people to type does what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orion_registry.core.facts import Stored
from orion_registry.core.model import LivenessMode
from orion_registry.store.snapshot import write_snapshot
from tests.building import make_record, make_spec
from tests.cli.process import clean_environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "snapshots.md").read_text(encoding="utf-8")
HASHES = {"secret_hash": "a" * 64, "payload_hash": "b" * 64}
SPECS = (
    make_spec("calc-1", "calc", service_id="one", host="10.0.0.7", port=9_000, capabilities=("math.add", "math.mul")),
    make_spec("calc-1", "room", service_id="two", host="10.0.0.7", metadata_json='{"room":"12"}'),
    make_spec("calc-2", "calc", service_id="three", capabilities=("math.add",), liveness=LivenessMode.STATIC),
)


def block(title: str, beginning: str) -> str:
    """The bash block under a title that begins so."""
    _, _, section = PAGE.partition(f"## {title}\n")
    section, _, _ = section.partition("\n## ")
    found = [text for text in re.findall(r"```bash\n(.*?)```", section, re.DOTALL) if text.startswith(beginning)]
    assert len(found) == 1
    return str(found[0])


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_text_tools(tmp_path: Path) -> None:
    """Every example runs; the sums agree; an edited file with new ends is sound."""
    records = tuple(make_record(spec, **HASHES) for spec in SPECS)
    for name, some in (("orion", records), ("monday", records), ("tuesday", records[:2])):
        data = b"".join(write_snapshot(Stored(records=some, epochs_below=9), 1_795_431_600.0))
        (tmp_path / f"{name}.snapshot").write_bytes(data)
    tool = tmp_path / "orion-registry"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m orion_registry "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    path = f"{tmp_path}:{clean_environment()['PATH']}"
    python_path = f"{ROOT}:{ROOT / 'generated'}"
    script = "\n".join((block("With text tools", "# who"), block("With text tools", "jq -c")))
    ended = subprocess.run(
        ["bash", "-euc", script.replace("diff <", "! diff <")],  # they differ: diff says so with exit code 1
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=clean_environment(PATH=path, PYTHONPATH=python_path),
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[:3] == [
        "default\tcalc-1\tcalc\t10.0.0.7:9000",
        "default\tcalc-1\troom\t10.0.0.7:0",
        "default\tcalc-2\tcalc\t:0",
    ]
    assert [line.split() for line in lines[3:5]] == [["2", "math.add"], ["1", "math.mul"]]
    assert lines[5:7] == ["{}", '{"room":"12"}']
    changed = [line for line in lines if line.startswith(("< ", "> "))]
    assert len(changed) == 1
    assert '"agent_id":"calc-2"' in changed[0]
    sums = [line.removesuffix("  -") for line in lines if re.fullmatch(r"[0-9a-f]{64}(  -)?", line)]
    assert len(sums) == 2
    assert sums[0] == sums[1]
    assert any(line.startswith("edited.snapshot: a sound snapshot of 1 service, ") for line in lines)


def test_the_fields_are_all_explained() -> None:
    """No field of the file is missing from the page."""
    data = b"".join(write_snapshot(Stored(records=(make_record(SPECS[0], **HASHES),), epochs_below=9), 0.0))
    for field in re.findall(rb'"([a-z_0-9]+)":', data):
        assert field.decode() in PAGE, field
