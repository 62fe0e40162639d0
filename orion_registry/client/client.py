"""The client of the registry: typed calls with deadlines, sessions and watches.

async with RegistryClient("127.0.0.1:6746") as client:
    found = await client.discover(Selector(capabilities=("math.add",)))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from orion_registry.client.calls import unary
from orion_registry.client.channel import Connection, resolve_addresses
from orion_registry.client.credentials import Credentials
from orion_registry.client.environment import REAL, Environment
from orion_registry.client.monitor import MonitorCalls
from orion_registry.client.options import SessionOptions
from orion_registry.client.profile import resolve_profile
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.specs import check_not_letters
from orion_registry.client.watch import Watch
from orion_registry.core import limits
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus, SessionRef
from orion_registry.core.selector import Selector
from orion_registry.errors import bad_field
from orion_registry.wire.requests import encode_load, encode_ref, encode_selector, encode_spec
from orion_registry.wire.service import Service, decode_service
from orion_registry_pb.v1 import registry_pb2 as pb
from orion_registry_pb.v1 import service_pb2

if TYPE_CHECKING:  # loaded when first used
    from orion_registry.client.local_view import LocalView
    from orion_registry.core.selection.strategy import StrategyName

DEFAULT_TIMEOUT_S = 5.0
_ANY = Selector()
_DEFAULTS = SessionOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What RegisterService answered. `ref` is the right to act for the service: keep its secret."""

    service: Service
    ref: SessionRef
    revision: int
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What DiscoverServices answered.

    Attributes:
        services: what was found, in the order of registration.
        next_page_token: set if there is more; always empty from `RegistryClient.discover`.
        revision, history_id: what the answer shows (of several pages, the first: a watch from there misses nothing).
        stale_for_s: how old the answer may be, in seconds.
        not_ready_count: how many services match but for being not ready.
    """

    services: tuple[Service, ...]
    next_page_token: str
    revision: int
    history_id: str
    stale_for_s: float
    not_ready_count: int


class RegistryClient(MonitorCalls):
    """A connection to the registry. Belongs to one event loop; use it inside `async with`.

    Every call takes `timeout_s`, its deadline in seconds (default: that of the client, 5 s), and raises
    `orion_registry.errors.RegistryError` or a subclass; `client.failures.Unreachable` when no registry answered.
    """

    def __init__(
        self,
        address: str | Sequence[str] = "",
        *,
        profile: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
        credentials: Credentials | None = None,
        environment: Environment = REAL,
    ) -> None:
        """A client of the registry at an address.

        Args:
            address: HOST:PORT or unix:PATH, or several; empty: ORION_ADDRESS, else 127.0.0.1:6746.
            profile: lan, wan or dev, as the daemon's: how long the registry may be silent until the connection is
                given up; empty: ORION_PROFILE, else lan.
            timeout_s: deadline of a call that does not say its own.
            credentials: certificates; None: as ORION_CA_FILE, ORION_CERT_FILE and ORION_KEY_FILE say, else plaintext.
            environment: where time and randomness come from.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        if timeout_s <= 0.0:
            raise bad_field("timeout_s", "above 0 seconds", timeout_s)
        self._timeout_s = timeout_s
        self._env = environment
        self._connection = Connection(resolve_addresses(address), resolve_profile(profile), credentials)

    @property
    def address(self) -> str:
        """The address that calls go to now."""
        return self._connection.address

    async def __aenter__(self) -> "RegistryClient":
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.close()
        return False

    async def close(self) -> None:
        """Closes the connection; open calls, sessions and watches of this client end with `Unreachable`. Idempotent."""
        await self._connection.close()

    # For agents.

    def session(
        self, agent_id: str, services: Sequence[ServiceSpec], options: SessionOptions = _DEFAULTS
    ) -> HeartbeatSession:
        """A supervised session that registers `services` and keeps them alive. Not started yet."""
        return HeartbeatSession(self._connection, agent_id, services, options, self._env)

    async def register(
        self,
        spec: ServiceSpec,
        *,
        secret: str = "",
        request_id: str = "",
        takeover: bool = False,
        timeout_s: float | None = None,
    ) -> Registration:
        """Registers a service, or claims it again. Without `secret` a fresh one is made; give it again to update.

        Idempotent by request_id; without one a fresh one is made. For liveness by stream use `session`.

        Raises:
            AlreadyExists: another session is live.
        """
        check_not_letters("service", spec)
        secret = secret or self._env.new_secret()
        request = pb.RegisterServiceRequest(
            service=encode_spec(spec),
            secret=secret,
            request_id=request_id or self._env.new_id(),
            takeover=takeover,
        )
        answer = await unary(self._connection, self._connection.stub.RegisterService, request, self._limit(timeout_s))
        service = decode_service(answer.service)
        ref = SessionRef(service_id=service.service_id, epoch=service.epoch, secret=secret)
        return Registration(service=service, ref=ref, revision=answer.revision, created=answer.created)

    async def unregister(self, ref: SessionRef, *, timeout_s: float | None = None) -> int:
        """Removes a service for good. Returns the revision of the change.

        Raises:
            NotFound: it is not registered. PermissionDenied, FailedPrecondition: the ref is not, or no longer, good.
        """
        request = pb.UnregisterServiceRequest(ref=encode_ref(ref))
        call = self._connection.stub.UnregisterService
        return (await unary(self._connection, call, request, self._limit(timeout_s))).revision

    async def update(
        self,
        ref: SessionRef,
        spec: ServiceSpec,
        fields: Sequence[str],
        *,
        etag: int = 0,
        timeout_s: float | None = None,
    ) -> Service:
        """Changes the named ServiceInfo fields (such as "tags") to what spec says. etag: the generation it is based on.

        Raises:
            FailedPrecondition: STALE_ETAG or STALE_EPOCH. NotFound, PermissionDenied, InvalidArgument.
        """
        check_not_letters("service", spec)
        request = pb.UpdateServiceRequest(ref=encode_ref(ref), service=encode_spec(spec), etag=etag)
        request.update_mask.paths.extend(fields)
        call = self._connection.stub.UpdateService
        return decode_service((await unary(self._connection, call, request, self._limit(timeout_s))).service)

    async def update_status(self, ref: SessionRef, status: ServiceStatus, *, timeout_s: float | None = None) -> Service:
        """Says how a service sees itself; HEALTHY clears it. Returns the service as the registry sees it now."""
        request = pb.UpdateServiceStatusRequest(ref=encode_ref(ref), status=_status(status))
        call = self._connection.stub.UpdateServiceStatus
        return decode_service((await unary(self._connection, call, request, self._limit(timeout_s))).service)

    async def send_heartbeat(
        self,
        ref: SessionRef,
        *,
        load: Load | None = None,
        self_status: ServiceStatus = ServiceStatus.UNSPECIFIED,
        timeout_s: float | None = None,
    ) -> tuple[float, ServiceStatus]:
        """One beat of a service with LivenessMode.TTL. Returns how long it is good for (seconds), and its status.

        Raises:
            FailedPrecondition: WRONG_MODE, the service is not kept alive by unary beats; STALE_EPOCH.
        """
        request = pb.SendHeartbeatRequest(ref=encode_ref(ref), self_status=_status(self_status))
        if load is not None:
            request.load.CopyFrom(encode_load(load))
        call = self._connection.stub.SendHeartbeat
        answer = await unary(self._connection, call, request, self._limit(timeout_s))
        return answer.ttl.ToTimedelta().total_seconds(), ServiceStatus(answer.status)

    # For callers.

    async def get(self, service_id: str, *, timeout_s: float | None = None) -> Service:
        """One service, ready or not. Raises NotFound."""
        request = pb.GetServiceRequest(service_id=service_id)
        call = self._connection.stub.GetService
        return decode_service((await unary(self._connection, call, request, self._limit(timeout_s))).service)

    async def discover(self, selector: Selector = _ANY, *, timeout_s: float | None = None) -> Discovery:
        """All services that match, page after page; the deadline holds for each page. Nothing found is no error.

        A service that changed between two pages is given once, in its later state.
        """
        first = page = await self.discover_page(selector, page_size=limits.PAGE_MAX, timeout_s=timeout_s)
        found = {service.service_id: service for service in page.services}
        while page.next_page_token:
            page = await self.discover_page(
                selector, page_size=limits.PAGE_MAX, page_token=page.next_page_token, timeout_s=timeout_s
            )
            found.update((service.service_id, service) for service in page.services)
        return Discovery(
            services=tuple(found.values()),
            next_page_token="",
            revision=first.revision,
            history_id=first.history_id,
            stale_for_s=max(first.stale_for_s, page.stale_for_s),
            not_ready_count=page.not_ready_count,
        )

    async def discover_page(
        self,
        selector: Selector = _ANY,
        *,
        page_size: int = limits.PAGE_DEFAULT,
        page_token: str = "",
        timeout_s: float | None = None,
    ) -> Discovery:
        """One page of the services that match. Raises InvalidArgument for a token of another selector."""
        check_not_letters("selector", selector)
        request = pb.DiscoverServicesRequest(
            selector=encode_selector(selector), page_size=page_size, page_token=page_token
        )
        call = self._connection.stub.DiscoverServices
        answer = await unary(self._connection, call, request, self._limit(timeout_s))
        return Discovery(
            services=tuple(decode_service(service) for service in answer.services),
            next_page_token=answer.next_page_token,
            revision=answer.revision,
            history_id=answer.history_id,
            stale_for_s=answer.stale_for.ToTimedelta().total_seconds(),
            not_ready_count=answer.not_ready_count,
        )

    def watch(self, selector: Selector = _ANY, *, cache: str | Path = "") -> Watch:
        """A watch of the services that match; it heals itself. Not started yet.

        cache: a file that keeps the last good view, one for each selector: shown if the registry is away at the start.
        """
        check_not_letters("selector", selector)
        return Watch(self._connection, selector, self._env, cache=Path(cache) if cache else None)

    def local_view(
        self,
        selector: Selector = _ANY,
        *,
        strategy: "StrategyName | None" = None,
        zone: str = "",
        cache: str | Path = "",
        start_timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> "LocalView":
        """A view that selects without a round trip, and while the registry is away; unleased. Not started yet.

        Args:
            selector: what is wanted.
            strategy: how to choose; None = WEIGHTED_LEAST_LOAD.
            zone: where the caller runs: services there are preferred while they have room and enough of them are ready.
            cache: a file that keeps the last good view, one for each selector: for a start without the registry.
            start_timeout_s: how long entering it waits for something to go by.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        from orion_registry.client.local_view import LocalView  # an agent does without a balancer

        return LocalView(
            self._connection,
            selector,
            self._env,
            strategy=strategy,
            zone=zone,
            cache=Path(cache) if cache else None,
            start_timeout_s=start_timeout_s,
        )

    def _limit(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s


def _status(status: ServiceStatus) -> service_pb2.ServiceStatus.ValueType:
    return service_pb2.ServiceStatus.ValueType(int(status))
