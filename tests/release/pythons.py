"""On every Python that is supported: README's examples and the tests, against the built wheel and nothing of the tree.

    python -m tests.release --pythons [PYTHON...]

PYTHON is a version (3.12) or a path. Without any it is each that pyproject.toml names and this machine has.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.e2e import wheel
from tests.e2e.wheel import ROOT, Fault, clean, fresh, run
from tests.release.distributions import tracked

SUITES = ("core", "wire", "store", "runtime", "client", "server", "manager", "cli")
"""Rooms of `tests/` that are run."""
TOOLS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "hypothesis", "h2")
READ_SOURCES = (
    "tests/server/test_limits.py::test_every_refusal_of_the_registry_carries_retry_info_unless_it_never_helps",
    "tests/server/test_limits.py::test_every_limit_is_used_and_documented",
)
"""Tests of those rooms that are left out: they read the sources of the packages."""
SUITE_S = 3_600.0


def check(place: Path, asked: Sequence[str]) -> Iterator[str]:
    """A line for each thing that holds. Raises Fault; a Python that was asked for by name and is not there is one."""
    found = {version: interpreter(version) for version in asked or supported()}
    if asked and (missing := [version for version, python in found.items() if python is None]):
        raise Fault(f"no Python {', '.join(missing)} on this machine")
    built = wheel.build(place)
    for version, python in found.items():
        if python is None:
            yield f"Python {version}: none on this machine, nothing tried"
            continue
        (room := place / version.replace("/", "_")).mkdir()
        wheel.check(room, built, python, offline=False)
        yield f"Python {version}: {run_tests(room, built, python)}"


def supported() -> list[str]:
    """The versions that pyproject.toml names."""
    text = (ROOT / "pyproject.toml").read_text()
    return re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)


def interpreter(version: str) -> str | None:
    """A Python: by its path, on PATH, or as pyenv installs it; None = there is none that runs."""
    if "/" in version:
        return version if runs(version) else None
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))]
    return next((path for path in found if path is not None and runs(path)), None)


def runs(path: str) -> bool:
    """Whether it is a Python: a shim of pyenv's may stand for one that is not installed."""
    try:
        return subprocess.run([path, "-c", ""], capture_output=True, timeout=30, check=False).returncode == 0
    except OSError:
        return False


def run_tests(place: Path, built: Path, python: str) -> str:
    """The tests beside an environment that has the wheel; returns pytest's last line."""
    project = place / "tested"
    for name in tracked():  # the tests, and what they compare with: documents, examples, protos; but no package
        if not name.startswith(("orion_registry/", "generated/")):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    there = environment(place / "environment", built, python)
    where = run(there, "-c", "import orion_registry; print(orion_registry.__file__)", cwd=project, env=clean()).strip()
    if not Path(where).is_relative_to(place / "environment"):
        raise Fault(f"orion_registry comes from {where}, not from the wheel")
    suites = [f"tests/{room}" for room in SUITES]
    left_out = [f"--deselect={name}" for name in READ_SOURCES]
    pytest = (there, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--dist", "loadfile")
    said = run(*pytest, "-m", "not long", *left_out, *suites, within_s=SUITE_S, cwd=project, env=clean())
    return said.splitlines()[-1].strip("= ")


def environment(place: Path, built: Path, python: str) -> Path:
    """A Python that has the wheel with all its extras, and what tests need, in the locked versions."""
    there = fresh(place, python)
    pip = (there, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:")
    run(*pip, "-c", wheel.pins("dev", place), f"{built}[server,otel]", *TOOLS, cwd=place, env=clean())
    return there
