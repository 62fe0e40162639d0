"""SelectService, DiscoverServices and GetService under h2load: the client is C, so that the server alone is the limit.

h2load (Debian: nghttp2-client) sends one gRPC message as it stands, over and over, and reads no grpc-status: so each
request is tried with a real client first, and the bytes of the answers are counted. Selections are not released, and
their leases outlive the bench, at agents without a limit of slots.
"""

import asyncio
import re
import shutil
import struct
import tempfile

from orion_registry.core.selector import Selector
from orion_registry.wire.requests import encode_selector
from orion_registry_pb.v1 import balancer_pb2, registry_pb2
from tests.bench.echo import UNARY
from tests.bench.figures import Figure
from tests.bench.fleet import register
from tests.bench.processes import Server
from tests.bench.setting import Setting
from tests.bench.unary import answer_size

PACKAGE = "/orion.registry.v1"
HEARTBEAT = f"{PACKAGE}.RegistryService/Heartbeat"
FOUND, OTHERS = 10, 90
CONNECTIONS, STREAMS = 4, 8
PATIENCE_S = 30.0


async def measure(setting: Setting) -> list[Figure]:
    """The figures load-select, load-discover and load-get."""
    if shutil.which("h2load") is None:
        print("h2load: not installed (Debian: apt-get install nghttp2-client): left out", flush=True)
        return []
    address = setting.registry.address
    agents = await register(address, [f"found-{number}" for number in range(FOUND)], "search", slots=0)
    await register(address, [f"other-{number}" for number in range(OTHERS)], "draw")
    first = [agent.idle_hello.hex() for agent in agents]
    await setting.load.do(do="open", address=address, path=HEARTBEAT, first=first, beat=agents[0].beat)
    selector = encode_selector(Selector(capabilities=("search",)))
    select = balancer_pb2.SelectServiceRequest(selector=selector)
    discover = registry_pb2.DiscoverServicesRequest(selector=selector)
    get = registry_pb2.GetServiceRequest(service_id=agents[0].service_id)
    return [
        figure
        for name, path, request in (
            ("select", f"{PACKAGE}.BalancerService/SelectService", select.SerializeToString()),
            ("discover", f"{PACKAGE}.RegistryService/DiscoverServices", discover.SerializeToString()),
            ("get", f"{PACKAGE}.RegistryService/GetService", get.SerializeToString()),
        )
        for figure in await _compare(setting, name, path, request)
    ]


async def _compare(setting: Setting, name: str, path: str, request: bytes) -> list[Figure]:
    size = await answer_size(setting.registry.address, path, request)
    what = f"h2load, {path.rpartition('/')[2]}"
    cpu = Figure(name=f"load-{name}", what=f"{what}: CPU", unit="us a call", inverse=True)
    speed = Figure(name=f"load-{name}-speed", what=f"{what}: throughput", unit="calls/s")
    for number in range(-1, setting.rounds):
        seconds = setting.seconds if number >= 0 else 1.0  # the first round warms up
        ours = await _load(setting.registry, path, request, size, seconds)
        reference = await _load(setting.bare, f"{UNARY}/{size}", request, size, seconds)
        if number >= 0:
            cpu.add(ours[0], reference[0])
            speed.add(ours[1], reference[1])
    return [cpu, speed]


async def _load(server: Server, path: str, request: bytes, size: int, seconds: float) -> tuple[float, float]:
    """Microseconds of the server's CPU a call, and calls a second. Raises RuntimeError if not all were answered."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(struct.pack(">BI", 0, len(request)) + request)
        body.flush()
        before = server.cpu_s
        process = await asyncio.create_subprocess_exec(
            "h2load", "-D", f"{max(1, round(seconds))}", "-c", str(CONNECTIONS), "-m", str(STREAMS), "-d", body.name,
            "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{server.address}{path}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await asyncio.wait_for(process.communicate(), timeout=seconds + PATIENCE_S)
        cpu_s = server.cpu_s - before
    calls, per_s = answered(told.decode(), size)
    return cpu_s * 1e6 / calls, per_s


def answered(told: str, size: int) -> tuple[int, float]:
    """Calls that succeeded, and how many a second, as h2load tells them; raises RuntimeError if some did not."""
    finished = re.search(r"finished in [\d.]+m?s, ([\d.]+) req/s", told)
    requests = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", told)
    data = re.search(r"\((\d+)\) data", told)
    if finished is None or requests is None or data is None:
        raise RuntimeError(f"h2load told {told[-500:]!r}")
    done, succeeded = int(requests[1]), int(requests[2])
    # Each answer has its 5 bytes of frame; a refused call has no message at all. Sizes vary with a number's digits.
    if not succeeded or succeeded < done or int(data[1]) < 0.9 * succeeded * (size + 5):
        raise RuntimeError(f"of {done} calls {succeeded} succeeded, with {data[1]} bytes: {size} each are due")
    return succeeded, float(finished[1])
