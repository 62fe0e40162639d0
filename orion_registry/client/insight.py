"""For those who want to know what selection does: why it chooses what it does, who holds what, what calls have shown.

async with InsightClient("127.0.0.1:6746") as insight:
    print((await insight.explain(Selector(capabilities=("math.add",)))).reason)
    async for lease in insight.leases():
        print(lease.caller, lease.service_id, lease.age_s)
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from orion_registry.client.calls import unary
from orion_registry.client.channel import Connection, resolve_addresses
from orion_registry.client.credentials import Credentials
from orion_registry.client.profile import resolve_profile
from orion_registry.client.specs import check_not_letters
from orion_registry.core import limits
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selection.totals import BalancerStats
from orion_registry.core.selector import Selector
from orion_registry.errors import bad_field
from orion_registry.wire.balancer_reports import (
    Explained,
    OpenLease,
    ServicePerformance,
    decode_explanation,
    decode_lease,
    decode_performance,
    decode_stats,
)
from orion_registry.wire.balancer_requests import encode_select
from orion_registry_pb.v1 import balancer_pb2 as pb
from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceStub

if TYPE_CHECKING:  # it exists for type checkers only
    from orion_registry_pb.v1.balancer_pb2_grpc import BalancerServiceAsyncStub

DEFAULT_TIMEOUT_S = 5.0


class InsightClient:
    """A connection for those who look. Belongs to one event loop; use it inside `async with`.

    It selects nothing and changes nothing. Calls raise `orion_registry.errors.RegistryError` or a subclass;
    `client.failures.Unreachable` when no registry answered.
    """

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        profile: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
    ) -> None:
        """Args: address, profile, credentials: as `RegistryClient`; timeout_s: of each call."""
        if timeout_s <= 0.0:
            raise bad_field("timeout_s", "above 0 seconds", timeout_s)
        self._timeout_s = timeout_s
        self._connection = Connection(resolve_addresses(address), resolve_profile(profile), credentials)

    async def __aenter__(self) -> "InsightClient":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Closes the connection. Idempotent."""
        await self._connection.close()

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._connection.address

    async def explain(
        self,
        selector: Selector,
        *,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        allow_degraded: bool = False,
        zone: str = "",
        seed: int = 0,
    ) -> Explained:
        """What a selection would choose now, and why; arguments as `BalancerClient.acquire`. Selects nothing.

        Args:
            selector: what is wanted.
            strategy: how to choose; None = as the registry is set.
            exclude: ids of services not wanted.
            affinity_key: of the call.
            allow_degraded: take ejected and unknown ones when nothing better is free.
            zone: of the caller.
            seed: of the randomness: the same seed, the same draws.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        check_not_letters("selector", selector)
        request = encode_select(
            selector,
            strategy=strategy,
            exclude=exclude,
            affinity_key=affinity_key,
            wait_s=0.0,
            ttl_s=None,
            allow_degraded=allow_degraded,
        )
        request.zone = zone
        asked = pb.ExplainSelectionRequest(request=request, seed=seed)
        return decode_explanation(await unary(self._connection, self._stub.ExplainSelection, asked, self._timeout_s))

    async def leases(self, service_id: str = "", caller: str = "") -> AsyncIterator[OpenLease]:
        """Open leases, the oldest first, page by page; what is empty does not restrict.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        token = ""
        while True:
            request = pb.ListSelectionsRequest(
                service_id=service_id, caller=caller, page_size=limits.PAGE_MAX, page_token=token
            )
            answer = await unary(self._connection, self._stub.ListSelections, request, self._timeout_s)
            for lease in answer.selections:
                yield decode_lease(lease)
            token = answer.next_page_token
            if not token:
                return

    async def stats(self) -> tuple[BalancerStats, int]:
        """Selection in numbers, and how many Route streams are open."""
        request = pb.GetBalancerStatsRequest()
        return decode_stats(await unary(self._connection, self._stub.GetBalancerStats, request, self._timeout_s))

    async def performance(self, service_id: str) -> ServicePerformance:
        """What the calls to one service have shown.

        Raises:
            NotFound: NO_SUCH_SERVICE.
        """
        request = pb.GetServicePerformanceRequest(service_id=service_id)
        call = self._stub.GetServicePerformance
        return decode_performance(await unary(self._connection, call, request, self._timeout_s))

    @property
    def _stub(self) -> "BalancerServiceAsyncStub":
        stub: BalancerServiceAsyncStub = BalancerServiceStub(self._connection.channel)
        return stub
