"""Custom checks, good ones and bad ones. Each gets what a check names as `host` and `port`; port says what to do."""

import os
import resource
import signal
import subprocess
import sys
import time

from orion_registry.probes import CheckFailed

NAMES = ("passing", "false", "failing", "raising", "odd", "blocking", "exiting", "killed", "hogging", "leaking",
         "saying", "printing", "telling", "counting", "forking", "slow", "by_port", "bounds", "lasting")  # fmt: skip

_calls = 0


def passing(target: dict[str, object]) -> None:
    """Passes."""


def false(target: dict[str, object]) -> bool:
    return False


def failing(target: dict[str, object]) -> None:
    raise CheckFailed("queue is 12 deep\n, not 3")


def raising(target: dict[str, object]) -> None:
    raise RuntimeError("secret text of the target")


def odd(target: dict[str, object]) -> str:
    return "yes"


def blocking(target: dict[str, object]) -> None:
    time.sleep(60)


def exiting(target: dict[str, object]) -> None:
    sys.exit(0)


def killed(target: dict[str, object]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hogging(target: dict[str, object]) -> None:
    bytearray(4 << 30)


_leaked: list[int] = []


def leaking(target: dict[str, object]) -> None:
    while True:
        _leaked.append(os.open("/dev/null", os.O_RDONLY))


def saying(target: dict[str, object]) -> None:
    raise CheckFailed("x" * 10_000)


def printing(target: dict[str, object]) -> None:
    print("{}")
    os.write(1, b'{"end": "failed"}\n')


def telling(target: dict[str, object]) -> None:
    seen = sorted(os.environ)
    raise CheckFailed(
        f"{target['host']} {target['port']} {target['addresses']} {float(str(target['timeout_s'])) > 0} {seen}"
    )


def counting(target: dict[str, object]) -> None:
    global _calls  # noqa: PLW0603 - what a worker keeps between calls is the point
    _calls += 1
    raise CheckFailed(f"{os.getpid()} {_calls}")


def forking(target: dict[str, object]) -> None:
    child = subprocess.Popen(["sleep", "60"])
    with open(f"{os.environ['TMPDIR']}/child", "w") as file:
        file.write(str(child.pid))
    time.sleep(60)


def bounds(target: dict[str, object]) -> None:
    kinds = (resource.RLIMIT_CORE, resource.RLIMIT_AS, resource.RLIMIT_NOFILE)
    raise CheckFailed(" ".join(str(resource.getrlimit(kind)) for kind in kinds))


def lasting(target: dict[str, object]) -> None:
    with open(f"{os.environ['TMPDIR']}/worker", "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


def slow(target: dict[str, object]) -> None:
    time.sleep(0.2)


def by_port(target: dict[str, object]) -> bool:
    if target["port"] == 9:
        os._exit(9)
    return True
