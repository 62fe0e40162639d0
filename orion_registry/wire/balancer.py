"""Requests of BalancerService as values of the core; answers are in `balancer_answers`."""

from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256

from orion_registry.core import limits
from orion_registry.core.holder import caller_of
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.pool import Pool
from orion_registry.core.selection.request import EXCLUDED, SelectionRequest
from orion_registry.core.selection.scopes import Scope
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_id, check_text
from orion_registry.errors import bad_field
from orion_registry.wire.decode import decode_selector
from orion_registry.wire.spans import decode_span
from orion_registry.wire.strategies import STRATEGIES
from orion_registry_pb.v1 import balancer_pb2 as pb

_KEPT_BYTES = 512
"""Bytes of the largest request whose decoded form is kept, so that hostile ones fill no memory."""
KEPT = 1_024
"""Requests whose decoded form is kept."""

_STRATEGY_RULE = "a SelectionStrategy: " + ", ".join(f"{n} {name or 'unspecified'}" for n, name in STRATEGIES.items())
_OUTCOMES = {int(outcome): outcome for outcome in Outcome}
_OUTCOME_RULE = "a CallOutcome: " + ", ".join(f"{n} {outcome.name}" for n, outcome in _OUTCOMES.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request comes from, and what its Route stream has said for all of its requests.

    Attributes:
        identity: proven of the caller; empty if none is configured.
        stream: names the Route stream; empty = it came on none.
        caller, zone: those of requests that name none.
    """

    identity: str
    stream: str = ""
    caller: str = ""
    zone: str = ""


def decode_hello(message: pb.RouteHello, origin: Origin) -> Origin:
    """The origin of what comes after a hello. Raises InvalidArgument."""
    if message.caller:
        check_id("hello.caller", message.caller)
    zone = check_text("hello.zone", message.zone)
    return Origin(identity=origin.identity, stream=origin.stream, caller=message.caller, zone=zone)


class Wanted:
    """A SelectServiceRequest as values. pool belongs to who selects: what the selector stands for, if known.

    plain: its command, if it may be kept and is answered at once: it neither waits nor may be a retry.
    """

    __slots__ = ("plain", "pool", "request", "selector")

    def __init__(self, selector: Selector, request: SelectionRequest, plain: pb.RouteCommand | None) -> None:
        self.selector = selector
        self.request = request
        self.plain = plain
        self.pool: Pool | None = None


class SelectDecoder:
    """Decodes SelectServiceRequests. Callers ask the same over and over: what was decoded before is kept."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[bytes, Origin], Wanted] = OrderedDict()

    def __call__(self, message: pb.SelectServiceRequest, origin: Origin) -> Wanted:
        """What a request asks for.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        return self.decode(message.SerializeToString(), message, origin)

    def decode(self, data: bytes, message: pb.SelectServiceRequest, origin: Origin) -> Wanted:
        """The same for a message that is serialised already: as `data`."""
        key = (data, origin)
        wanted = self._kept.get(key)
        if wanted is None:
            wanted = _wanted(message, origin, len(data))
            if len(data) <= _KEPT_BYTES and not wanted.request.request_id:
                if len(self._kept) >= KEPT:
                    self._kept.popitem(last=False)
                self._kept[key] = wanted
        return wanted


def _wanted(message: pb.SelectServiceRequest, origin: Origin, size: int) -> Wanted:
    if message.caller:
        check_id("caller", message.caller)
    if len(message.exclude_service_ids) > EXCLUDED:  # before copying what may be large
        raise bad_field("exclude_service_ids", f"at most {EXCLUDED:,} entries", len(message.exclude_service_ids))
    request_id = check_text("request_id", message.request_id)
    request = SelectionRequest(
        caller=caller_of(origin.identity, message.caller or origin.caller),
        strategy=decode_strategy("strategy", message.strategy),
        count=message.count or 1,
        excluded=frozenset(message.exclude_service_ids),
        key=check_text("affinity_key", message.affinity_key),
        wait_s=decode_span("wait_timeout", message.wait_timeout) if message.HasField("wait_timeout") else 0.0,
        ttl_s=decode_span("lease_ttl", message.lease_ttl) if message.HasField("lease_ttl") else None,
        allow_degraded=message.allow_degraded,
        zone=check_text("zone", message.zone) or origin.zone,
        stream=origin.stream,
        request_id=request_id,
        payload=sha256(message.SerializeToString(deterministic=True)).hexdigest() if request_id else "",
    )
    plain = size <= _KEPT_BYTES and not request_id and not request.wait_s
    return Wanted(decode_selector(message.selector), request, pb.RouteCommand(select=message) if plain else None)


def decode_strategy(field: str, value: int) -> StrategyName | None:
    """A strategy; None = unset. Raises InvalidArgument for a number that is none."""
    try:
        return STRATEGIES[value]
    except KeyError:
        raise bad_field(field, _STRATEGY_RULE, value) from None


def decode_outcome(value: int) -> Outcome:
    """What became of a call. Raises InvalidArgument for a number that is none."""
    try:
        return _OUTCOMES[value]
    except KeyError:
        raise bad_field("outcome", _OUTCOME_RULE, value) from None


def decode_response_time(message: pb.ReleaseServiceRequest | pb.ReportOutcomeRequest) -> float | None:
    """How long a call took; None = it does not say. Core checks its limits."""
    return decode_span("response_time", message.response_time) if message.HasField("response_time") else None


def decode_renewal(message: pb.RenewSelectionsRequest) -> tuple[tuple[str, ...], float | None]:
    """Which leases to renew, and for how long; None = as before.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    if not 1 <= len(message.selection_ids) <= limits.COMMANDS:
        raise bad_field("selection_ids", f"1 to {limits.COMMANDS:,} entries", len(message.selection_ids))
    ttl_s = decode_span("lease_ttl", message.lease_ttl) if message.HasField("lease_ttl") else None
    return tuple(message.selection_ids), ttl_s


def decode_scope(message: pb.SetStrategyRequest) -> Scope:
    """Where a strategy is to apply. Raises InvalidArgument."""
    return Scope(service_name=message.service_name, capability=message.capability)
