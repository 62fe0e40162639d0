"""Must-show: a real Prometheus scrapes the registry, finds agents through it, and knows how soon a kill was noticed.

python -m tests.e2e.prometheus. Needs Debian's package prometheus (with promtool). The configuration is the one in
examples/monitoring, made faster. Exits with 1 on any fault.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from examples.demo.caller import Timeline
from examples.demo.processes import Child, Nursery, free_port
from orion_registry import RegistryClient, Selector, ServiceStatus
from orion_registry.client.fold import WatchEvent
from tests.e2e.fleet import start_daemon

MONITORING = Path(__file__).parents[2] / "examples/monitoring"
WAIT_S = 60.0
AGENTS = ("calc-1", "calc-2", "calc-3")


class Prometheus:
    """A server that scrapes every second, asked over its API."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}/api/v1/query?query="

    async def values(self, query: str) -> dict[str, float]:
        """Values of a query, by agent_id (empty where there is none)."""
        try:
            async with self._session.get(self._base + urllib.parse.quote(query)) as response:
                told = await response.json()
        except aiohttp.ClientConnectionError:
            return {}
        assert told["status"] == "success", told
        return {one["metric"].get("agent_id", ""): float(one["value"][1]) for one in told["data"]["result"]}

    async def until(self, query: str, holds: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Values of a query once something holds of them."""
        deadline = time.monotonic() + WAIT_S
        while not holds(values := await self.values(query)):
            if time.monotonic() > deadline:
                raise SystemExit(f"fault: {query} is {values} after {WAIT_S:g} s")
            await asyncio.sleep(0.2)
        print(f"  {query}\n    -> {values}")
        return values


def configuration(directory: Path, http: str) -> Path:
    """What is shipped, at this address and every second."""
    text = (MONITORING / "prometheus.yml").read_text().replace("localhost:6747", http).replace("15s", "1s")
    shutil.copy(MONITORING / "orion-alerts.yml", directory)
    path = directory / "prometheus.yml"
    path.write_text(text)
    return path


@contextmanager
def running(process: asyncio.subprocess.Process) -> Iterator[None]:
    """Ended at the end."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()


async def promtool(*arguments: str, stdin: str = "") -> None:
    """Runs a check; a finding ends this."""
    process = await asyncio.create_subprocess_exec(
        "promtool", *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate(stdin.encode())
    if process.returncode != 0:
        raise SystemExit(f"fault: promtool {' '.join(arguments)}: {output.decode()}")
    print(f"  promtool {' '.join(Path(word).name for word in arguments)}: nothing found")


async def killed(client: RegistryClient, victim: Child) -> float:
    """Kills an agent; seconds until a watcher sees it UNHEALTHY."""

    def is_victim(event: WatchEvent, status: ServiceStatus) -> bool:
        service = event.service
        return service is not None and service.agent_id == victim.name and service.status is status

    async with client.watch(Selector(include_not_ready=True)) as watch:
        timeline = Timeline(watch)
        await timeline.first(lambda event: is_victim(event, ServiceStatus.HEALTHY))
        before = time.monotonic()
        victim.kill()
        seen, _ = await timeline.first(lambda event: is_victim(event, ServiceStatus.UNHEALTHY))
        await timeline.close()
    return seen - before


async def show(directory: Path, session: aiohttp.ClientSession, nursery: Nursery) -> None:
    """The whole story."""
    address = await start_daemon(nursery, "--http", "127.0.0.1:0", "--retention", "1h")
    log = [json.loads(line) for line in nursery.children[0].log.read_text().splitlines()]
    http = next(line["http"] for line in log if line["message"] == "ready")
    agents = {name: await nursery.start_ready(name, "-m", "tests.e2e.metrics_agent", name, address) for name in AGENTS}
    print("checks:")
    async with session.get(f"http://{http}/metrics") as response:
        await promtool("check", "metrics", stdin=await response.text())
    await promtool("check", "rules", str(MONITORING / "orion-alerts.yml"))
    await promtool("check", "config", str(MONITORING / "prometheus.yml"))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        "prometheus", f"--config.file={configuration(directory, http)}", f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    )  # fmt: skip
    with running(process):
        prometheus = Prometheus(session, port)
        print("scraped:")
        await prometheus.until('up{job="orion"}', lambda found: list(found.values()) == [1.0])
        await prometheus.until('up{job="agents"}', lambda found: found == dict.fromkeys(AGENTS, 1.0))
        await prometheus.until("calls_done_total", lambda found: found == dict.fromkeys(AGENTS, 42.0))
        await prometheus.until('orion_services{status="HEALTHY"}', lambda found: found == {"": 3.0})
        await kill_one(prometheus, address, agents[AGENTS[0]])


async def kill_one(prometheus: Prometheus, address: str, victim: Child) -> None:
    """Kills an agent; what a watcher saw and what Prometheus says must fit."""
    labels = '{reason="DISCONNECTED"}'
    await prometheus.until(f"orion_detection_seconds_count{labels}", lambda found: found == {"": 0.0})
    async with RegistryClient(address) as client:
        took_s = await killed(client, victim)
    print(f"killed: a watcher saw it UNHEALTHY after {took_s * 1e3:.1f} ms; what Prometheus says of it:")
    one = {"": 1.0}
    await prometheus.until(f"orion_detection_seconds_count{labels}", lambda found: found == one)
    delay = (await prometheus.until(f"orion_detection_seconds_sum{labels}", bool))[""]
    if not 0.0 < delay <= took_s:
        raise SystemExit(f"fault: a detection of {delay:.6f} s does not fit into {took_s:.6f} s")
    most = await prometheus.until(f"histogram_quantile(1, sum by (le) (orion_detection_seconds_bucket{labels}))", bool)
    if most[""] > 0.1:
        raise SystemExit(f"fault: detection took up to {most['']} s")
    silence = (await prometheus.until(f"orion_silence_seconds_sum{labels}", bool))[""]
    if not 0.0 < silence < 3.0:
        raise SystemExit(f"fault: a silence of {silence} s before a kill, at beats of 1 s")
    await prometheus.until('orion_services{status="UNHEALTHY"}', lambda found: found == one)
    await prometheus.until('orion_status_changes_total{reason="DISCONNECTED"}', lambda found: found == one)
    wanted = {name: float(name != victim.name) for name in AGENTS}
    await prometheus.until('up{job="agents"}', lambda found: found == wanted)


async def main() -> int:
    """Runs the command line."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    for command in ("prometheus", "promtool"):
        if shutil.which(command) is None:
            raise SystemExit(f"{command} is missing: install Debian's package prometheus (.ci/packages)")
    with tempfile.TemporaryDirectory() as name:
        async with aiohttp.ClientSession() as session, Nursery(Path(name)) as nursery:
            await show(Path(name), session, nursery)
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
