"""One worker process of a custom check, as the registry sees it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import Process

from orion_registry.probes.ends import CheckUnavailable

_LINE = 64 * 1024
_END_S = 1.0
# What a child may know of the registry's environment: not its settings, tokens and proxies.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
# -I: nothing of the environment or the working directory loads code. What the registry itself can import, it may,
# after the standard library: a select.py beside the daemon's modules must not stand for the one that all need.
_BOOT = (
    "import json, sys; own = [path for path in sys.path if 'site-packages' not in path]; "
    "sys.path[:] = own + [path for path in json.loads(sys.argv[1]) if path not in own]; "
    "from orion_registry.probes.custom_worker import main; main()"
)


class Worker:
    """A process that runs one callable, a call at a time."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.calls = 0

    @classmethod
    async def start(cls, callable_name: str) -> "Worker":
        """Starts it and waits until it has loaded module:callable.

        Raises:
            CheckUnavailable: it cannot start or load it.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-c",
                _BOOT,
                json.dumps([path for path in sys.path if path]),
                callable_name,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                start_new_session=True,  # a group of its own: kill() takes its children along
                limit=_LINE,
            )
        except OSError as error:
            raise CheckUnavailable(f"the custom check cannot be started: {type(error).__name__}") from None
        worker = cls(process)
        try:
            answer = await worker._answer()
            if "ready" not in answer:
                raise CheckUnavailable(f"the custom check cannot be loaded: {answer.get('broken')}")
        except BaseException:
            worker.kill()
            await worker.ended()
            raise
        return worker

    async def call(self, target: dict[str, object]) -> tuple[str, str]:
        """How a call ended ("passed", "failed", "raised") and why.

        Raises:
            CheckUnavailable: the process ended instead.
        """
        self.calls += 1
        pipe = self._process.stdin
        assert pipe is not None  # asked for in start()
        pipe.write(json.dumps(target).encode() + b"\n")
        answer = await self._answer()
        return str(answer.get("end")), str(answer.get("why", ""))

    async def _answer(self) -> dict[str, object]:
        pipe = self._process.stdout
        assert pipe is not None  # asked for in start()
        try:
            line = await pipe.readline()
            answer = json.loads(line) if line else None
        except (ValueError, OSError):  # not JSON, too long, or broken off
            answer = {}
        if answer is None:
            raise CheckUnavailable("the custom check's process ended")
        if not isinstance(answer, dict):
            answer = {}
        return answer

    @property
    def is_gone(self) -> bool:
        """Whether its process has ended."""
        return self._process.returncode is not None

    def kill(self) -> None:
        """Ends it and whatever it started, now."""
        if not self.is_gone:  # else its number may be another's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def ended(self) -> None:
        """Waits until it is gone, but not for a child of it that fled its group and holds the pipe."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await self._process.wait()
