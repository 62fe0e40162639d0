"""python -m tests.fuzz: sends mutated messages to every RPC of a real daemon and says whether anything gave way."""

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

from tests.fuzz.hostile.attack import Attacked, attack, judged
from tests.fuzz.replay import replay
from tests.fuzz.run import Report, fuzz
from tests.fuzz.verdict import checks

FIELDS = 0.7
"""Share of the messages whose fields are mutated; the rest are headers, frames, tokens and certificates."""


def main() -> int:
    """Runs the command line; returns the exit code: 0 all held, 1 something did not."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="messages to send (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="0 = from the clock; the same seed makes the same choices")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--failures", type=Path, metavar="FILE", default=Path("/tmp/orion-fuzz-failures.jsonl"),
                        help="where failing messages go, for --replay (default: %(default)s)")  # fmt: skip
    parser.add_argument("--replay", type=Path, metavar="FILE", help="send the messages of such a file again, and stop")
    options = parser.parse_args()
    if options.replay:
        return asyncio.run(replay(options.replay))
    seed = options.seed or int(time.time())
    print(f"seed {seed}, {options.messages} messages", flush=True)
    fields = round(options.messages * FIELDS)
    report = asyncio.run(fuzz(fields, seed))
    held = show(report, options.failures)
    held = show_attack(asyncio.run(attack(options.messages - fields, seed))) and held
    if options.json:
        options.json.write_text(json.dumps(as_dict(report), indent=1) + "\n")
    return 0 if held else 1


def show(report: Report, failures: Path) -> bool:
    """Prints a run; returns whether all held."""
    print(report.tally.table())
    rate = report.tally.total("messages") / report.seconds
    print(f"\n{report.seconds:.1f} s, {rate:.0f} messages a second; stderr: {dict(report.stderr_levels)}\n")
    judged = checks(report)
    for check in judged:
        print(f"{'held' if check.held else 'NOT HELD':9} {check.promise}: {check.found}")
    for line in [f"{fault.path}: {fault.why}" for fault in report.tally.faults[:10]] + report.twin_faults[:10]:
        print(f"  {line:.300}")
    for line in report.suspicious[:10]:
        print(f"  stderr: {line:.2000}")
    if report.tally.faults:
        failures.write_text("".join(fault.line() + "\n" for fault in report.tally.faults))
        print(f"failing messages: {failures}; again with: python -m tests.fuzz --replay {failures}")
    return all(check.held for check in judged)


def show_attack(found: Attacked) -> bool:
    """Prints the hostile part of a run; returns whether all held."""
    print(f"\n{found.table()}\n{found.seconds:.1f} s\n")
    judgements = judged(found)
    for promise, held, told in judgements:
        print(f"{'held' if held else 'NOT HELD':9} {promise}: {told}")
    for line in (*found.faults, *found.suspicious[:10]):
        print(f"  {line:.500}")
    return all(held for _, held, _ in judgements)


def as_dict(report: Report) -> dict[str, object]:
    """A run for --json."""
    return {
        "seed": report.seed,
        "seconds": round(report.seconds, 2),
        "rpcs": report.tally.as_dict(),
        "checks": [{"promise": c.promise, "held": c.held, "found": c.found} for c in checks(report)],
        "baseline": report.baseline,
        "after": report.after,
        "fields": [[count, rpc, path] for count, rpc, path in report.coverage.lowest()],
    }


if __name__ == "__main__":
    sys.exit(main())
