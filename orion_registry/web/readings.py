"""The values of metrics, read off what the registry knows when somebody asks."""

import platform
from collections.abc import Callable, Iterable, Iterator

import grpc

from orion_registry import __version__
from orion_registry.core.checks.spec import ProbeKind
from orion_registry.core.events import EventType
from orion_registry.core.model import RemovalReason, ServiceStatus, StatusReasonCode
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.errors import Limit
from orion_registry.runtime.audit import AUDIT
from orion_registry.runtime.coordinator import MASS_HOLD, STORE_DOWN
from orion_registry.server.access import ACCESS, CERTIFICATE
from orion_registry.server.methods import Kind, Method
from orion_registry.server.rpc_tally import CODE_NAMES, MethodTally
from orion_registry.web.metric import Histograms, Sources, Values

ALARMS = (ACCESS, AUDIT, CERTIFICATE, MASS_HOLD, STORE_DOWN)
"""All alarms that there are."""

GRANTED = "GRANTED"
"""The result of a selection that was given a slot; the others are reasons of errors."""


def services(sources: Sources) -> Values:
    """By status."""
    counts = sources.served.coordinator.registry.census.by_status
    return [((one.name,), counts.get(one, 0)) for one in ServiceStatus if one is not ServiceStatus.UNSPECIFIED]


def reasons(sources: Sources) -> Values:
    """By reason."""
    counts = sources.served.coordinator.registry.census.by_reason
    return [((one.name,), counts.get(one, 0)) for one in StatusReasonCode]


def watchers(sources: Sources) -> Values:
    """By what they watch."""
    coordinator = sources.served.coordinator
    return [(("services",), coordinator.watchers), (("events",), coordinator.events.subscribers)]


def alarms(sources: Sources) -> Values:
    """1 while it holds."""
    held = {alarm.name for alarm in sources.served.coordinator.alarms.held}
    return [((name,), float(name in held)) for name in ALARMS]


def beats(sources: Sources) -> Values:
    """By how they came."""
    coordinator = sources.served.coordinator
    streamed, single = coordinator.registry.beats(coordinator.streams)
    return [(("stream",), streamed), (("unary",), single)]


def selections(sources: Sources) -> Iterator[tuple[tuple[str, ...], float]]:
    """By strategy and result."""
    balancing = sources.served.coordinator.registry.balancing
    strategies, tally = balancing.stats.strategies, balancing.tally
    for name in StrategyName:
        yield (name.value, GRANTED), strategies[name].selections + tally.late[name]
    for (strategy, reason), count in tally.refused.items():
        yield (strategy.value, reason.value), count


def strategy_failures(sources: Sources) -> Values:
    """By strategy."""
    stats = sources.served.coordinator.registry.balancing.stats.strategies
    return [((name.value,), stats[name].failures) for name in StrategyName]


def lease_ends(sources: Sources) -> Values:
    """By cause."""
    tally = sources.served.coordinator.registry.balancing.leases
    return [(("released",), tally.released), (("expired",), tally.expired)]


def outcomes(sources: Sources) -> Values:
    """By what callers said."""
    counts = sources.served.coordinator.registry.balancing.leases.outcomes
    return [((one.name,), counts[one]) for one in Outcome if one is not Outcome.UNKNOWN]


def checks(sources: Sources) -> Values:
    """By where they stand."""
    stats = sources.served.coordinator.registry.monitoring.stats()
    return [(("awaiting",), stats.awaiting), (("passing",), stats.passing), (("failing",), stats.failing)]


def check_runs(sources: Sources) -> Iterator[tuple[tuple[str, ...], float]]:
    """By kind of the probe that decided, and verdict."""
    for runs in sources.served.coordinator.registry.monitoring.stats().kinds:
        kind = ProbeKind(runs.kind).name if runs.kind is not None else ""
        yield (kind, "PASSED"), runs.passed
        yield (kind, "FAILED"), runs.failed
        yield (kind, "UNAVAILABLE"), runs.unavailable
        yield (kind, "DENIED"), runs.denied


def rpcs(sources: Sources) -> Iterator[tuple[tuple[str, ...], float]]:
    """Calls that ended, by their code."""
    for method, tally in _methods(sources):
        for code, count in tally.codes.items():
            yield (method.service, method.name, CODE_NAMES[code]), count


def rpc_times(sources: Sources) -> Histograms:
    """Of unary calls."""
    rpcs = sources.served.rpcs
    unary = () if rpcs is None else rpcs.unary()
    return [((method.service, method.name), tally.times) for method, tally in unary if tally.times.count]


def rpc_streams(sources: Sources) -> Values:
    """Streams that are open."""
    streams = ((method, tally) for method, tally in _methods(sources) if method.kind is not Kind.UNARY)
    return [((method.service, method.name), tally.open) for method, tally in streams]


def limits_hit(sources: Sources) -> Values:
    """By limit."""
    counts = sources.served.coordinator.registry.refused.counts
    return [((limit.value,), counts.get(limit, 0)) for limit in Limit]


def refusals(sources: Sources) -> Iterator[tuple[tuple[str, ...], float]]:
    """Calls that were refused, by reason."""
    for method, tally in _methods(sources):
        for reason, count in tally.refused.items():
            yield (method.service, method.name, reason.value), count


def status_changes(sources: Sources) -> Values:
    """By the new status and the worst reason."""
    return [((status.name, reason.name), count) for (status, reason), count in sources.watched.changes.items()]


def events(sources: Sources) -> Values:
    """By type."""
    return [((one.name,), sources.watched.events[one]) for one in EventType]


def removals(sources: Sources) -> Values:
    """By why; services that only left a view are not removed."""
    found = (one for one in RemovalReason if one is not RemovalReason.OUT_OF_VIEW)
    return [((one.name,), sources.watched.removals[one]) for one in found]


def requests(sources: Sources) -> Values:
    """Answers over HTTP."""
    return [((path, str(status)), count) for (path, status), count in sources.watched.requests.items()]


def detection(sources: Sources) -> Histograms:
    """By the reason that the service fell for."""
    return [((one.name,), spans) for one, spans in sources.served.coordinator.detection.delays.items()]


def silences(sources: Sources) -> Histograms:
    """By the reason that the service fell for."""
    return [((one.name,), spans) for one, spans in sources.served.coordinator.detection.silences.items()]


def waits(sources: Sources) -> Histograms:
    """Of all strategies."""
    return [((), sources.served.coordinator.registry.balancing.tally.waits)]


def commits(sources: Sources) -> Histograms:
    """Of the store."""
    return [((), sources.served.coordinator.commits.times)]


def build(_sources: Sources) -> Values:
    """What runs."""
    return [((__version__, platform.python_version(), grpc.__version__), 1)]


def number(read: Callable[[Sources], float]) -> Callable[[Sources], Values]:
    """The one value of a metric without labels."""
    return lambda sources: (((), read(sources)),)


def _methods(sources: Sources) -> Iterable[tuple[Method, MethodTally]]:
    rpcs = sources.served.rpcs
    return () if rpcs is None else rpcs.methods.items()
