"""Must-show 5 of the SDK: what importing it costs, and what it does not bring along."""

import json
import subprocess
import sys

BUDGET = 4.0
"""The CPU time that an agent's imports may take, as a multiple of `import grpc.aio` alone in the same run; of each the
best of five counts. docs/performance.md has the time."""
CODE = """
import json, sys, time
began = time.process_time()
import orion_registry
bare = sorted(name for name in sys.modules if name.startswith(("orion_registry", "grpc", "google")))
{use}
print(json.dumps([time.process_time() - began, bare, sorted(sys.modules)]))
"""


def imported(use: str) -> tuple[float, list[str], list[str]]:
    """Seconds of CPU, the modules of `import orion_registry` alone, and all in the end."""
    done = subprocess.run([sys.executable, "-c", CODE.format(use=use)], capture_output=True, text=True, check=True)
    took_s, bare, loaded = json.loads(done.stdout)
    return took_s, bare, loaded


def test_the_package_alone_loads_nothing() -> None:
    assert imported("")[1] == ["orion_registry"]


def test_an_agent_pays_for_no_server_and_no_balancer() -> None:
    grpc_s = min(imported("import grpc.aio")[0] for _ in range(5))
    took_s, _, loaded = min(imported("orion_registry.RegistryClient") for _ in range(5))
    assert took_s < BUDGET * grpc_s
    rooms = {name.split(".")[1] for name in loaded if name.startswith("orion_registry.")}
    assert rooms == {"calls", "client", "core", "errors", "wire"}
    assert "orion_registry.core.selection.balancer" not in loaded
    assert "orion_registry.client.local_view" not in loaded
    # grpcio itself imports grpc_health and grpc_reflection where they are installed; they import nothing.
    assert not {"click", "aiohttp", "sqlite3", "grpc_health.v1", "icmplib", "pythonjsonlogger"} & set(loaded)


def test_a_local_view_brings_its_balancer_and_nothing_of_the_server() -> None:
    _, _, loaded = imported("orion_registry.LocalView")
    assert "orion_registry.core.selection.unleased" in loaded
    rooms = {name.split(".")[1] for name in loaded if name.startswith("orion_registry.")}
    assert rooms == {"calls", "client", "core", "errors", "wire"}


def test_the_embedded_manager_brings_neither_network_nor_probes() -> None:
    _, _, loaded = imported("orion_registry.ServiceDiscoveryManager")
    rooms = {name.split(".")[1] for name in loaded if name.startswith("orion_registry.")}
    assert rooms == {"core", "errors", "manager", "runtime"}
    assert not {"grpc", "google.protobuf", "aiohttp", "sqlite3"} & set(loaded)
