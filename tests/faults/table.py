"""How results are shown: a line when a row ends, a table for a document, JSON for machines."""

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from tests.faults import lag
from tests.faults.finding import Finding
from tests.faults.row import Row
from tests.faults.runner import Result

FAULTS_SHOWN = 5
BEGIN, END = "<!-- rows: scripts/faults --publish -->", "<!-- end of rows -->"
"""Between these lines of a document stands the table."""
CLUSTER_BEGIN = "<!-- rows: scripts/faults --group cluster --publish -->"
"""Begins the table of the rows that play on several members."""
HEAD = ("| row | fault | expected | measured (least/median/p99) | time | |", "|---|---|---|---|---|---|")


def line(result: Result) -> str:
    """One row, as it ends."""
    row, finding = result.row, result.finding
    text = [f"{result.verdict:8} {row.number:>4} {row.name:17} {result.took_s:6.1f} s  {finding.measured()}"]
    if result.missing:
        text.append(f"not played: this machine lacks {result.missing}")
    if result.replayed:
        text.append("played twice: the machine itself stalled the first time")
    if result.lag_s > lag.STALLED_S:
        text.append(f"the machine stalled for {result.lag_s:.2f} s")
    text += [f"note: {note}" for note in finding.notes]
    text += [f"fault: {fault}" for fault in finding.faults[:FAULTS_SHOWN]]
    if len(finding.faults) > FAULTS_SHOWN:
        text.append(f"and {len(finding.faults) - FAULTS_SHOWN} faults more")
    return "\n         ".join(text)


def table_line(result: Result) -> str:
    """One row of the table."""
    row = result.row
    measured = result.finding.measured() or result.missing
    return f"| {row.number} | {row.name} | {row.expect} | {measured} | {result.took_s:.0f} s | {result.verdict} |"


def published(document: str, results: Sequence[Result], order: Sequence[str], mark: str = BEGIN) -> str:
    """A document whose table, in Markdown, has these results; rows that were not played now keep their old ones.

    Args:
        document: has the lines `mark` and END.
        results: of this run; without any the document stays as it is.
        order: numbers of all rows there are; others are dropped.
        mark: the line that begins the table.

    Raises:
        ValueError: it has no place for a table.
    """
    if not results:
        return document
    before, begin, rest = document.partition(mark)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no lines {mark!r} and {END!r}")
    lines = {line.split("|")[1].strip(): line for line in old.splitlines() if line.startswith("| ")}
    lines |= {result.row.number: table_line(result) for result in results}
    body = [lines[number] for number in order if number in lines]
    where = f"Linux {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    told = f"{where}, grpcio {grpc.__version__}."
    return "\n".join([f"{before}{mark}", *HEAD, *body, "", told, f"{END}{after}"])


def summary(results: Sequence[Result]) -> str:
    """How many held."""
    failed = [each.row.name for each in results if not each.passed]
    left_out = sum(bool(each.missing) for each in results)
    held = len(results) - len(failed) - left_out
    text = f"{held} of {len(results)} rows hold"
    if left_out:
        text += f", {left_out} cannot be played here"
    if failed:
        text += f", FAILED: {', '.join(failed)}"
    return f"{text}; {sum(each.took_s for each in results):.0f} s"


def exit_code(results: Sequence[Result]) -> int:
    """0 if every row that was played holds, and at least one was."""
    return 0 if any(not each.missing for each in results) and all(each.passed for each in results) else 1


def from_json(told: dict[str, Any], rows: Iterable[Row]) -> list[Result]:
    """The results that `as_json` made, of those of these rows that they are of."""
    known = {row.number: row for row in rows}
    results = []
    for each in told["rows"]:
        if each["number"] not in known:
            continue
        finding = Finding(**{name: each[name] for name in ("samples", "limits", "counts", "notes", "faults")})
        rest = {name: each[name] for name in ("took_s", "lag_s", "replayed", "missing")}
        results.append(Result(row=known[each["number"]], finding=finding, **rest))
    return results


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """All of it."""
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "grpcio": grpc.__version__},
        "rows": [
            {
                "number": each.row.number,
                "name": each.row.name,
                "group": each.row.group,
                "expect": each.row.expect,
                "verdict": each.verdict,
                "took_s": round(each.took_s, 1),
                "lag_s": round(each.lag_s, 3),
                "replayed": each.replayed,
                "missing": each.missing,
                "samples": each.finding.samples,
                "limits": each.finding.limits,
                "counts": each.finding.counts,
                "notes": each.finding.notes,
                "faults": each.finding.faults,
            }
            for each in results
        ],
    }
