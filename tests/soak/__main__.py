"""The real daemon under mixed life for so many minutes: what grows, and what is left when all have gone.

    scripts/soak --minutes 60 --json soak.json

Agents come, change and go, are killed, are checked, break off; callers select, wait, give up and vanish; strangers send
garbage, cancel calls, watch without reading, open pages. A watcher and its metrics look on. It fails if

  memory, tasks, open files or threads grow under load, all but certainly (two standard errors), by more than is said
  anything is held for a client, or a task, file or thread too many is left, once all have gone
  a caller is sent to an agent that was known to be dead, or a life meets an error that it should not
  the daemon logs a traceback, does not end when told to, or its audit chain cannot be verified

A line tells each minute. Exit code 0 if all holds, 1 if not, 130 after Ctrl-C (all processes are taken down).
"""

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from tests.e2e.fleet import raise_open_files_limit
from tests.soak.play import Soaked, soak

DAEMON = ("-m", "orion_registry", "serve")


def main() -> int:
    """Entry point."""
    made = argparse.ArgumentParser(
        prog="scripts/soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--minutes", type=float, default=10.0, help="of load (default: %(default)g); a minute more is needed"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write all readings there")
    made.add_argument("--leak", action="store_true", help="soak a daemon that leaks on purpose: it must be found")
    options = made.parse_args()
    if options.minutes < 1.0:
        made.error(f"--minutes: at least 1, not {options.minutes:g}: a slope needs samples")
    raise_open_files_limit()
    entry = ("-m", "tests.soak.leaking") if options.leak else DAEMON
    with tempfile.TemporaryDirectory(prefix="orion-soak-") as directory:
        try:
            result = asyncio.run(soak(options.minutes, Path(directory), lambda line: print(line, flush=True), entry))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("interrupted: all processes are down", file=sys.stderr)
            return 130
    show(result)
    if options.json:
        options.json.write_text(json.dumps(as_dict(result), indent=1) + "\n")
    return 0 if result.holds else 1


def show(result: Soaked) -> None:
    """Prints what was done, all figures, and what went wrong."""
    print("\nlived: " + ", ".join(f"{name} {count}" for name, count in sorted(result.done.items())))
    for line in result.lines:
        print(f"{'ok  ' if line.holds else 'FAIL'} {line.name:34} {line.text}")
    for fault in result.faults:
        print(f"FAIL {fault}")
    print("holds" if result.holds else "does NOT hold")


def as_dict(result: Soaked) -> dict[str, object]:
    """All of it."""
    return {
        "holds": result.holds,
        "lines": [dataclasses.asdict(line) for line in result.lines],
        "done": result.done,
        "faults": result.faults,
        "readings": [dataclasses.asdict(one) for one in result.load],
    }


if __name__ == "__main__":
    sys.exit(main())
