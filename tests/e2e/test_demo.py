"""The demo and the kill measurement hold, as a user runs them, and leave no process behind."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.kill_latency import measure

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
DEMO = [sys.executable, "examples/demo/main.py"]


@pytest.mark.timeout(60)
def test_demo_holds_and_says_so_in_json() -> None:
    done = subprocess.run([*DEMO, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document = json.loads(done.stdout)
    assert document["ok"]
    assert document["seconds"] < 20
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- from: scripts/demo -->")[2]
    told = re.findall(r"^\d\. (.+)$", readme, re.MULTILINE)
    assert len(told) == 3
    assert set(told) <= {step["title"] for step in document["steps"]}, "the README shows what the demo prints"
    kill = next(step for step in document["steps"] if "SIGKILL" in step["title"])
    assert kill["facts"]["unhealthy_ms"] < 100
    assert kill["facts"]["late_calls"] == 0
    assert kill["facts"]["calls_after"] > 20
    back = next(step for step in document["steps"] if "started again" in step["title"])
    assert back["facts"]["epoch_after"] > back["facts"]["epoch_before"]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_interrupted_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--logs", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    for line in demo.stdout:
        if "A caller discovers" in line:
            break
    children = _descendants(demo.pid)
    assert len(children) >= 6
    demo.send_signal(number)
    demo.communicate(timeout=20)
    assert demo.returncode == 130
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def _descendants(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


@pytest.mark.timeout(120)
async def test_kill_is_seen_in_100_ms_and_no_call_goes_to_the_dead(tmp_path: Path) -> None:
    """The quick form of `python -m tests.e2e.kill_latency`: the best of 3 runs, as other work may delay one or two."""
    outcome = await measure(runs=3, agents=50, rate=100.0, directory=tmp_path, quiet=True)
    told = outcome.summary() + "\n" + "\n".join(map(str, outcome.runs))
    assert any(run.holds for run in outcome.runs), told
    assert sum(run.untrue for run in outcome.runs) == 0, told
    assert outcome.crowd_healthy == outcome.agents, told
