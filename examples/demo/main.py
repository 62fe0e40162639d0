"""The main job of the Orion Registry, on real processes, in under 20 s.

Starts the daemon and five agents, discovers and calls them, kills one with SIGKILL, brings it back, lets one say
goodbye, and takes everything down. Exits with 0 only if each step really held; 130 on Ctrl-C.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from examples.demo.processes import Nursery
from examples.demo.report import Report, StepFailed
from examples.demo.story import tell


async def run(report: Report, directory: Path) -> str:
    """Runs the story. Returns "" or what went wrong."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    nursery = Nursery(directory)
    try:
        async with nursery:
            await tell(report, nursery)
    except StepFailed as failure:
        return _explain(str(failure), nursery)
    except Exception as error:  # noqa: BLE001 - whatever broke, everything is down by now and the logs tell more
        report.failed(f"{type(error).__name__}: {error}")
        return _explain(f"{type(error).__name__}: {error}", nursery)
    return ""


def _explain(error: str, nursery: Nursery) -> str:
    """Shows the logs of the daemon, and of those that failed."""
    for child in nursery.children:
        if child.name == "daemon" or (child.exit_code or 0) > 0:
            print(child.log_tail(), file=sys.stderr)
    return error


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("--logs", metavar="DIR", help="keep the processes' logs there (default: a temporary directory)")
    arguments = parser.parse_args()
    report = Report(as_json=arguments.json)
    with tempfile.TemporaryDirectory(prefix="orion-demo-") as temporary:
        directory = Path(arguments.logs or temporary)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            error = asyncio.run(run(report, directory))
        except (KeyboardInterrupt, asyncio.CancelledError):
            print("\nstopped; every process has been taken down", file=sys.stderr)
            return 130
    return report.finish(error)


if __name__ == "__main__":
    sys.exit(main())
