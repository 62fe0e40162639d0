"""A daemon that is alone pays nothing for clusters."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

CODE = """
import asyncio, sys
from orion_registry.testing.daemon import running_daemon

async def run():
    async with running_daemon():
        pass

asyncio.run(run())
names = ("orion_registry.cluster", "orion_registry.etcd", "orion_etcd_pb", "orion_registry_pb.cluster",
         "orion_registry.core.membership", "orion_registry.runtime.clustered")
print([name for name in sys.modules if name.startswith(names)])
"""


def test_a_daemon_that_is_alone_imports_nothing_of_clusters() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'generated'}", "GRPC_VERBOSITY": "NONE"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
