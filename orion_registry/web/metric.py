"""What a metric is: a row of the table, read when somebody asks. Nothing is counted here that the registry knows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from orion_registry.core.tally import Histogram
from orion_registry.server.side_door import Served
from orion_registry.web.watched import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where values come from. watched: what this port counts itself."""

    served: Served
    watched: Watched


Values = Iterable[tuple[tuple[str, ...], float]]
"""A value for each set of labels."""
Histograms = Iterable[tuple[tuple[str, ...], Histogram]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One metric.

    Attributes:
        name: without the ending that Prometheus gives counters and buckets.
        kind: "gauge", "counter" or "histogram".
        help: what it says, for people; a span is in seconds, as its name says.
        labels: their names. All of them have a bounded set of values.
        read: the values as of now.
    """

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    read: Callable[[Sources], Values] | Callable[[Sources], Histograms]

    @property
    def shown_name(self) -> str:
        """Its name in queries; of a histogram the part before _bucket, _sum and _count."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def family(self, sources: Sources) -> Metric:
        """All its values as of now."""
        if self.kind == "histogram":
            family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
            for labels, histogram in self.read(sources):
                assert isinstance(histogram, Histogram)
                buckets = [(_bound(bound), count) for bound, count in histogram.cumulative()]
                family.add_metric(labels, buckets, histogram.total)
            return family
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        plain = kind(self.name, self.help, labels=self.labels)
        for labels, value in self.read(sources):
            assert not isinstance(value, Histogram)
            plain.add_metric(labels, value)
        return plain


class TableCollector:
    """Reads a table whenever it is asked; what `prometheus_client` calls a collector."""

    def __init__(self, table: Iterable[Row], sources: Sources) -> None:
        self._table = tuple(table)
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """All metrics as of now."""
        return (row.family(self._sources) for row in self._table)

    def describe(self) -> Iterable[Metric]:
        """Their names are the table's."""
        return ()


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
