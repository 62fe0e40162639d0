"""python -m tests.scenarios [--rewrite] [--commands] [FILE]...

Runs scenarios: prose, commands, and after `----` all that the commands print. A FILE is printed as it runs now; without
one, all are compared with what they say. --rewrite puts into the files what is printed now: read the diff.
"""

import argparse
import sys
from pathlib import Path

from tests.scenarios.commands import COMMANDS
from tests.scenarios.run import SETTING_HELP, differences, run
from tests.scenarios.script import BadScript, read

HERE = Path(__file__).parent


def main() -> int:
    """Runs the command line; returns the exit code: 0 as written, 1 some scenario runs otherwise, 2 not a scenario."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenarios", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rewrite", action="store_true", help="write what is printed now into the files")
    parser.add_argument("--commands", action="store_true", help="show the command language")
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.commands:
        print(SETTING_HELP, *(function.__doc__ for function in COMMANDS.values()), sep="\n")
        return 0
    try:
        return sum(_one(path, options) for path in options.files or sorted(HERE.glob("*.txt"))) and 1
    except BadScript as error:
        print(error, file=sys.stderr)
        return 2


def _one(path: Path, options: argparse.Namespace) -> bool:
    """Runs one scenario; returns whether it differs from its file."""
    script = read(path)
    ran = run(script)
    differing = path.read_text() != ran.text
    if options.rewrite:
        if differing:
            path.write_text(ran.text)
            print(f"rewritten: {path.name}")
        return False
    if options.files:
        print(ran.text, end="")
    if differing:
        print(differences(script, ran) or f"{path.name}: empty lines are not as --rewrite writes them", file=sys.stderr)
    return differing


if __name__ == "__main__":
    sys.exit(main())
