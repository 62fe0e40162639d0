"""Messages that the registry should answer OK, about services that their maker holds."""

import random
from dataclasses import dataclass
from typing import Any

from tests.fuzz.schema import Rpc

_FILES = ("orion_registry_pb/v1/service.proto", "google/protobuf/struct.proto", "grpc/health/v1/health.proto")
_SYMBOLS = ("orion.registry.v1.RegistryService", "orion.registry.v1.AdminService", "orion.registry.v1.ServiceInfo",
            "orion.registry.v1.MonitorService", "grpc.health.v1.Health.Check", "grpc.reflection.v1.ServerReflection",
            "google.protobuf.Duration")  # fmt: skip
_SERVED = ("", "orion.registry.v1.RegistryService", "grpc.health.v1.Health")
_MASK = ("service_type", "host", "port", "protocol", "capabilities", "metadata", "tags", "version", "zone", "weight",
         "max_concurrency", "liveness_ttl", "retention", "silence_timeout", "stuck_after", "checks",
         "health_check_url")  # fmt: skip
_STREAM, _TTL, _CHECK, _STATIC = 1, 2, 3, 4
_DAY_S = 86_400


@dataclass(slots=True)
class Held:
    """A service that a worker registered, and the right to act for it."""

    service_id: str
    agent_id: str
    namespace: str
    service_name: str
    secret: str
    epoch: int
    mode: int


class Valid:
    """Makes valid messages. `held` is the worker's own list of services, kept by the worker."""

    def __init__(self, rng: random.Random, name: str, held: list[Held]) -> None:
        self._rng = rng
        self._name = name
        self._held = held
        self._count = 0
        self.tokens: list[tuple[Any, str]] = []  # selector and token of pages that go on
        self.resumable: list[tuple[str, int]] = []  # history_id and revision of answers
        self.listed: list[tuple[str, int]] = []  # history_id and after_seq of answers
        self.leases: list[str] = []  # selection_ids of answers

    def message(self, rpc: Rpc) -> Any | None:
        """A valid request; None if none is known for this RPC, or none is possible now."""
        maker = getattr(self, f"_{rpc.method}", None)
        message = rpc.request()
        return message if maker is not None and maker(message) is not False else None

    def fill_service(self, service: Any, agent_id: str = "", mode: int = 0) -> None:
        """A service of this worker's, with all sorts of fields."""
        rng = self._rng
        self._count += 1
        service.agent_id = agent_id or f"{self._name}-a{self._count}"
        service.service_name = rng.choice(("planner", "coder", f"s{self._count}"))
        service.liveness = mode or rng.choice((_STREAM, _TTL, _CHECK, _STATIC, _STATIC))
        if rng.random() < 0.3:
            service.service_id = f"{self._name}:{self._count}"
        if rng.random() < 0.4:
            service.namespace = f"{self._name}-n{rng.randrange(3)}"
        self.fill_mutable(service)

    def fill_mutable(self, service: Any) -> None:
        """Those fields that an update may change."""
        rng = self._rng
        service.port = rng.randrange(65_536)
        service.capabilities.extend(f"cap-{rng.randrange(9)}" for _ in range(rng.randrange(4)))
        service.tags.extend(f"tag-{rng.randrange(9)}" for _ in range(rng.randrange(4)))
        if rng.random() < 0.5:
            service.metadata.update(
                {"model": f"m{rng.randrange(9)}", "n": rng.random(), "deep": {"list": [1, None, True]}}
            )
        if rng.random() < 0.5:
            service.host, service.zone, service.version = "127.0.0.1", f"z{rng.randrange(3)}", "2.0"
            service.protocol, service.service_type = "grpc", "tool"
        if rng.random() < 0.5:
            service.weight, service.max_concurrency = rng.choice((0.5, 1.0, 1_000.0)), rng.randrange(1_000_001)
        if rng.random() < 0.3:
            service.retention.seconds = rng.choice((0, _DAY_S, 30 * _DAY_S))
        if rng.random() < 0.3:
            service.liveness_ttl.seconds = rng.choice((1, 30, _DAY_S))
        if rng.random() < 0.3:
            service.silence_timeout.seconds = rng.choice((1, 30, _DAY_S))
        if rng.random() < 0.3:
            service.stuck_after.seconds = rng.choice((0, 1, _DAY_S))
        if rng.random() < 0.2:
            service.health_check_url = rng.choice(("http://127.0.0.1:9/up", "https://[::1]/"))
        if rng.random() < 0.3 or service.liveness == _CHECK:
            fill_checks(rng, service)

    def fill_ref(self, ref: Any, held: Held) -> None:
        """The right to act for a service."""
        ref.service_id, ref.epoch, ref.secret = held.service_id, held.epoch, held.secret

    def fill_load(self, load: Any) -> None:
        """Some load figures."""
        load.in_flight, load.queue_depth = self._rng.randrange(100), self._rng.randrange(100)
        load.utilization = self._rng.random()
        if self._rng.random() < 0.2:
            load.named["tokens_per_second"] = 1e3 * self._rng.random()

    def new_secret(self) -> str:
        """A secret as an SDK would bring it."""
        return f"{self._rng.getrandbits(256):064x}"

    # One method for each RPC, by its name; False = not possible now.

    def _RegisterService(self, request: Any) -> bool:
        rng = self._rng
        if self._held and rng.random() < 0.3:  # a claim of what is there, with its secret
            held = rng.choice(self._held)
            request.service.service_id, request.service.namespace = held.service_id, held.namespace
            request.service.agent_id, request.service.service_name = held.agent_id, held.service_name
            request.service.liveness, request.secret = held.mode, held.secret
            self.fill_mutable(request.service)
            return True
        self.fill_service(request.service)
        if rng.random() < 0.7:
            request.secret = self.new_secret()
        if rng.random() < 0.5:
            request.request_id = f"r{rng.getrandbits(32):x}"
        request.takeover = rng.random() < 0.1
        return True

    def _UnregisterService(self, request: Any) -> bool:
        if len(self._held) < 20:
            return False
        self.fill_ref(request.ref, self._held[self._rng.randrange(len(self._held))])
        return True

    def _GetService(self, request: Any) -> bool:
        if self._held:
            request.service_id = self._rng.choice(self._held).service_id
        return bool(self._held)

    def _UpdateService(self, request: Any) -> bool:
        if not self._held:
            return False
        self.fill_ref(request.ref, self._rng.choice(self._held))
        self.fill_mutable(request.service)
        request.update_mask.paths.extend(self._rng.sample(_MASK, self._rng.randrange(1, 6)))
        return True

    def _UpdateServiceStatus(self, request: Any) -> bool:
        if self._held:
            self.fill_ref(request.ref, self._rng.choice(self._held))
            request.status = self._rng.randrange(6)
        return bool(self._held)

    def _SendHeartbeat(self, request: Any) -> bool:
        beating = [held for held in self._held if held.mode == _TTL]
        if beating:
            self.fill_ref(request.ref, self._rng.choice(beating))
            request.self_status = self._rng.randrange(6)
            if self._rng.random() < 0.7:
                self.fill_load(request.load)
        return bool(beating)

    def _DiscoverServices(self, request: Any) -> None:
        if self.tokens and self._rng.random() < 0.4:
            selector, token = self.tokens.pop()
            request.selector.CopyFrom(selector)
            request.page_token = token
        else:
            self._fill_selector(request.selector)
        request.page_size = self._rng.choice((0, 1, 3, 100))

    def _WatchServices(self, request: Any) -> None:
        self._fill_selector(request.selector)
        if self.resumable and self._rng.random() < 0.4:
            request.history_id, request.start_revision = self._rng.choice(self.resumable)

    def _GetServerInfo(self, _request: Any) -> None:
        return

    def _ListEvents(self, request: Any) -> None:
        self._fill_event_filter(request)
        request.page_size = self._rng.choice((0, 1, 3, 1_000))

    def _WatchEvents(self, request: Any) -> None:
        self._fill_event_filter(request)

    def _CheckServiceHealth(self, request: Any) -> bool:
        if self._held:
            request.service_id = self._rng.choice(self._held).service_id
            request.check = self._rng.choice(("", "", "c0"))
        return bool(self._held)

    def _GetServiceHealth(self, request: Any) -> bool:
        if self._held:
            request.service_id = self._rng.choice(self._held).service_id
        return bool(self._held)

    def _GetHealthStats(self, _request: Any) -> None:
        return

    def _SetOverlay(self, request: Any) -> bool:
        rng = self._rng
        if not self._held:
            return False
        held = rng.choice(self._held)
        match rng.randrange(3):
            case 0:
                request.key.service_id = held.service_id
            case 1:
                request.key.agent_id, request.key.service_name = held.agent_id, held.service_name
                request.key.service_id, request.key.namespace = held.service_id, held.namespace
            case 2:
                request.selector.agent_id, request.selector.namespace = held.agent_id, held.namespace
        request.mode = rng.choice((1, 1, 2, 3, 4))
        if request.mode == 2 and rng.random() < 0.5:
            request.deadline.seconds = rng.choice((0, 1, 30 * _DAY_S))
        if rng.random() < 0.3:
            request.weight = rng.choice((0.001, 1.0, 1_000.0))
        request.note = rng.choice(("", "new disk", "ü" * 256))
        return True

    def _ListOverlays(self, request: Any) -> None:
        rng = self._rng
        request.page_size, request.mode = rng.choice((0, 1, 3, 1_000)), rng.randrange(5)
        if self._held and rng.random() < 0.3:
            request.agent_id = rng.choice(self._held).agent_id
        if rng.random() < 0.2:
            request.page_token = "default/a/b/c"

    def _RemoveService(self, request: Any) -> bool:
        if len(self._held) < 20:
            return False
        request.service_id = self._held[self._rng.randrange(len(self._held))].service_id
        return True

    def _fill_event_filter(self, request: Any) -> None:
        rng = self._rng
        if rng.random() < 0.4:
            request.types.extend(rng.randrange(1, 15) for _ in range(rng.randrange(4)))
        if self._held and rng.random() < 0.2:
            request.service_id = rng.choice(self._held).service_id
        if self._held and rng.random() < 0.2:
            request.agent_id = rng.choice(self._held).agent_id
        if self._held and rng.random() < 0.2:
            request.namespace = rng.choice(self._held).namespace
        if self.listed and rng.random() < 0.4:
            request.history_id, request.after_seq = rng.choice(self.listed)

    def _SelectService(self, request: Any) -> None:
        rng = self._rng
        if self._held and rng.random() < 0.7:  # one that is there
            held = rng.choice(self._held)
            request.selector.namespace, request.selector.service_name = held.namespace, held.service_name
        else:
            self._fill_selector(request.selector)
            request.selector.include_not_ready = False
            del request.selector.statuses[:]
        request.strategy, request.count = rng.randrange(11), rng.randrange(4)
        request.allow_degraded = rng.random() < 0.5
        request.lease_ttl.nanos = rng.choice((1, 10**6, 999_999_999))
        if rng.random() < 0.3:
            request.affinity_key = f"k{rng.randrange(9)}"
        if rng.random() < 0.3:
            request.wait_timeout.nanos = rng.randrange(10**8)
        if rng.random() < 0.2:
            request.request_id = f"r{rng.randrange(99)}"
        if rng.random() < 0.3:
            request.caller = f"{self._name}-c{rng.randrange(3)}"
        if self._held and rng.random() < 0.2:
            request.exclude_service_ids.append(rng.choice(self._held).service_id)

    def _ReleaseService(self, request: Any) -> bool:
        if self.leases:
            request.selection_id = self.leases.pop()
            request.outcome = self._rng.randrange(5)
            request.response_time.nanos = self._rng.randrange(10**9)
        return bool(request.selection_id)

    def _RenewSelections(self, request: Any) -> None:
        request.selection_ids.extend((*self.leases[-2:], "gone"))
        if self._rng.random() < 0.5:
            request.lease_ttl.nanos = 10**8

    def _ReportOutcome(self, request: Any) -> bool:
        if self._held:
            request.service_id = self._rng.choice(self._held).service_id
            request.outcome = self._rng.choice((0, 1, 1, 1, 4))
            request.response_time.nanos = self._rng.randrange(10**9)
        return bool(self._held)

    def _Route(self, request: Any) -> None:
        for _ in range(self._rng.randrange(1, 6)):
            command = request.commands.add(id=self._rng.randrange(9))
            match self._rng.randrange(5):
                case 0:
                    self._RenewSelections(command.renew)
                case 1:
                    self._ReleaseService(command.release)
                case 2:
                    self._ReportOutcome(command.report)
                case 3:
                    command.cancel.id = self._rng.randrange(9)
                case _:
                    self._SelectService(command.select)

    def _ExplainSelection(self, request: Any) -> None:
        self._SelectService(request.request)
        request.seed = self._rng.getrandbits(64)

    def _SetStrategy(self, request: Any) -> None:
        request.strategy = self._rng.randrange(11)
        if self._rng.random() < 0.5:
            request.capability = f"cap-{self._rng.randrange(9)}"
        elif self._rng.random() < 0.5:
            request.service_name = "planner"

    def _ListSelections(self, request: Any) -> None:
        request.page_size = self._rng.choice((0, 1, 3, 1_000))
        if self._rng.random() < 0.3:
            request.caller = f"{self._name}-c{self._rng.randrange(3)}"
        if self._rng.random() < 0.3:
            request.page_token = f"{self._rng.randrange(99):x}"

    def _GetBalancerStats(self, _request: Any) -> None:
        return

    def _GetServicePerformance(self, request: Any) -> bool:
        if self._held:
            request.service_id = self._rng.choice(self._held).service_id
        return bool(self._held)

    def _fill_selector(self, selector: Any) -> None:
        rng = self._rng
        if rng.random() < 0.3:
            selector.namespace = f"{self._name}-n{rng.randrange(3)}"
        if rng.random() < 0.4:
            selector.capabilities.append(f"cap-{rng.randrange(9)}")
        if rng.random() < 0.3:
            getattr(selector, rng.choice(("tags", "tags_any", "tags_none"))).append(f"tag-{rng.randrange(9)}")
        if rng.random() < 0.2:
            selector.metadata.update({"model": f"m{rng.randrange(9)}"})
        if rng.random() < 0.2:
            selector.statuses.append(rng.randrange(1, 6))
        selector.include_not_ready = rng.random() < 0.5

    def _Check(self, request: Any) -> None:
        request.service = self._rng.choice(_SERVED)

    _Watch = _Check

    def _List(self, _request: Any) -> None:
        return

    def _ServerReflectionInfo(self, request: Any) -> None:
        match self._rng.randrange(4):
            case 0:
                request.list_services = "*"
            case 1:
                request.file_by_filename = self._rng.choice(_FILES)
            case 2:
                request.file_containing_symbol = self._rng.choice(_SYMBOLS)
            case 3:
                request.all_extension_numbers_of_type = "google.protobuf.FieldOptions"


def fill_checks(rng: random.Random, service: Any) -> None:
    """One to three active checks of all kinds."""
    for number in range(rng.randrange(1, 4)):
        check = service.checks.add()
        if number or rng.random() < 0.7:
            check.name = f"c{number}"
        _fill_probe(rng, check)
        if rng.random() < 0.3:
            _fill_probe(rng, check.fallbacks.add())
        if rng.random() < 0.5:
            check.interval.seconds, check.timeout.seconds = rng.choice((10, _DAY_S)), 1
            check.retries = rng.randrange(3)
        if rng.random() < 0.5:
            check.fall, check.rise = rng.choice((1, 3, 100)), rng.choice((1, 3, 100))


def _fill_probe(rng: random.Random, probe: Any) -> None:
    """A probe of any kind."""
    kind = rng.choice(("http", "tcp", "icmp", "grpc", "custom"))
    if kind == "custom":
        probe.custom.name = "disk"
        return
    inner = getattr(probe, kind)
    inner.SetInParent()
    if rng.random() < 0.5:
        inner.host = rng.choice(("127.0.0.1", "::1", "localhost", "10.1.2.3"))
    if kind != "icmp":
        inner.port = rng.randrange(1, 65_536)
    if kind == "http":
        inner.path, inner.https = rng.choice(("", "/", "/up?a=b")), rng.random() < 0.5
        if rng.random() < 0.5:
            inner.method, inner.status_min, inner.status_max = "HEAD", 200, 599
            inner.headers["accept"] = "text/plain"
    if kind == "grpc":
        inner.service, inner.tls = rng.choice(("", "calc.v1.Calc")), rng.random() < 0.5
