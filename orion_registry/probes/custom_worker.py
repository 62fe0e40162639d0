"""The process that runs a custom check: JSON lines in, JSON lines out.

Started by `probes.custom` and nobody else. The first line out says whether the callable could be loaded; then each line
in holds the keyword arguments of a call as one object, and each line out how it ended.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import IO

from orion_registry.probes.ends import CheckFailed

MEMORY = 1 << 30
FILES = 256
_PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Serves until its input ends. Arguments: module:callable."""
    answers = _own_output()
    _bound()
    try:
        check = _load(sys.argv[-1])
    except Exception as error:  # noqa: BLE001 - whatever an operator's module raises while it is imported
        traceback.print_exc()
        return _say(answers, {"broken": type(error).__name__})
    _say(answers, {"ready": True})
    told: set[str] = set()
    for line in sys.stdin:
        _say(answers, _call(check, json.loads(line), told))
    return None


def _call(check: Callable[[dict[str, object]], object], target: dict[str, object], told: set[str]) -> dict[str, object]:
    """How a call ended: passed, failed (with why), or raised (what)."""
    try:
        result = check(target)
    except CheckFailed as failure:
        return {"end": "failed", "why": str(failure)[:400]}
    except BaseException as error:  # noqa: BLE001 - sys.exit() too: the registry ends this process
        kind = type(error).__name__
        if kind not in told:  # once in the life of a process, not at every run
            told.add(kind)
            traceback.print_exc()
        return {"end": "raised", "why": kind}
    if result is None or result is True:
        return {"end": "passed"}
    if result is False:
        return {"end": "failed", "why": ""}
    return {"end": "raised", "why": f"a return value of type {type(result).__name__}"}


def _say(answers: IO[str], answer: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the registry is gone; the input has ended too
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _load(name: str) -> Callable[[dict[str, object]], object]:
    module, _, attribute = name.partition(":")
    found = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{name} is not callable")
    return found


def _own_output() -> IO[str]:
    """The pipe to the registry, moved to where a print() of the check does not go."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _bound() -> None:
    """Limits that the check cannot raise, and an end together with the registry's."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, FILES),
    ):
        _, hard = resource.getrlimit(what)
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (least, least))
