"""Must-show 6: with the built wheel alone, in fresh environments, the README's examples work, and the daemon does.

    python -m tests.e2e.wheel [--offline] [--python PYTHON]...

Builds the wheel. On each PYTHON (default: this one) it makes one environment with it (an agent's: what `pip install
orion-registry` brings), and one with the extra `server`; runs the daemon from the latter, and from the former every
Python example of the README, beside each other; then the blocks of docs/testing.md as a project of its own, whose
pytest finds the plugin by itself. Neither sees the tree: they run elsewhere, without PYTHONPATH. Dependencies come
from the package index in the locked versions; without it, or with --offline, they are copied from this environment:
just those that the wheel asks for, and those that they ask for. Exit code 1 if anything does not hold.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:6746"
AGENT_BRINGS = {"grpcio", "protobuf", "googleapis-common-protos", "typing-extensions", "orion-registry"}
"""What an agent's environment may have at most; typing-extensions comes with grpcio."""
PYTEST = ("pytest", "pytest-asyncio")
"""What a project that uses the plugin has."""
READY_S = 20.0
EXAMPLE_S = 30.0


class Fault(Exception):
    """Something does not hold."""


def run(*command: str | Path, within_s: float = 300.0, **options: Any) -> str:
    """Runs a command to its end; returns what it printed."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=within_s, check=False, **options
    )
    if done.returncode:
        raise Fault(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def clean() -> dict[str, str]:
    """The environment without what would let the tree, or a setting, in."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ORION_", "PYTHON", "GRPC_"))}


# Building and installing.


def build(directory: Path) -> Path:
    """The wheel, from what is checked out."""
    tree = directory / "tree"
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, files):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, tree / name)
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=tree, env=clean())
    return next(directory.glob("*.whl"))


def fresh(directory: Path, python: str = sys.executable) -> Path:
    """A new virtual environment; returns its python."""
    run(python, "-m", "venv", directory)
    return directory / "bin" / "python"


def install(python: Path, wheel: Path, extra: str, *, offline: bool) -> str:
    """Installs the wheel and what it asks for. Returns where that came from."""
    pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check")
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    came = "copied from this environment"
    if not offline:
        constraints = pins("server", wheel.parent)
        try:
            run(*pip, "--only-binary", ":all:", "-c", constraints, wanted, cwd=wheel.parent, env=clean())
            came = "from the package index"
        except Fault as fault:
            print(f"  the package index does not serve: {str(fault).splitlines()[-1]}")
            offline = True
    if offline:
        copy_all(closure(asked_by(wheel, extra)), python)
        run(*pip, "--no-index", "--no-deps", wheel, cwd=wheel.parent, env=clean())
    run(python, "-m", "pip", "check", "--disable-pip-version-check", env=clean())
    return came


def install_pytest(python: Path, *, offline: bool) -> None:
    """Adds what a project tests with, in the locked versions."""
    if not offline:
        locked = (ROOT / "requirements" / "dev.txt").read_text()
        pins = [re.search(rf"^{name}==[^ \\]+", locked, re.MULTILINE) for name in PYTEST]
        pip = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:")
        try:
            run(*pip, *(pin[0] for pin in pins if pin), cwd=python.parent, env=clean())
        except Fault:  # the index does not serve: it was said above
            offline = True
    if offline:
        copy_all(closure([(name, "") for name in PYTEST]), python)


def pins(name: str, directory: Path) -> Path:
    """The versions of a lock, as constraints: "server", all that the daemon, and so an agent, needs, or "dev"."""
    locked = (ROOT / "requirements" / f"{name}.txt").read_text()
    (path := directory / f"{name}-pins.txt").write_text(
        "\n".join(re.findall(r"^[\w.-]+==[^ \\]+", locked, re.MULTILINE))
    )
    return path


def asked_by(wheel: Path, extra: str) -> list[tuple[str, str]]:
    """What the wheel asks for: requirements, each with the extra that its marker is about."""
    import zipfile

    with zipfile.ZipFile(wheel) as file:
        metadata = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        text = file.read(metadata).decode()
    return [(line, extra) for line in re.findall(r"^Requires-Dist: (.+)$", text, re.MULTILINE)]


def closure(asked: Sequence[tuple[str, str]]) -> set[str]:
    """Names of the distributions that are needed, directly or not."""
    open_ones = list(asked)
    found: set[str] = set()
    while open_ones:
        line, of_extra = open_ones.pop()
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({**default_environment(), "extra": of_extra}):  # type: ignore[dict-item]
            continue
        name = canonicalize_name(wanted.name)
        if name not in found:
            found.add(name)
            open_ones += [
                (further, one) for further in importlib.metadata.requires(name) or () for one in (*wanted.extras, "")
            ]
    return found


def copy_all(names: set[str], python: Path) -> None:
    """Copies installed distributions into the environment of a python."""
    target = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for name in sorted(names):
        copy(name, target)


def copy(name: str, target: Path) -> None:
    """Copies an installed distribution."""
    for file in importlib.metadata.files(name) or ():
        if file.parts[0] == ".." or "__pycache__" in file.parts:
            continue
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(file.locate()), target / file)


# What has to hold.


def only_what_it_may(python: Path) -> str:
    """An agent's environment has no more than promised."""
    listed = json.loads(run(python, "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"))
    there = {canonicalize_name(one["name"]) for one in listed} - {"pip", "setuptools", "wheel"}
    if not there <= AGENT_BRINGS:
        raise Fault(f"an agent's environment has {sorted(there - AGENT_BRINGS)} too")
    return ", ".join(sorted(there))


def protos_ship(python: Path) -> str:
    """The protos are in the wheel, beside their stubs."""
    code = (
        "import orion_registry_pb as p, pathlib;"
        "print(len(list(pathlib.Path(p.__path__[0]).rglob('*.proto'))), p.__path__[0])"
    )
    count, where = run(python, "-c", code, cwd=python.parent, env=clean()).split()
    if int(count) != len(list((ROOT / "protos" / "orion_registry_pb").rglob("*.proto"))) or str(ROOT) in where:
        raise Fault(f"{count} protos in {where}")
    return f"{count} protos"


@contextmanager
def daemon(python: Path, directory: Path) -> Iterator[str]:
    """The daemon, as the extra `server` installs it."""
    log = directory / "daemon.log"
    with log.open("w") as stderr:
        command = [
            str(python.parent / "orion-registry"),
            "serve",
            "--http",
            "off",
            "--ephemeral",
            "--listen",
            "127.0.0.1:0",
        ]
        process = subprocess.Popen([*command, "--log-format", "json"], stderr=stderr, cwd=directory, env=clean())
    try:
        give_up_at = time.monotonic() + READY_S
        while not (ready := re.search(r'"message": "ready".*"address": "([^"]+)"', log.read_text())):
            if time.monotonic() > give_up_at or process.poll() is not None:
                raise Fault(f"the daemon does not start\n{log.read_text()}")
            time.sleep(0.05)
        yield ready[1]
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)
    if code:
        raise Fault(f"the daemon's exit code is {code}")


def examples() -> list[str]:
    """The Python blocks of the README."""
    text = (ROOT / "README.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_examples(python: Path, address: str, directory: Path, blocks: Sequence[str]) -> list[str]:
    """Agents stay; callers end by themselves, with what they print. Returns a line for each."""
    told: list[str] = []
    env = {**clean(), "ORION_ADDRESS": address}
    agents: list[subprocess.Popen[bytes]] = []
    try:
        for number, block in enumerate(blocks):
            path = directory / f"example_{number}.py"
            path.write_text(block.replace(f'"{ADDRESS}"', repr(address)))
            if "agent.run()" in block:
                with (directory / f"agent_{number}.log").open("w") as log:
                    agents.append(subprocess.Popen([str(python), str(path)], stderr=log, cwd=directory, env=env))
                try:
                    wait_for_agent(python, address, directory)
                except subprocess.TimeoutExpired:
                    raise Fault(f"the agent does not come:\n{Path(log.name).read_text()}") from None
                told.append(f"example {number + 1}: an agent, {block.count(chr(10))} lines")
            else:
                said = run(python, path, within_s=EXAMPLE_S, cwd=directory, env=env).split("\n")[:-1]
                told.append(f"example {number + 1}: exit code 0, printed {said}")
    finally:
        for agent in agents:
            agent.terminate()
        codes = [agent.wait(10) for agent in agents]
    if any(codes):
        raise Fault(f"an agent's exit codes at SIGTERM: {codes}")
    return told


def wait_for_agent(python: Path, address: str, directory: Path) -> None:
    """Until the agent of the README is ready."""
    code = (
        "import sys; from orion_registry import Selector; from orion_registry.sync import RegistryClient\n"
        "with RegistryClient(sys.argv[1]) as c, c.watch(Selector(capabilities=('math.add',))) as w:\n"
        "    next(e for e in w if e.service and e.service.ready)"
    )
    run(python, "-c", code, address, within_s=READY_S, cwd=directory, env=clean())


def project_in(directory: Path) -> Path:
    """An empty project."""
    directory.mkdir()
    # pytest-asyncio warns, and here that is an error, unless it is told what it does anyway.
    (directory / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return directory


def plugin_serves(python: Path, directory: Path, blocks: Sequence[str]) -> str:
    """A project that names no plugin uses its fixtures, with warnings as errors."""
    project = project_in(directory / "project")
    for number, block in enumerate(blocks):
        (project / f"test_block_{number}.py").write_text(block)
    pytest = (python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider")
    said = run(*pytest, within_s=EXAMPLE_S, cwd=project, env=clean())
    if f"{len(blocks)} passed" not in said:
        raise Fault(f"the plugin's blocks:\n{said}")
    return f"pytest plugin: {said.splitlines()[-1]}"


def plugin_stays_out(python: Path, directory: Path) -> str:
    """Where there is no daemon to be had, pytest runs as if there were no plugin."""
    place = project_in(directory / "plain")
    names = '[name for name in sys.modules if name.partition(".")[0] in ("grpc", "google")]'
    (place / "test_plain.py").write_text(f"import sys\n\n\ndef test_nothing_is_loaded():\n    assert not {names}\n")
    said = run(python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=place, env=clean())
    return f"without the extra server: {said.splitlines()[-1]}"


def check(directory: Path, wheel: Path, python: str, *, offline: bool) -> None:
    """All of it, on one Python. Raises Fault."""
    print(run(python, "-V").strip())
    agents, daemons = fresh(directory / "agent", python), fresh(directory / "server", python)
    print(f"agent's environment, {install(agents, wheel, '', offline=offline)}: {only_what_it_may(agents)}")
    print(f"daemon's environment, {install(daemons, wheel, 'server', offline=offline)}; {protos_ship(daemons)}")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(), re.MULTILINE | re.DOTALL)
    with daemon(daemons, directory) as address:
        print("\n".join(run_examples(agents, address, directory, examples())))
        print(run(daemons.parent / "orion-registry", "info", "--address", address, env=clean()).splitlines()[0])
    print(run(agents, ROOT / "examples" / "service_discovery_demo.py", cwd=directory, env=clean()).splitlines()[-1])
    for one in (agents, daemons):
        install_pytest(one, offline=offline)
    print(plugin_serves(daemons, directory, blocks))
    print(plugin_stays_out(agents, directory))


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--offline", action="store_true", help="do not ask the package index")
    parser.add_argument("--python", action="append", metavar="PYTHON", help="interpreter to try it on; may be repeated")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orion-wheel-") as name:
        try:
            wheel = build(Path(name))
            print(f"{wheel.name}: {wheel.stat().st_size:,} bytes")
            for number, python in enumerate(given.python or [sys.executable]):
                (place := Path(name) / str(number)).mkdir()
                check(place, wheel, python, offline=given.offline)
        except (Fault, subprocess.TimeoutExpired) as fault:
            print(f"FAULT: {fault}")
            return 1
    print("the wheel holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
