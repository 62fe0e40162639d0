"""Plays rows, one after the other."""

import asyncio
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from tests.faults import lag
from tests.faults.finding import Finding
from tests.faults.row import Row
from tests.faults.stage import Stage

ROW_LIMIT_S = 1_500.0
"""A row that takes longer hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line asks for. repeat 0: each row's own."""

    repeat: int = 0
    ci: bool = False
    long: bool = False
    minutes: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a row went.

    Attributes:
        took_s: all of it, with the processes' start and end.
        lag_s: how late the runner's own loop was at worst.
        replayed: the machine stalled, so the row was played twice; this is the second.
        missing: what this machine lacks for the row; it was not played.
    """

    row: Row
    finding: Finding
    took_s: float = 0.0
    lag_s: float = 0.0
    replayed: bool = False
    missing: str = ""

    @property
    def passed(self) -> bool:
        """Whether the promise held; also if it could not be tried here."""
        return not self.finding.faults

    @property
    def verdict(self) -> str:
        """In a word."""
        return "not here" if self.missing else "ok" if self.passed else "FAILED"


async def play(row: Row, options: Options) -> Result:
    """Plays a row; once more if it failed while the machine itself stalled."""
    if missing := row.missing():
        return Result(row=row, finding=Finding(), missing=missing)
    result = await play_once(row, options, replayed=False)
    if not result.passed and result.lag_s > lag.STALLED_S:
        return await play_once(row, options, replayed=True)
    return result


async def play_once(row: Row, options: Options, *, replayed: bool) -> Result:
    """Plays a row on a stage of its own. Whatever it raises is a fault."""
    repeats = options.repeat or (row.ci_repeats if options.ci else row.repeats)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="orion-faults-") as directory, lag.watched() as watched:
        stage = Stage(Path(directory), repeats=repeats, ci=options.ci, long=options.long, minutes=options.minutes)
        async with stage:
            try:
                async with asyncio.timeout(ROW_LIMIT_S):
                    await row.play(stage)
            except Exception as error:
                stage.finding.faults.append(f"{type(error).__name__} at {place(error)}: {error}")
    return Result(
        row=row,
        finding=stage.finding,
        took_s=time.monotonic() - began,
        lag_s=watched.worst_s,
        replayed=replayed,
    )


def place(error: Exception) -> str:
    """The line of the row that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).name.startswith("rows_")] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}"
