"""The rows of the fault matrix, as the modules `rows_*` declare them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.stage import Stage

Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row.

    Attributes:
        number: as in the fault matrix ("10b"); letters first ("A3") for those that it does not have.
        name, group: what --row and --group select by.
        expect: the promise in a sentence, with its limit.
        play: injects the fault and measures, `stage.repeats` times.
        repeats, ci_repeats: how often, by default and with --ci.
        long: only with --long.
        missing: says what this machine lacks for it; "" = nothing.
    """

    number: str
    name: str
    group: str
    expect: str
    play: Play
    repeats: int = 3
    ci_repeats: int = 1
    long: bool = False
    missing: Callable[[], str] = str


class Group:
    """Collects the rows of one module."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []

    def row(
        self,
        number: str,
        name: str,
        expect: str,
        *,
        repeats: int = 3,
        ci_repeats: int = 1,
        long: bool = False,
        missing: Callable[[], str] = str,
    ) -> Callable[[Play], Play]:
        """Decorates the function that plays a row."""

        def keep(play: Play) -> Play:
            self.rows.append(
                Row(
                    number=number,
                    name=name,
                    group=self.name,
                    expect=expect,
                    play=play,
                    repeats=repeats,
                    ci_repeats=ci_repeats,
                    long=long,
                    missing=missing,
                )
            )
            return play

        return keep
