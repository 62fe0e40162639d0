"""Outlier ejection: who fails too much is left out for a while, but never too many at once."""

from collections.abc import Iterator

from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.expiry import Expiries
from orion_registry.core.selection.performance import FAILURES, SUCCEEDED, Outcome
from orion_registry.core.selection.slots import SECOND, Slots


class Record:
    """What ejection remembers of one service: counts of the current window and of the one before.

    Attributes:
        in_row: failures in a row.
        times: ejections that count for the length of the next.
        expires: when it returns; meaningless while it is not ejected.
    """

    __slots__ = (
        "calls",
        "calls_before",
        "expires",
        "failed",
        "failed_before",
        "group",
        "in_row",
        "slots",
        "times",
        "window",
    )

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.group = ""
        self.in_row = 0
        self.times = 0
        self.expires = 0.0
        self.window = 0
        self.clear()

    def clear(self) -> None:
        """Forgets both windows."""
        self.calls = self.failed = self.calls_before = self.failed_before = 0

    def count(self, failed: bool, window: int) -> None:
        """One call ended in this window."""
        if window != self.window:
            follows = window == self.window + 1
            self.calls_before, self.failed_before = (self.calls, self.failed) if follows else (0, 0)
            self.calls = self.failed = 0
            self.window = window
        self.calls += 1
        self.failed += failed
        self.in_row = self.in_row + 1 if failed else 0


class Outliers:
    """Ejects by failures in a row or by their share; brings back by time.

    The n-th ejection lasts n times the base, and each span of the base without another lets n fall by one. Whoever
    returns is on trial: its next failure ejects it again.
    """

    __slots__ = ("_config", "_ejected", "_groups", "_records", "_returns")

    def __init__(self, config: BalancerConfig) -> None:
        self._config = config
        self._records: dict[Slots, Record] = {}
        self._returns: Expiries[Record] = Expiries()
        self._ejected: dict[str, int] = {}
        self._groups: dict[str, dict[Slots, None]] = {}

    def reconfigure(self, config: BalancerConfig) -> None:
        """Goes by another config from now on."""
        self._config = config

    def add(self, slots: Slots) -> None:
        """A service is registered."""
        self._groups.setdefault(slots.service_name, {})[slots] = None

    def remove(self, slots: Slots) -> None:
        """It is not any more."""
        record = self._records.pop(slots, None)
        if record is not None and slots.ejected:
            self._returns.remove(record)
            self._return(record)
        group = self._groups[slots.service_name]
        del group[slots]
        if not group:
            del self._groups[slots.service_name]

    def record(self, slots: Slots, outcome: Outcome, now: float) -> bool:
        """Takes in one outcome; whether it got the service ejected."""
        record = self._records.get(slots)
        if record is None and outcome is SUCCEEDED:  # nearly always: who never failed needs no record
            return False
        failed = outcome in FAILURES
        if not failed and outcome is not SUCCEEDED:
            return False
        if record is None:
            record = self._records[slots] = Record(slots)
        record.count(failed, int(now // self._config.eject_window_s))
        if not failed or slots.ejected or not self._is_outlier(record) or not self._has_room(slots.service_name):
            return False
        self._eject(record, now)
        return True

    def due(self, now: float) -> Iterator[Slots]:
        """Brings back those whose time is over."""
        for record in self._returns.due(now):
            self._return(record)
            yield record.slots

    def next(self) -> float | None:
        """When the next one comes back; None = nobody is out."""
        return self._returns.next()

    def until(self, slots: Slots) -> float:
        """When an ejected one comes back, in monotonic seconds."""
        return self._records[slots].expires

    def most(self, service_name: str) -> int:
        """How many of a service's replicas may be out at once: a share of those that could serve if none were."""
        group = self._groups.get(service_name, {})
        return self._share_of(sum(slots.tier <= SECOND and slots.weight > 0 for slots in group))

    def _share_of(self, size: int) -> int:
        return max(int(size * self._config.eject_most), 1 if size > 1 else 0)

    def _is_outlier(self, record: Record) -> bool:
        config = self._config
        calls = record.calls + record.calls_before
        failed = record.failed + record.failed_before
        by_share = calls >= config.eject_volume and failed >= config.eject_share * calls
        return by_share or record.in_row >= config.eject_consecutive

    def _has_room(self, service_name: str) -> bool:
        ejected = self._ejected.get(service_name, 0)
        # Nearly always none is out, or too many are: who could serve is counted for the rest alone.
        return ejected < self._share_of(len(self._groups.get(service_name, ()))) and ejected < self.most(service_name)

    def _eject(self, record: Record, now: float) -> None:
        config, slots = self._config, record.slots
        healthy_s = now - record.expires
        record.times = max(0, record.times - int(healthy_s / config.eject_base_s)) + 1
        record.expires = now + min(config.eject_base_s * record.times, config.eject_max_s)
        record.group = slots.service_name
        record.clear()
        self._ejected[record.group] = self._ejected.get(record.group, 0) + 1
        self._returns.add(record)
        slots.ejected = True
        slots.settle()

    def _return(self, record: Record) -> None:
        record.in_row = self._config.eject_consecutive - 1
        _less(self._ejected, record.group)
        record.slots.ejected = False
        record.slots.settle()


def _less(counts: dict[str, int], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
