"""A command run to its end in this process: its arguments, environment and stdin in; exit code, stdout and stderr out.

It saves the third of a second in which Python imports gRPC. What a process alone can show, such as signals, closed
pipes and terminals, is tested with processes. Off the main thread, where no command can run, it is a process, too.
"""

import io
import os
import subprocess
import sys
import threading
from unittest.mock import patch

from orion_registry.cli.main import main
from tests.cli.process import clean_environment


class _Stream(io.TextIOWrapper):
    """stdout or stderr of a command: text or bytes in, bytes out."""

    def __init__(self) -> None:
        self._kept = io.BytesIO()
        super().__init__(self._kept, encoding="utf-8", write_through=True)

    def written(self) -> bytes:
        self.flush()
        return self._kept.getvalue()


def run_bytes(
    *arguments: str, stdin: bytes = b"", environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """`orion-registry ARGUMENTS` with the environment of `clean_environment` and what is given."""
    surroundings = clean_environment(**environment or {})
    if threading.current_thread() is not threading.main_thread():
        command = (sys.executable, "-m", "orion_registry", *arguments)
        return subprocess.run(command, input=stdin, capture_output=True, timeout=30, env=surroundings, check=False)
    out, err = _Stream(), _Stream()
    with (
        patch.object(sys, "argv", ["orion-registry", *arguments]),
        patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        patch.dict(os.environ, surroundings, clear=True),
    ):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
    return subprocess.CompletedProcess(arguments, code, out.written(), err.written())


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """As `run_bytes`, with text."""
    ended = run_bytes(*arguments, environment=environment)
    return subprocess.CompletedProcess(ended.args, ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def done(*arguments: str, **environment: str) -> list[str]:
    """Lines of a run that went well."""
    ended = run(*arguments, **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def failed(code: int, *arguments: str, **environment: str) -> str:
    """The one line of a run that did not."""
    ended = run(*arguments, **environment)
    assert (ended.returncode, ended.stdout) == (code, "")
    (line,) = ended.stderr.splitlines()
    assert line.startswith("orion-registry: ")
    return line
