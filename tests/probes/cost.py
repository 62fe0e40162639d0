"""What a run of each kind costs the registry: `python -m tests.probes.cost [RUNS]` prints CPU time, and the share of a
core that 5,000 checks every 30 s take. The targets run in another process; custom checks in their workers'.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time

from orion_registry.core.checks.spec import CheckSpec, CustomProbe, GrpcProbe, HttpProbe, IcmpProbe, Probe, TcpProbe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes import targets
from tests.probes.conftest import CUSTOM, lookup

CHECKS_A_SECOND = 5_000 / 30
AT_ONCE = 8


async def _serve() -> None:
    async with (
        targets.http(targets.answer()) as plain,
        targets.http(targets.answer(), cert="good.pem") as tls,
        targets.grpc_health() as (port, servicer),
        targets.grpc_health(cert="good.pem") as (secure, guarded),
    ):
        for server in (servicer, guarded):
            await server.set("", 1)
        print(json.dumps([plain.port, tls.port, port, secure]), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def _kinds(http: int, https: int, grpc: int, grpcs: int) -> dict[str, Probe]:
    host = "127.0.0.1"
    return {
        "http": HttpProbe(host=host, port=http),
        "http by name": HttpProbe(host="good.example", port=http),
        "http refused": HttpProbe(host=host, port=targets.refusing()),
        "https": HttpProbe(host=host, port=https, https=True),
        "tcp": TcpProbe(host=host, port=http),
        "tcp refused": TcpProbe(host=host, port=targets.refusing()),
        "icmp": IcmpProbe(host=host),
        "grpc": GrpcProbe(host=host, port=grpc),
        "grpc tls": GrpcProbe(host=host, port=grpcs, tls=True),
        "custom": CustomProbe(name="passing", host=host),
        "denied": HttpProbe(host="169.254.169.254", port=80),
    }


async def _measure(name: str, probe: Probe, runs: int) -> float:
    prober = Prober(ProbeConfig(ca_file=targets.CA, custom=CUSTOM), lookup=lookup)
    check = CheckSpec(name="c", probes=(probe,), timeout_s=5.0)
    verdict = (await prober.run(check, "")).verdict
    expected = {"denied": Verdict.DENIED}.get(name, Verdict.FAILED if "refused" in name else Verdict.PASSED)
    if verdict is not expected:
        await prober.close()
        raise SystemExit(f"{name}: {verdict.name}")
    todo = iter(range(runs))

    async def work() -> None:
        for _ in todo:
            outcome = await prober.run(check, "")
            assert outcome.verdict is expected, outcome

    began = _cpu()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    spent = (_cpu() - began) / runs
    await prober.close()
    return spent


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _main(runs: int) -> None:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.probes.cost", "--serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        ports = json.loads(server.stdout.readline())
        print(f"{'probe':14s} {'CPU a run':>10s} {'wall':>9s} {'5,000 at 30 s':>14s}")
        for name, probe in _kinds(*ports).items():
            began = time.perf_counter()
            spent = asyncio.run(_measure(name, probe, runs))
            wall = (time.perf_counter() - began) / runs
            print(f"{name:14s} {spent * 1e6:7.0f} us {wall * 1e6:6.0f} us {spent * CHECKS_A_SECOND:13.1%}", flush=True)
    finally:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(10)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(_serve())
    else:
        _main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
