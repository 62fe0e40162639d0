"""Figures and their budgets: the one table of what `scripts/bench` holds the registry to."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a ratio must keep to. at_least: higher is better; otherwise lower is. aim: wanted, not required."""

    limit: float
    at_least: bool
    aim: float | None = None

    def allows(self, ratio: float, *, quick: bool = False) -> bool:
        """Whether a ratio is within; a quick run only guards against one that has halved."""
        if self.at_least:
            return ratio >= self.limit * (0.5 if quick else 1.0)
        return ratio <= self.limit * (2.0 if quick else 1.0)

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {self.limit:g}" + ("" if self.aim is None else f" (aim {self.aim:g})")


BUDGETS = {
    "discover": Budget(limit=0.7, at_least=True, aim=0.8),
    "get": Budget(limit=0.7, at_least=True, aim=0.8),
    "beat": Budget(limit=1.3, at_least=False),
}
"""By the figure's name. Other ratios are printed without being judged."""


@dataclass(slots=True, kw_only=True)
class Figure:
    """One thing measured beside its reference, round by round, in the same run.

    Attributes:
        name: as in `BUDGETS`, or another: then it is told, not judged.
        what: for people.
        unit: of `ours` and `reference`.
        inverse: the ratio is reference / ours (such as CPU a call, told as a share of the reference's speed).
        ours: what the registry took, one value a round.
        reference: what the bare server took in the same round.
    """

    name: str
    what: str
    unit: str
    inverse: bool = False
    ours: list[float] = field(default_factory=list)
    reference: list[float] = field(default_factory=list)

    def add(self, ours: float, reference: float) -> None:
        """One round."""
        self.ours.append(ours)
        self.reference.append(reference)

    @property
    def ratios(self) -> list[float]:
        """One ratio a round."""
        pairs = zip(self.ours, self.reference, strict=True)
        return [theirs / ours if self.inverse else ours / theirs for ours, theirs in pairs]

    @property
    def ratio(self) -> float:
        """The median over the rounds: one disturbed round changes nothing."""
        return statistics.median(self.ratios)

    def verdict(self, *, quick: bool) -> str:
        """held, MISSED, or "-" where nothing is judged."""
        budget = BUDGETS.get(self.name)
        if budget is None:
            return "-"
        return "held" if budget.allows(self.ratio, quick=quick) else "MISSED"

    def as_dict(self, *, quick: bool) -> dict[str, object]:
        """For --json."""
        budget = BUDGETS.get(self.name)
        return {
            "what": self.what,
            "unit": self.unit,
            "ours": self.ours,
            "reference": self.reference,
            "ratio": self.ratio,
            "ratios": self.ratios,
            "budget": None if budget is None else str(budget),
            "verdict": self.verdict(quick=quick),
        }


def table(figures: Sequence[Figure], *, quick: bool) -> str:
    """All figures as text: medians, ratio with its spread, budget, verdict."""
    lines = [f"{'figure':42}{'registry':>10}{'bare':>10} {'unit':13}{'ratio':>6}  {'rounds':13}{'budget':17}"]
    for figure in figures:
        low, high = min(figure.ratios), max(figure.ratios)
        budget = BUDGETS.get(figure.name)
        lines.append(
            f"{figure.what:42}{statistics.median(figure.ours):>10.1f}{statistics.median(figure.reference):>10.1f} "
            f"{figure.unit:13}{figure.ratio:>6.2f}  {f'{low:.2f} to {high:.2f}':13}{budget or ''!s:17}"
            f"{figure.verdict(quick=quick)}"
        )
    return "\n".join(lines)
