"""TCP and ICMP probes, and whose fault an error of the operating system is."""

import errno
import os
import socket
import subprocess
import sys
import time

import pytest

from orion_registry.core.checks.spec import IcmpProbe, TcpProbe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.probes.ends import CheckUnavailable, Unreached
from orion_registry.probes.os_errors import end_in, end_of
from tests.probes import targets
from tests.probes.conftest import Look


async def test_tcp_passes_if_accepted_and_fails_if_refused(look: Look) -> None:
    with targets.listener() as port:
        assert (await look(TcpProbe(host="127.0.0.1", port=port))).verdict is Verdict.PASSED
    outcome = await look(TcpProbe(host="127.0.0.1", port=targets.refusing()))
    assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "connection refused")


async def test_tcp_fails_if_nobody_answers(look: Look) -> None:
    """A full backlog of Linux drops what comes."""
    with targets.listener(backlog=0) as port, socket.socket() as first, socket.socket() as second:
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        began = time.perf_counter()
        outcome = await look(TcpProbe(host="127.0.0.1", port=port), timeout_s=0.3)
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "no answer in 0.3 s")
        assert time.perf_counter() - began < 0.8


async def test_a_ping_of_this_machine_is_answered(look: Look) -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1"):
        outcome = await look(IcmpProbe(host=host))
        if outcome.verdict is Verdict.UNAVAILABLE:
            assert "needs net.ipv4.ping_group_range or CAP_NET_RAW" in outcome.detail  # where tests run without
        else:
            assert outcome.verdict is Verdict.PASSED, outcome


_UNPERMITTED = """
import asyncio, os, sys
from orion_registry.core.checks.spec import CheckSpec, IcmpProbe
from concurrent.futures import thread  # now: nobody can read it afterwards
from orion_registry.probes import icmp
from orion_registry.probes.prober import ProbeConfig, Prober
if os.getuid() == 0:
    open("/proc/sys/net/ipv4/ping_group_range", "w").write("1 0")
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    prober = Prober(ProbeConfig())
    outcome = await prober.run(CheckSpec(name="c", probes=(IcmpProbe(host="127.0.0.1"),)), "")
    print(outcome.verdict.name, outcome.detail)
asyncio.run(main())
"""


def test_without_permission_a_ping_is_unavailable() -> None:
    """In a process of no rights, in a network of its own where nobody may ping."""
    command = [sys.executable, "-c", _UNPERMITTED]
    if os.getuid() == 0:
        command = ["unshare", "--net", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=_paths())
    assert done.stdout.startswith("UNAVAILABLE the registry may not send ICMP") or (
        os.getuid() != 0 and done.stdout.startswith("PASSED")  # a machine that lets everybody ping
    )


_STARVED = """
import asyncio, os, resource, sys
from orion_registry.core.checks.spec import *
from orion_registry.probes.prober import ProbeConfig, Prober
async def main(port):
    prober = Prober(ProbeConfig(custom={"c": "json:loads"}))
    target = {"host": "127.0.0.1", "port": port}
    probes = [HttpProbe(**target), TcpProbe(**target), IcmpProbe(host="127.0.0.1"), GrpcProbe(**target),
              CustomProbe(name="c", **target)]
    for probe in probes:  # loads what is loaded late
        await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=2.0), "")
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for probe in probes:
        outcome = await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=2.0), "")
        print(probe.kind.name, outcome.verdict.name, outcome.detail)
    for fd in held:
        os.close(fd)
    await prober.close()
asyncio.run(main(int(sys.argv[1])))
"""


def test_without_descriptors_every_kind_is_unavailable() -> None:
    """The registry's own shortage marks nobody."""
    with targets.listener() as port:
        done = subprocess.run(
            [sys.executable, "-c", _STARVED, str(port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**_paths(), "GRPC_VERBOSITY": "NONE"},
        )
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [kind, "UNAVAILABLE"] for kind in ("HTTP", "TCP", "ICMP", "GRPC", "CUSTOM")
    ], done.stdout


def _paths() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    "code",
    [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, errno.EACCES, errno.EADDRNOTAVAIL],
)
def test_errors_of_the_registrys_machine_are_its_own(code: int) -> None:
    assert isinstance(end_of(OSError(code, os.strerror(code))), CheckUnavailable)
    assert isinstance(end_in(f"last error: {os.strerror(code)} (1)"), CheckUnavailable)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ECONNREFUSED, "connection refused"),
        (errno.ECONNRESET, "connection reset"),
        (errno.ETIMEDOUT, "connection timed out"),
        (errno.EHOSTUNREACH, "host unreachable"),
        (errno.ENETUNREACH, "network unreachable"),
        (errno.EINVAL, "connection failed (EINVAL)"),
        (None, "connection failed (unknown error)"),
    ],
)
def test_the_others_are_the_targets(code: int | None, words: str) -> None:
    end = end_of(OSError() if code is None else OSError(code, "text"))
    assert isinstance(end, Unreached)
    assert str(end) == words


def test_text_without_an_error_of_the_system_says_nothing() -> None:
    assert end_in("handshake failed") is None
