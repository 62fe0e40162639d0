"""Figures and their budgets: the one table of what `scripts/bench` holds the registry to."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a ratio must keep to. at_least: higher is better; otherwise lower is. aim: wanted, not required.

    absolute: what the registry took must keep to it, not the ratio.
    """

    limit: float
    at_least: bool
    aim: float | None = None
    absolute: bool = False

    def allows(self, value: float, *, quick: bool = False) -> bool:
        """Whether a value is within; a quick run only guards against one that has halved."""
        if self.at_least:
            return value >= self.limit * (0.5 if quick else 1.0)
        return value <= self.limit * (2.0 if quick else 1.0)

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.limit:,g}" + ("" if self.aim is None else f" (aim {self.aim:g})")


BUDGETS = {
    "discover": Budget(limit=0.7, at_least=True, aim=0.8),
    "get": Budget(limit=0.7, at_least=True, aim=0.8),
    "select": Budget(limit=0.7, at_least=True, aim=0.8),
    "route-1": Budget(limit=0.7, at_least=True, aim=0.8),
    "beat": Budget(limit=1.3, at_least=False),
    "route-32-speed": Budget(limit=60_000, at_least=True, absolute=True),
    "load-discover": Budget(limit=0.7, at_least=True, aim=0.8),
    "load-get": Budget(limit=0.7, at_least=True, aim=0.8),
    "memory": Budget(limit=60, at_least=False, absolute=True),
    "import": Budget(limit=250, at_least=False, absolute=True),
    "import-agent": Budget(limit=250, at_least=False, absolute=True),
    "watch-1000-p99": Budget(limit=300, at_least=False, absolute=True),
    "growth-5000-kill": Budget(limit=100, at_least=False, absolute=True),
    "growth-10000-held": Budget(limit=100, at_least=False, absolute=True),
    "durable-256": Budget(limit=2_000, at_least=True, absolute=True),
}
"""By the figure's name. Other figures are printed without being judged."""


@dataclass(slots=True, kw_only=True)
class Figure:
    """One thing measured beside its reference, round by round, in the same run.

    Attributes:
        name: as in `BUDGETS`, or another: then it is told, not judged.
        what: for people.
        unit: of `ours` and `reference`.
        inverse: the ratio is reference / ours (such as CPU a call, told as a share of the reference's speed).
        ours: what the registry took, one value a round.
        reference: what the bare server, or `beside`, took in the same round; empty if there was none.
        beside: the reference's name, if it is not the bare server.
    """

    name: str
    what: str
    unit: str
    inverse: bool = False
    beside: str = ""
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    def add(self, ours: float, reference: float | None) -> None:
        """One round."""
        self.ours.append(ours)
        if reference is not None:
            self.reference.append(reference)

    @property
    def ratios(self) -> list[float]:
        """One ratio a round; none without a reference."""
        pairs = zip(self.ours, self.reference, strict=True) if self.reference else ()
        return [theirs / ours if self.inverse else ours / theirs for ours, theirs in pairs]

    @property
    def ratio(self) -> float | None:
        """The median over the rounds: one disturbed round changes nothing."""
        return statistics.median(self.ratios) if self.ratios else None

    def verdict(self, *, quick: bool) -> str:
        """held, MISSED, or "-" where nothing is judged."""
        budget = BUDGETS.get(self.name)
        value = statistics.median(self.ours) if budget is not None and budget.absolute else self.ratio
        if budget is None or value is None or (quick and budget.absolute):
            return "-"  # the quick form guards ratios: absolute speed is the machine's as much as ours
        return "held" if budget.allows(value, quick=quick) else "MISSED"

    def as_dict(self, *, quick: bool) -> dict[str, object]:
        """For --json."""
        budget = BUDGETS.get(self.name)
        return {
            "what": self.what,
            "unit": self.unit,
            "beside": self.beside or "bare",
            "ours": self.ours,
            "reference": self.reference,
            "ratio": self.ratio,
            "ratios": self.ratios,
            "budget": None if budget is None else str(budget),
            "verdict": self.verdict(quick=quick),
        }


def table(figures: Sequence[Figure], *, quick: bool) -> str:
    """All figures as text: medians, ratio with its spread, budget, verdict."""
    lines = [f"{'figure':42}{'registry':>10}{'beside it':>10} {'unit':13}{'ratio':>6}  {'rounds':13}{'budget':17}"]
    for figure in figures:
        beside, ratio, spread = "", "", ""
        if figure.ratios:
            beside = f"{statistics.median(figure.reference):.1f}"
            ratio, spread = f"{figure.ratio:.2f}", f"{min(figure.ratios):.2f} to {max(figure.ratios):.2f}"
        what = figure.what + (f" ({figure.beside})" if figure.beside else "")
        lines.append(
            f"{what:42}{statistics.median(figure.ours):>10.1f}{beside:>10} {figure.unit:13}{ratio:>6}  {spread:13}"
            f"{BUDGETS.get(figure.name) or ''!s:17}{figure.verdict(quick=quick)}"
        )
    return "\n".join(lines)
