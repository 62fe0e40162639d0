"""The page's modules tested in Node.js, and what npm brings for its tests.

    python -m tests.web.units

Copies orion_registry/web/static and tests/web aside, for Node takes a module for one by the package.json beside it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "orion_registry" / "web" / "static"
NPM = ("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error")


def lay_out(directory: Path) -> Path:
    """The modules and their tests, side by side; returns where the tests are."""
    shutil.copytree(STATIC, directory / "static")
    place = directory / "web"
    place.mkdir()
    for file in (ROOT / "tests" / "web").iterdir():
        if file.suffix == ".mjs" or file.name == "package.json":
            shutil.copy(file, place / file.name)
    shutil.copy(place / "package.json", directory / "package.json")
    return place


def run_units(directory: Path) -> str:
    """Runs them; returns how many passed. Raises RuntimeError with what they print if one fails."""
    place = lay_out(directory)
    tests = sorted(str(file) for file in place.glob("*.test.mjs"))
    command = ["node", "--test", *tests]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"units of the page's modules:\n{done.stdout[-6_000:]}{done.stderr[-2_000:]}")
    return next(line.rpartition(" ")[2] for line in done.stdout.splitlines() if "pass " in line)


def axe(directory: Path, modules: str = "") -> str:
    """The source of axe-core; `modules`: the node_modules to take it from instead of asking npm."""
    if not modules:
        place = directory / "npm"
        place.mkdir()
        shutil.copy(ROOT / "tests" / "web" / "package.json", place)
        subprocess.run(NPM, cwd=place, check=True, timeout=300)
        modules = str(place / "node_modules")
    return (Path(modules) / "axe-core" / "axe.min.js").read_text()


def main() -> int:
    """Exit code."""
    with tempfile.TemporaryDirectory(prefix="orion-page-") as name:
        print(f"{run_units(Path(name))} units of the page's modules passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
