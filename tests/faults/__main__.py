"""Real faults on real processes: which promises hold on this machine.

Each row starts the daemon and agents as processes, injects a fault (signals, a bad proxy, a share of the CPU, another
clock), and measures with a watcher on the machine's monotonic clock. Rows are those of the fault matrix; letters first
(A1, N2) for those beyond it.

    scripts/faults --list                         what there is
    scripts/faults                                all rows but the long ones, about 20 minutes
    scripts/faults --ci                           fewer repeats, shorter faults: under 10 minutes
    scripts/faults --row sigstop --row 5 --repeat 20
    scripts/faults --group network --minutes 30   30 minutes for each rate of false deaths
    scripts/faults --group cluster                several members over a real etcd
    scripts/faults --long --json results.json     with pauses of 300 s and 10,000 agents, and the cluster: over an hour
    scripts/faults --publish docs/guarantees.md   puts the figures of the rows played into its tables
    scripts/faults --from results.json --publish docs/guarantees.md    the same, of a run that was

Figures are least/median/99th percentile (how many). A row that fails while this program itself could not run for 0.3 s
is played once more: on a machine that stands still nothing can be measured. Limits are the promises; they are the same
with --ci. Ctrl-C ends all processes, those that are stopped too. Exit code 0 if all rows hold, 1 if one fails, 2 for a
wrong command line, 130 after Ctrl-C.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from tests.e2e.fleet import raise_open_files_limit
from tests.faults import (
    rows_agents,
    rows_cluster,
    rows_cluster_links,
    rows_cluster_restart,
    rows_cluster_slots,
    rows_daemon,
    rows_mass,
    rows_network,
    rows_protocol,
    table,
)
from tests.faults.row import Row
from tests.faults.runner import Options, Result, play

GROUPS = (rows_agents.GROUP, rows_network.GROUP, rows_daemon.GROUP, rows_mass.GROUP, rows_protocol.GROUP)
BY_NAME_ONLY = (rows_cluster.GROUP, rows_cluster_restart.GROUP, rows_cluster_slots.GROUP, rows_cluster_links.GROUP)
"""Groups that need etcd: played where they are asked for, and with --long where it is installed."""
GROUPS_ALL = (*GROUPS, *BY_NAME_ONLY)
ROWS: tuple[Row, ...] = tuple(row for group in GROUPS_ALL for row in group.rows)
CI_MINUTES = 0.15
EXIT_INTERRUPTED = 130


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--row", action="append", default=[], metavar="N", help="number or name; may be repeated")
    made.add_argument("--group", action="append", default=[], choices=list({group.name: 0 for group in GROUPS_ALL}))
    made.add_argument("--repeat", type=int, default=0, metavar="K", help="inject each fault so often")
    made.add_argument("--minutes", type=float, default=0.0, help="for each rate of false deaths (default: 1, CI 0.15)")
    made.add_argument("--ci", action="store_true", help="fewer repeats and shorter faults")
    made.add_argument("--long", action="store_true", help="the rows of many minutes, too")
    made.add_argument("--list", action="store_true", help="show the rows and exit")
    made.add_argument("--json", type=Path, metavar="FILE", help="write all samples there")
    made.add_argument("--from", dest="source", type=Path, metavar="FILE", help="play nothing: what --json wrote there")
    made.add_argument("--publish", type=Path, metavar="FILE", help="put the figures into its table")
    return made


def chosen(rows: Sequence[str], groups: Sequence[str], *, long: bool) -> list[Row]:
    """The rows asked for. A long one is played if it is named, or with --long; so are those of a cluster.

    Raises:
        ValueError: there is no such row.
    """
    known = {name: row for row in ROWS for name in (row.number, row.name)}
    if unknown := [name for name in rows if name not in known]:
        raise ValueError(f"no such row: {', '.join(unknown)} (--list shows all)")
    named = {known[name].number for name in rows}
    named_only = {group.name for group in BY_NAME_ONLY}
    all_usual = not rows and not groups
    picked = [row for row in ROWS if row.group in groups or (all_usual and (long or row.group not in named_only))]
    return [row for row in ROWS if row.number in named or (row in picked and (long or not row.long))]


def playable(rows: Sequence[Row]) -> tuple[list[Row], str]:
    """These without the cluster's if it cannot be played here, and what is missing for it."""
    needing = {group.name for group in BY_NAME_ONLY}
    missing = next((what for row in rows if row.group in needing and (what := row.missing())), "")
    return [row for row in rows if not missing or row.group not in needing], missing


def published(document: str, results: Sequence[Result]) -> str:
    """A document whose tables, one of them for the cluster, have these results."""
    for mark, groups in ((table.BEGIN, GROUPS), (table.CLUSTER_BEGIN, BY_NAME_ONLY)):
        order = [row.number for group in groups for row in group.rows]
        played = [result for result in results if result.row.number in order]
        document = table.published(document, played, order, mark)
    return document


async def run(rows: Sequence[Row], options: Options) -> list[Result]:
    """Plays them; each prints its line. SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results = []
    for row in rows:
        result = await play(row, options)
        print(table.line(result), flush=True)
        results.append(result)
    return results


def main() -> int:
    """Entry point."""
    made = parser()
    arguments = made.parse_args()
    try:
        rows = chosen(arguments.row, arguments.group, long=arguments.long)
    except ValueError as error:
        made.error(str(error))
    if arguments.list:
        for row in rows if arguments.long or arguments.row or arguments.group else ROWS:
            print(f"{row.number:>4} {row.name:17} {row.group:9} {'long  ' if row.long else '      '}{row.expect}")
        return 0
    if arguments.source:
        return finish(table.from_json(json.loads(arguments.source.read_text()), ROWS), arguments)
    minutes = arguments.minutes or (CI_MINUTES if arguments.ci else 1.0)
    options = Options(repeat=arguments.repeat, ci=arguments.ci, long=arguments.long, minutes=minutes)
    if not arguments.row and not arguments.group:
        rows, missing = playable(rows)
        if missing:
            print(f"the rows of a cluster are not played: {missing}")
    raise_open_files_limit()
    try:
        results = asyncio.run(run(rows, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("interrupted: all processes are down", file=sys.stderr)
        return EXIT_INTERRUPTED
    return finish(results, arguments)


def finish(results: Sequence[Result], arguments: argparse.Namespace) -> int:
    """Says how it went, writes what is to be written; returns the exit code."""
    print(table.summary(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(table.as_json(results), indent=1) + "\n")
    if arguments.publish:
        arguments.publish.write_text(published(arguments.publish.read_text(), results))
    return table.exit_code(results)


if __name__ == "__main__":
    sys.exit(main())
