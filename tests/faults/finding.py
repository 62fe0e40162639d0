"""What a row has found: samples with their limits, faults, notes."""

from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Finding:
    """Filled while a row runs.

    Attributes:
        samples: seconds by name, in the order of the names' first samples.
        limits: the most that a sample of that name may be; names without one are only published.
        counts: other figures, by name.
        faults: what did not hold.
        notes: what a reader should know.
    """

    samples: dict[str, list[float]] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sample(self, name: str, seconds: float, limit_s: float | None = None) -> None:
        """Takes one sample; at or above its limit it is a fault."""
        self.samples.setdefault(name, []).append(seconds)
        if limit_s is not None:
            self.limits[name] = limit_s
            if seconds >= limit_s:
                self.faults.append(f"{name} took {seconds:.3f} s, limit {limit_s:g} s")

    def count(self, name: str, number: float) -> None:
        """Adds to a figure that is no span."""
        self.counts[name] = self.counts.get(name, 0) + number

    def check(self, holds: bool, otherwise: str) -> bool:
        """Notes a fault unless it holds; returns whether it does."""
        if not holds:
            self.faults.append(otherwise)
        return holds

    def measured(self) -> str:
        """All figures in one line."""
        spans = [f"{name} {spread(values)}" for name, values in self.samples.items()]
        return "; ".join([*spans, *(f"{name} {number:g}" for name, number in self.counts.items())])


def spread(values: list[float]) -> str:
    """Least, median and 99th percentile, in a unit that suits them. Of few samples the 99th percentile is the most."""
    low, mid, high = min(values), median(values), quantile(values, 0.99)
    unit, factor = ("ms", 1e3) if high < 1.0 else ("s", 1.0)
    if len(values) == 1:
        return f"{high * factor:.3g} {unit}"
    return f"{low * factor:.3g}/{mid * factor:.3g}/{high * factor:.3g} {unit} ({len(values)})"


def quantile(values: list[float], share: float) -> float:
    """The least value that this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
