"""What came of every message, and the verdict."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.fuzz.schema import Rpc

FAULTS_KEPT = 500


@dataclass(slots=True)
class Row:
    """One RPC's figures: messages sent, those mutated, those answered as meant, and the final codes of calls."""

    messages: int = 0
    mutated: int = 0
    ok: int = 0
    codes: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Fault:
    """A message that was answered as no message may be, with those that the same worker had sent before."""

    path: str
    why: str
    frames: list[bytes]
    before: list[tuple[str, bytes]]

    def line(self) -> str:
        """As a line of a replay file."""
        before = [[path, data.hex()] for path, data in self.before]
        return json.dumps(
            {"path": self.path, "why": self.why, "frames": [data.hex() for data in self.frames], "before": before}
        )


class Tally:
    """Figures by RPC, and all faults."""

    def __init__(self, rpcs: tuple[Rpc, ...], wanted: int) -> None:
        self.rows: dict[str, Row] = defaultdict(Row, {rpc.name: Row() for rpc in rpcs})
        self.faults: list[Fault] = []
        self.fault_count = 0
        self.wanted = wanted
        self.sent = 0

    @property
    def finished(self) -> bool:
        """Whether enough messages were sent."""
        return self.sent >= self.wanted

    def message(self, rpc: Rpc, *, mutated: bool) -> None:
        """One message is sent."""
        self.sent += 1
        row = self.rows[rpc.name]
        row.messages += 1
        row.mutated += mutated

    def ok(self, rpc: Rpc) -> None:
        """One message was answered as it was meant."""
        self.rows[rpc.name].ok += 1

    def code(self, rpc: Rpc, code: grpc.StatusCode | str) -> None:
        """A call ended."""
        self.rows[rpc.name].codes[code if isinstance(code, str) else code.name] += 1

    def fault(self, fault: Fault) -> None:
        """Something that must not happen."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(fault)

    def total(self, what: str) -> int:
        """Sum of a column: messages, mutated or ok."""
        return sum(int(getattr(row, what)) for row in self.rows.values())

    def table(self) -> str:
        """All rows as text."""
        lines = [f"{'RPC':54}{'messages':>9}{'mutated':>9}{'ok':>8}  final codes"]
        for name, row in sorted(self.rows.items()):
            codes = ", ".join(f"{code} {count}" for code, count in row.codes.most_common())
            lines.append(f"{name:54}{row.messages:>9}{row.mutated:>9}{row.ok:>8}  {codes}")
        lines.append(f"{'all':54}{self.total('messages'):>9}{self.total('mutated'):>9}{self.total('ok'):>8}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All rows for --json."""
        return {
            name: {"messages": row.messages, "mutated": row.mutated, "ok": row.ok, "codes": dict(row.codes)}
            for name, row in sorted(self.rows.items())
        }
