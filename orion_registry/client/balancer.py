"""The client for callers: selections on one Route stream, kept alive, released with their outcome.

async with BalancerClient("127.0.0.1:6746") as balancer:
    async with balancer.select(Selector(capabilities=("math.add",)), wait_s=5.0) as selection:
        await call(selection.service.address)
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from orion_registry.client.agent_calls import AgentCalls
from orion_registry.client.channel import Connection, channel_options, resolve_addresses
from orion_registry.client.credentials import Credentials
from orion_registry.client.environment import REAL, Environment
from orion_registry.client.failover import acquire_reachable, check_attempts
from orion_registry.client.failures import Unreachable
from orion_registry.client.holding import is_passing
from orion_registry.client.profile import resolve_profile
from orion_registry.client.route import Pending, Route
from orion_registry.client.selection import Selection, outcome_of, refusal_of
from orion_registry.client.specs import check_not_letters
from orion_registry.core import limits
from orion_registry.core.model import StatusReasonCode
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.request import WAIT_MAX_S
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.core.selector import Selector
from orion_registry.core.validation import check_id, check_text
from orion_registry.errors import Reason, RegistryError, bad_field
from orion_registry.wire.balancer_requests import encode_release, encode_report, encode_select
from orion_registry.wire.enums import known
from orion_registry.wire.service import decode_service
from orion_registry.wire.spans import decode_known_span
from orion_registry_pb.v1 import balancer_pb2 as pb

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 30.0
RENEW_AGAIN_S = 1.0
"""When a renewal that the registry could not judge is tried again, at the soonest; sooner only for a short ttl."""
_ANY = Selector()


class BalancerClient:
    """Selects services to call. Belongs to one event loop; use it inside `async with`.

    All selections share one stream; it reconnects by itself, and what is held is kept. Methods raise
    `orion_registry.errors.RegistryError` or a subclass; `client.failures.Unreachable` when no registry answered.
    """

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        caller: str = "",
        zone: str = "",
        profile: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
        environment: Environment = REAL,
    ) -> None:
        """A client of the registry at an address.

        Args:
            address: HOST:PORT or unix:PATH, or several; empty: ORION_ADDRESS, else 127.0.0.1:6746.
            caller: the name that it goes by: waiting is fair among names, and operators see who holds what.
            zone: where it runs: services there are preferred while they have room and enough of them are ready.
            profile: lan, wan or dev, as the daemon's; empty: ORION_PROFILE, else lan.
            timeout_s: how long an answer may take, besides the time that a selection may wait.
            credentials: certificates; None: as ORION_CA_FILE, ORION_CERT_FILE and ORION_KEY_FILE say, else plaintext.
            environment: where time and randomness come from.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        if timeout_s <= 0.0:
            raise bad_field("timeout_s", "above 0 seconds", timeout_s)
        if caller:
            check_id("caller", caller)
        self._hello = pb.RouteHello(caller=caller, zone=check_text("zone", zone))
        self._timeout_s = timeout_s
        self._env = environment
        self._connection = Connection(resolve_addresses(address), resolve_profile(profile), credentials)
        self._calls = AgentCalls(self, channel_options(resolve_profile(profile)), environment, self._late)
        self._held: dict[str, Selection] = {}
        self._route: Route | None = None

    async def __aenter__(self) -> "BalancerClient":
        self._route = Route(self._connection, self._env, self._hello, self._connected, self._noticed)
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Releases what is still held, and closes the connections. Idempotent."""
        await self._calls.close()
        for selection in list(self._held.values()):
            self._let_go(selection, Outcome.UNKNOWN, None)
        if self._route is not None:
            await self._route.close()
        await self._connection.close()

    @property
    def address(self) -> str:
        """The address that it is connected to, or tries to."""
        return self._connection.address

    @property
    def held(self) -> tuple[Selection, ...]:
        """What it holds now."""
        return tuple(self._held.values())

    # Selections.

    @asynccontextmanager
    async def select(
        self,
        selector: Selector,
        *,
        wait_s: float = 0.0,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        ttl_s: float | None = None,
        allow_degraded: bool = False,
        attempts: int = 1,
    ) -> AsyncIterator[Selection]:
        """A selection for the length of a block; its end is the outcome of the call.

        A block that ends well says SUCCEEDED, one that raises FAILED (TimeoutError: TIMED_OUT), one that is cancelled
        CANCELLED, which counts for nothing; set `selection.outcome` to say something else. Arguments as `acquire`.
        """
        selection = await self.acquire(
            selector,
            wait_s=wait_s,
            strategy=strategy,
            exclude=exclude,
            affinity_key=affinity_key,
            ttl_s=ttl_s,
            allow_degraded=allow_degraded,
            attempts=attempts,
        )
        try:
            yield selection
        except BaseException as error:
            self.finish(selection, outcome_of(error))
            raise
        self.finish(selection, Outcome.SUCCEEDED)

    async def acquire(
        self,
        selector: Selector,
        *,
        wait_s: float = 0.0,
        strategy: StrategyName | None = None,
        exclude: Collection[str] = (),
        affinity_key: str = "",
        ttl_s: float | None = None,
        allow_degraded: bool = False,
        attempts: int = 1,
    ) -> Selection:
        """A selection to be ended by `release`. It is renewed until then.

        Args:
            selector: what is wanted.
            wait_s: how long to wait if all slots are taken, an hour at most; 0 = not at all.
            strategy: how to choose; None = as the registry is set.
            exclude: ids of services not wanted, such as those that have just failed.
            affinity_key: calls with the same one go to the same service while it can take them.
            ttl_s: how long the slot stays reserved after this client has vanished; None = as the registry is set.
            allow_degraded: take ejected and unknown ones when nothing better is free.
            attempts: services that are tried at most. Above 1, each is connected to (TCP, within a second) before it is
                given out; one that cannot be counts as FAILED, and another is selected.

        Raises:
            NotFound: NO_MATCH. Unavailable: NO_READY_SERVICE. ResourceExhausted: NO_FREE_SLOT, QUEUE_FULL.
            ConnectionError: of those tried, with `attempts` above 1, none could be connected to.
        """
        check_not_letters("selector", selector)
        if not 0.0 <= wait_s <= WAIT_MAX_S:
            raise bad_field("wait_s", f"0 to {WAIT_MAX_S:,g} seconds", wait_s)

        async def acquire(excluded: Collection[str]) -> Selection:
            request = encode_select(
                selector,
                strategy=strategy,
                exclude=excluded,
                affinity_key=affinity_key,
                wait_s=wait_s,
                ttl_s=ttl_s,
                allow_degraded=allow_degraded,
            )
            return await self._acquire(request, self._timeout_s + wait_s)

        if check_attempts(attempts) == 1:
            return await acquire(exclude)
        return await acquire_reachable(acquire, self.finish, attempts, exclude)

    async def _acquire(self, request: pb.SelectServiceRequest, timeout_s: float) -> Selection:
        result = await self._open.ask(pb.RouteCommand(select=request), timeout_s)
        got = result.select.selections[0]
        selection = Selection(
            got.selection_id, decode_service(got.service), decode_known_span(got.ttl), self._env.now()
        )
        self._held[selection.selection_id] = selection
        selection.renew_later(self._renew)
        return selection

    async def release(
        self, selection: Selection, outcome: Outcome = Outcome.UNKNOWN, response_time_s: float | None = None
    ) -> None:
        """Ends a selection, and says what became of the call; without a response time, the age of the lease counts.

        Raises:
            NotFound: NO_SUCH_LEASE: it was released before, or ended by itself (`Selection.holds`).
        """
        self._forget(selection)
        command = pb.RouteCommand(release=encode_release(selection.selection_id, outcome, response_time_s))
        await self._open.ask(command, self._timeout_s, done=Reason.NO_SUCH_LEASE)

    def finish(self, selection: Selection, outcome: Outcome) -> None:
        """Ends a selection, as the end of its block does: at once, nobody waits for the registry's answer.

        Says `selection.outcome` if that is set, else `outcome`. Of one that is not held any more it says nothing.
        """
        took_s = min(self._env.now() - selection.began, limits.RESPONSE_TIME_S)  # a longer one would be refused
        self._let_go(selection, outcome if selection.outcome is None else selection.outcome, took_s)

    async def report(self, service_id: str, outcome: Outcome, response_time_s: float) -> None:
        """Says what became of a call that was made without a selection.

        Raises:
            NotFound: NO_SUCH_SERVICE. Unreachable: the stream broke: whether it was noted is not known.
        """
        command = pb.RouteCommand(report=encode_report(service_id, outcome, response_time_s))
        await self._open.ask(command, self._timeout_s, once=True)

    # Calls.

    async def call(
        self,
        capability: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        selector: Selector = _ANY,
        timeout_s: float = CALL_TIMEOUT_S,
        affinity_key: str = "",
        idempotent: bool = False,
    ) -> Any:
        """Calls a capability of an agent made with `Agent`: selects one, calls it, reports the outcome.

        An agent that refuses the call before it began is not the last word: another one is selected.

        Args:
            capability: what is to be done.
            arguments: JSON values, by the names of the function's arguments.
            selector: what else is wanted of the agent.
            timeout_s: for all of it, the wait for a free slot included.
            affinity_key: as `acquire`.
            idempotent: it does no harm to do it twice: then a call whose connection broke is made again elsewhere.

        Returns:
            The result: JSON as Python has it.

        Raises:
            CallFailed: the capability raised. CallTimedOut: no answer in time. AgentUnreachable: the connection broke.
            InvalidArgument: the arguments are wrong. Others: as `acquire`, or an agent's refusal if all refused.
        """
        return await self._calls.call(
            capability,
            arguments,
            selector,
            timeout_s=timeout_s,
            affinity_key=affinity_key,
            idempotent=idempotent,
        )

    # Inside.

    @property
    def _open(self) -> Route:
        if self._route is None:
            raise Unreachable("the client is not open: use it inside `async with`", address=self.address)
        return self._route

    def _late(self, timeout_s: float) -> RegistryError:
        return self._open.late(timeout_s)

    def _let_go(self, selection: Selection, outcome: Outcome, response_time_s: float | None) -> None:
        """Releases without waiting for the answer."""
        if not selection.holds:
            return
        self._forget(selection)
        try:
            self._open.send(pb.RouteCommand(release=encode_release(selection.selection_id, outcome, response_time_s)))
        except RegistryError as error:
            logger.warning("%s is not released: %s", selection.selection_id, error)

    def _forget(self, selection: Selection) -> None:
        selection.holds = False
        selection.rest()
        self._held.pop(selection.selection_id, None)

    def _connected(self) -> None:
        """What is held lives on the new stream from now on."""
        for selection in self._held.values():
            self._renew(selection)

    def _renew(self, selection: Selection) -> None:
        selection.rest()
        command = pb.RouteCommand(renew=pb.RenewSelectionsRequest(selection_ids=[selection.selection_id]))
        try:
            pending: Pending = self._open.send(command)
        except RegistryError as error:  # there is no stream any more, for good
            logger.warning("%s is not renewed: %s", selection.selection_id, error)
            self._expired(selection)
            return
        pending.answered.add_done_callback(lambda answered: self._renewed(selection, answered))

    def _renewed(self, selection: Selection, answered: "asyncio.Future[pb.RouteResult]") -> None:
        if not selection.holds or answered.cancelled() or answered.exception() is not None:
            return
        refusal = refusal_of(answered.result())
        if refusal is None:
            selection.renew_later(self._renew)
        elif is_passing(refusal):  # not judged: it may be reserved still
            asked_s = max(RENEW_AGAIN_S, refusal.retry_after_s or 0.0)
            selection.renew_later(self._renew, min(asked_s, selection.ttl_s / 8))
        else:
            self._expired(selection)

    def _expired(self, selection: Selection) -> None:
        logger.warning("the slot of %s is not reserved any more", selection.selection_id)
        self._forget(selection)

    def _noticed(self, notice: pb.SelectionNotice) -> None:
        selection = self._held.get(notice.selection_id)
        if selection is None:
            return
        if notice.kind == pb.SELECTION_NOTICE_KIND_EXPIRED:
            self._expired(selection)
        elif notice.kind == pb.SELECTION_NOTICE_KIND_SERVICE_LOST:
            if notice.reason:
                selection.why_lost = known(StatusReasonCode, notice.reason, StatusReasonCode.DISCONNECTED)
            selection.lost.set()
