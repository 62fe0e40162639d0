"""What the page is looked at with: a daemon that can be stopped and started, a crowd of agents, a victim."""

import asyncio
import json
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from examples.demo.processes import Child, Nursery, free_port
from orion_registry.client.client import RegistryClient
from orion_registry.client.specs import with_metadata
from orion_registry.core.model import LivenessMode, ServiceSpec
from tests.e2e.fleet import daemon_address

MARKUP = '<script>window.hacked = true</script><img src=x onerror="window.hacked = true">'
HOSTILE = "hostile"
VICTIM = "victim"
TICKS_PER_S = 100


class Stage:
    """A daemon on ports that stay, and the processes around it."""

    def __init__(self, nursery: Nursery, directory: Path) -> None:
        self.nursery = nursery
        self.directory = directory
        self.address = f"127.0.0.1:{free_port()}"
        self.http = f"127.0.0.1:{free_port()}"
        self.base = f"http://{self.http}"
        self.daemon: Child | None = None

    async def start_daemon(self) -> None:
        """Starts it, or starts it again on what it stored."""
        options = ("--listen", self.address, "--http", self.http, "--data-dir", str(self.directory / "data"))
        more = ("--log-format", "json", "--admission-rate", "1000000")
        name = f"daemon-{len(self.nursery.children)}"
        self.daemon = await self.nursery.start(name, "-m", "orion_registry", "serve", *options, *more)
        await daemon_address(self.daemon)

    async def stop_daemon(self) -> None:
        """SIGTERM, and waits for its end."""
        assert self.daemon is not None
        await self.daemon.stop(20.0)

    async def start_crowd(self, services: int, *options: str) -> Child:
        """A process of many agents."""
        arguments = ("-m", "examples.demo.crowd", self.address, "--services", str(services), *options)
        name = f"crowd-{len(self.nursery.children)}"
        return await self.nursery.start_ready(name, *arguments, timeout_s=60.0 + services / 20)

    async def start_victim(self) -> Child:
        """An agent that is a process of its own, to be killed."""
        name = f"victim-{len(self.nursery.children)}"
        return await self.nursery.start_ready(name, "-m", "tests.e2e.kill_roles", "target", VICTIM, self.address)

    async def register_hostile(self) -> str:
        """A service whose every free text is markup; returns its id."""
        spec = ServiceSpec(
            agent_id=HOSTILE,
            service_name=HOSTILE,
            host="127.0.0.1",
            capabilities=(MARKUP, "</div><b>bold</b>"),
            tags=(MARKUP,),
            version=MARKUP,
            zone=MARKUP,
            liveness=LivenessMode.STATIC,
        )
        async with RegistryClient(self.address) as client:
            answer = await client.register(with_metadata(spec, {"note": MARKUP, MARKUP: "key"}))
        return answer.service.service_id

    def cpu_s(self) -> float:
        """Seconds of CPU that the daemon has used."""
        assert self.daemon is not None
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def info(self, figure: str) -> int:
        """A figure of GetServerInfo."""
        with urllib.request.urlopen(f"{self.base}/api/v1/info", timeout=10.0) as answer:
            return int(json.load(answer)[figure])


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A stage whose daemon runs; everything is taken down at the end."""
    with tempfile.TemporaryDirectory(prefix="orion-page-") as name:
        async with Nursery(Path(name)) as nursery:
            made = Stage(nursery, Path(name))
            await made.start_daemon()
            await wait_for_http(made.http)
            yield made


async def wait_for_http(address: str, timeout_s: float = 20.0) -> None:
    """Until the HTTP port takes connections."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            _, writer = await asyncio.open_connection(*address.split(":"))
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
