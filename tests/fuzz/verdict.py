"""What a run must have shown; one line for each promise, held or not."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.fuzz.run import BACK_WITHIN, FIELD_SETS, FULL, MUTATED_SHARE, OK_SHARE, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise."""

    promise: str
    held: bool
    found: str


def checks(report: Report, *, back_within: float = BACK_WITHIN) -> list[Check]:
    """All promises of the issue, judged."""
    tally, sent = report.tally, report.tally.total("messages")
    count, rpc, path = report.coverage.lowest()[0]
    sets = max(1, round(FIELD_SETS * min(1.0, report.messages / FULL)))
    not_json = report.stderr_levels["not JSON"]
    return [
        _check("messages", sent >= report.messages, f"{sent}"),
        _check("every RPC of the method table", not report.unknown_rpcs, ", ".join(report.unknown_rpcs) or "all"),
        _check("every RPC was called", all(row.messages for row in tally.rows.values()), "least "
               + str(min(row.messages for row in tally.rows.values()))),
        _check(f"mutated >= {MUTATED_SHARE:.0%}", tally.total("mutated") >= MUTATED_SHARE * sent,
               f"{tally.total('mutated') / sent:.1%}"),
        _check(f"answered OK >= {OK_SHARE:.0%}", tally.total("ok") >= OK_SHARE * sent,
               f"{tally.total('ok') / sent:.1%}"),
        _check(f"every field set >= {sets} times", count >= sets, f"least: {rpc} {path}, {count} times"),
        _check("no answer outside the closed list", tally.fault_count == 0, f"{tally.fault_count} faults"),
        _check("stderr is JSON", not_json == 0, f"{report.stderr_lines} lines, {not_json} not JSON"),
        _check("no traceback, no error in the log", not report.suspicious, _sorts(report.suspicious)),
        _check("catalog = twin", not report.twin_faults and report.services > 0 and report.unsure < report.services,
               f"{report.services} services, {len(report.twin_faults)} differences, {report.unsure} not compared"),
        _check("all services gone after tidying up", report.after["services"] == 0, f"{report.after['services']} left"),
        _back("tasks", report, back_within),
        _back("fds", report, back_within),
        _back("rss", report, back_within),
        _back("blocks", report, back_within),
    ]  # fmt: skip


def _check(promise: str, held: bool, found: str) -> Check:
    return Check(promise=promise, held=held, found=found)


def _back(what: str, report: Report, within: float) -> Check:
    before, after = report.baseline[what], report.after[what]
    change = after / before - 1
    return _check(f"{what} back within {within:.0%}", change <= within, f"{before:,} -> {after:,} ({change:+.1%})")


def _sorts(lines: Sequence[str]) -> str:
    """How many lines, and of what kinds."""
    kinds = Counter(line.partition('"message": "')[2].partition('"')[0] or "no message" for line in lines)
    told = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(5))
    return f"{len(lines)} lines" + (f": {told}" if told else "")
