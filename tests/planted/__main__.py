"""Plants one fault after the other in a copy of the code, and sees whether the named test notices.

    python -m tests.planted [--list] [--only NUMBER_OR_PART_OF_NAME]

Exit code 1 if a fault survives, 2 if a row no longer fits the source or a named test fails without any fault.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.planted.faults import FAULTS, Fault

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
COPIED = ("orion_registry", "generated", "tests")


def misfit(fault: Fault) -> str:
    """Why a row does not fit the source; empty if it does."""
    found = (ROOT / fault.file).read_text().count(fault.find)
    return "" if found == 1 else f"{fault.name}: {fault.file} has {found} places of {fault.find!r}"


def copy_tree(to: Path) -> Path:
    """A copy of what the tests need, apart from the work tree."""
    ignored = shutil.ignore_patterns("__pycache__", "bench", "e2e")
    for name in COPIED:
        shutil.copytree(ROOT / name, to / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", to)
    return to


def run_tests(tree: Path, *names: str, keep: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs named tests on a copy, which comes before an installed package. `keep`: bytecode too, for the next runs."""
    environment = {**os.environ, "PYTHONPATH": f"{tree}:{tree / 'generated'}", "PYTHONDONTWRITEBYTECODE": "1"}
    if keep:
        del environment["PYTHONDONTWRITEBYTECODE"]
    environment.pop("PYTEST_ADDOPTS", None)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=30", "-m", "not long"]
    command = [sys.executable, "-m", "pytest", *options, *names]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


def plant(fault: Fault, tree: Path) -> tuple[bool, float]:
    """Whether the named test noticed, and how many seconds that took. Leaves the tree as it was."""
    path = tree / fault.file
    source, changed = path.read_text(), path.stat().st_mtime
    begin = time.monotonic()
    path.write_text(source.replace(fault.find, fault.replace))
    os.utime(path, (changed + 10, changed + 10))  # never that of the kept bytecode, which goes by seconds and length
    try:
        done = run_tests(tree, fault.caught_by)
    finally:
        path.write_text(source)
        os.utime(path, (changed, changed))
    return done.returncode == 1 and " failed" in done.stdout, time.monotonic() - begin


def chosen(only: str) -> list[tuple[int, Fault]]:
    numbered = list(enumerate(FAULTS, 1))
    return [(number, fault) for number, fault in numbered if only in {"", str(number)} or only in fault.name]


def sound(faults: list[tuple[int, Fault]], trees: list[Path]) -> bool:
    """Whether the named tests pass without any fault. They are shared out among the trees, by files."""
    names = sorted({fault.caught_by for _, fault in faults})
    files = sorted({name.partition("::")[0] for name in names})
    shares = [[name for name in names if files.index(name.partition("::")[0]) % AT_ONCE == n] for n in range(AT_ONCE)]
    given = [(tree, share) for tree, share in zip(trees, shares, strict=True) if share]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = list(pool.map(lambda one: run_tests(one[0], *one[1], keep=True), given))
    for run in runs:
        if run.returncode != 0:
            print(run.stdout[-4_000:], run.stderr[-1_000:], "planted: a named test fails without any fault", sep="\n")
    return all(run.returncode == 0 for run in runs)


def check_all(faults: list[tuple[int, Fault]], scratch: Path) -> int:
    """Plants all; returns how many survived."""
    copies = [copy_tree(scratch / str(number)) for number in range(AT_ONCE)]
    if not sound(faults, copies):
        return -1
    trees: SimpleQueue[Path] = SimpleQueue()
    for tree in copies:
        trees.put(tree)

    def one(fault: Fault) -> tuple[bool, float]:
        tree = trees.get()
        try:
            return plant(fault, tree)
        finally:
            trees.put(tree)

    survived = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = [(number, fault, pool.submit(one, fault)) for number, fault in faults]
        for number, fault, result in results:
            caught, seconds = result.result()
            survived += not caught
            verdict = "caught  " if caught else "SURVIVED"
            print(f"{number:3}  {verdict} {seconds:5.1f} s  {fault.name:58} {fault.caught_by}", flush=True)
    return survived


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="show the faults and plant none")
    parser.add_argument("--only", default="", metavar="N", help="a fault's number, or a part of its name")
    arguments = parser.parse_args()
    faults = chosen(arguments.only)
    if misfits := [text for _, fault in faults if (text := misfit(fault))]:
        print("planted: rows that do not fit the source any more", *misfits, sep="\n  ")
        return 2
    if arguments.list:
        for number, fault in faults:
            print(f"{number:3}  {fault.name:58} {fault.file}")
        return 0
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="planted-") as scratch:
        survived = check_all(faults, Path(scratch))
    if survived < 0:
        return 2
    print(f"planted: {len(faults) - survived} of {len(faults)} caught in {time.monotonic() - begin:.0f} s")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
