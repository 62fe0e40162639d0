"""The registry's slow, obvious twin: plain lists, full scans, no indexes, no views, no heap, no snapshots."""

from dataclasses import dataclass, field

from orion_registry.core.selector import Selector

WORST_FIRST = ["UNHEALTHY", "STOPPING", "UNKNOWN", "STARTING", "HEALTHY"]
STATUS_OF = {
    "STREAM_OPEN": "HEALTHY",
    "LATE": "HEALTHY",
    "BEATING": "HEALTHY",
    "STATIC": "HEALTHY",
    "AWAITING_BEAT": "STARTING",
    "RECONNECT_GRACE": "UNKNOWN",
    "DISCONNECTED": "UNHEALTHY",
    "SILENT": "UNHEALTHY",
    "NOT_SEEN": "UNHEALTHY",
}
NOT_SEEN_S, GRACE_S, RETENTION_S, RETRY_S = 10.0, 6.5, 60.0, 5.0
LATE_S, SILENT_S = 1.5, 3.0


@dataclass(eq=False)
class TwinService:
    service_id: str
    agent: str
    name: str
    tags: tuple[str, ...]
    mode: str
    secret: str
    ttl: float
    epoch: int
    used: int = 0
    generation: int = 1
    state: str = ""
    deadline: float | None = None
    report: str = ""

    @property
    def status(self) -> str:
        told = [STATUS_OF[self.state], *([self.report] if self.report else [])]
        return next(status for status in WORST_FIRST if status in told)

    @property
    def ready(self) -> bool:
        return STATUS_OF[self.state] == "HEALTHY" and not self.report

    @property
    def dead(self) -> bool:
        return STATUS_OF[self.state] == "UNHEALTHY"


@dataclass(eq=False)
class TwinStream:
    agent: str
    heard: float
    carries: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    goodbye: str = ""
    closed: bool = False


class Twin:
    def __init__(self, now: float) -> None:
        self.now = now
        self.next_epoch = 1
        self.services: list[TwinService] = []
        self.streams: list[TwinStream] = []

    def find(self, service_id: str) -> TwinService | None:
        return next((service for service in self.services if service.service_id == service_id), None)

    def carriers(self, service_id: str) -> list[TwinStream]:
        return [stream for stream in self.streams if service_id in stream.carries]

    def give(self) -> int:
        self.next_epoch += 1
        return self.next_epoch - 1

    def to(self, service: TwinService, state: str) -> None:
        service.state = state
        wait = {
            "AWAITING_BEAT": max(NOT_SEEN_S, service.ttl if service.mode == "TTL" else 0.0),
            "BEATING": service.ttl,
            "RECONNECT_GRACE": GRACE_S,
            "DISCONNECTED": RETENTION_S,
            "SILENT": RETENTION_S,
            "NOT_SEEN": RETENTION_S,
        }.get(state)
        service.deadline = None if wait is None else self.now + wait

    def say(self, service: TwinService, report: str) -> None:
        service.report = "" if report in {"HEALTHY", "UNSPECIFIED"} else report

    def drop(self, stream: TwinStream, service_id: str) -> None:
        del stream.carries[service_id]
        stream.unused.pop(service_id, None)

    # Who may act.

    def allow(
        self, service_id: str, epoch: int, secret: str, by: TwinStream | None = None, mode: str | None = None
    ) -> str:
        service = self.find(service_id)
        if service is None:
            return "NO_SUCH_SERVICE"
        if secret != service.secret:
            return "WRONG_SECRET"
        if not 0 <= epoch < self.next_epoch:
            return "BAD_FIELD"
        if epoch < service.used:
            return "STALE_EPOCH"
        if mode is not None and service.mode != mode:
            return "WRONG_MODE"
        self.use(service, epoch, by)
        return "OK"

    def use(self, service: TwinService, epoch: int, by: TwinStream | None) -> None:
        service.used = epoch
        service.epoch = max(service.epoch, epoch)
        older = [
            stream
            for stream in self.carriers(service.service_id)
            if stream.carries[service.service_id] < epoch and stream is not by
        ]
        for stream in older:
            self.drop(stream, service.service_id)
            stream.ended = stream.ended or not stream.carries
        if older and not self.carriers(service.service_id):
            self.to(service, "AWAITING_BEAT")

    # Commands.

    def register(self, new: TwinService, takeover: bool) -> str:
        start = "STATIC" if new.mode == "STATIC" else "AWAITING_BEAT"
        held = self.find(new.service_id)
        if held is None:
            new.epoch = self.give()
            self.services.append(new)
            self.to(new, start)
            return "OK"
        same_secret = new.secret == held.secret
        if not same_secret and not takeover and (self.carriers(held.service_id) or held.state == "BEATING"):
            return "AGENT_IN_USE"
        anew = not same_secret or new.mode != held.mode
        ttl_changed = new.ttl != held.ttl
        held.tags, held.mode, held.ttl, held.secret = new.tags, new.mode, new.ttl, new.secret
        held.generation += 1
        if anew:
            for stream in self.carriers(held.service_id):
                self.drop(stream, held.service_id)
                stream.ended = stream.ended or not stream.carries
            held.used, held.epoch, held.report = held.epoch + 1, self.give(), ""
            self.to(held, start)
        elif held.dead:
            self.to(held, start)
        elif ttl_changed:
            self.to(held, held.state)
        return "OK"

    def update(self, service_id: str, epoch: int, secret: str, tags: tuple[str, ...]) -> str:
        outcome = self.allow(service_id, epoch, secret)
        service = self.find(service_id)
        if outcome == "OK" and service is not None:
            service.tags = tags
            service.generation += 1
        return outcome

    def unregister(self, service_id: str, epoch: int, secret: str) -> str:
        outcome = self.allow(service_id, epoch, secret)
        return self.remove(service_id) if outcome == "OK" else outcome

    def remove(self, service_id: str) -> str:
        service = self.find(service_id)
        if service is None:
            return "NO_SUCH_SERVICE"
        for stream in self.carriers(service_id):
            self.drop(stream, service_id)
        self.services.remove(service)
        return "OK"

    def report(self, service_id: str, epoch: int, secret: str, report: str) -> str:
        outcome = self.allow(service_id, epoch, secret)
        service = self.find(service_id)
        if outcome == "OK" and service is not None:
            self.say(service, report)
        return outcome

    def ttl_beat(self, service_id: str, epoch: int, secret: str) -> str:
        outcome = self.allow(service_id, epoch, secret, mode="TTL")
        service = self.find(service_id)
        if outcome != "OK" or service is None:
            return outcome
        self.to(service, "BEATING")
        return "OK"

    # Streams.

    def attach(self, stream: TwinStream, service_id: str, epoch: int, secret: str, report: str) -> str:
        service = self.find(service_id)
        if service is not None and service.agent != stream.agent:
            return "NOT_OWNER"
        outcome = self.allow(service_id, epoch, secret, by=stream, mode="STREAM")
        if outcome != "OK" or service is None:
            return outcome
        service.epoch = self.give()
        stream.carries[service_id] = stream.unused[service_id] = service.epoch
        self.say(service, report)
        self.to(service, "STREAM_OPEN")
        return "OK"

    def hear(self, stream: TwinStream) -> None:
        """A sign of life for all that it carries."""
        stream.heard = self.now
        for service in self.services:
            if service.service_id in stream.carries and service.state != "STREAM_OPEN":
                self.to(service, "STREAM_OPEN")

    def beat(self, stream: TwinStream, service_id: str, report: str) -> None:
        unused, stream.unused = stream.unused, {}
        for known, epoch in unused.items():
            service = self.find(known)
            assert service is not None
            self.use(service, epoch, stream)
        self.hear(stream)
        service = self.find(service_id)
        if service_id in stream.carries and report != "UNSPECIFIED" and service is not None:
            self.say(service, report)

    def leave(self, stream: TwinStream, service_id: str, state: str) -> None:
        self.drop(stream, service_id)
        service = self.find(service_id)
        if service is not None and not self.carriers(service_id):
            self.to(service, state)

    def goodbye(self, stream: TwinStream, reason: str) -> None:
        stream.goodbye = reason
        for service_id, epoch in list(stream.carries.items()):
            service = self.find(service_id)
            assert service is not None
            if reason == "MOVING":
                self.leave(stream, service_id, "RECONNECT_GRACE")
            elif epoch == service.epoch:
                self.say(service, "STOPPING")

    def close(self, stream: TwinStream) -> None:
        stream.closed = True
        state = "AWAITING_BEAT" if stream.goodbye == "STOPPING" else "DISCONNECTED"
        for service_id in list(stream.carries):
            self.leave(stream, service_id, state)

    # Time and answers.

    def pass_time(self, now: float) -> set[str]:
        """One tick. Returns who is to be removed."""
        self.now = now
        due = set()
        for service in self.services:
            if service.state in {"STREAM_OPEN", "LATE"}:
                heard = max(stream.heard for stream in self.carriers(service.service_id))
                if service.state == "STREAM_OPEN" and heard + LATE_S <= now:
                    self.to(service, "LATE")
                elif service.state == "LATE" and heard + SILENT_S <= now:
                    self.to(service, "SILENT")
                continue
            if service.deadline is None or service.deadline > self.now:
                continue
            if service.dead:
                due.add(service.service_id)
                service.deadline = self.now + RETRY_S
            else:
                self.to(service, "SILENT" if service.state == "BEATING" else "NOT_SEEN")
        return due

    def matching(self, selector: Selector) -> list[TwinService]:
        """Members whatever their status, in the order of registration; of the terms only those that the test uses."""
        return [
            service
            for service in self.services
            if selector.namespace == "default"
            and (not selector.agent_id or service.agent == selector.agent_id)
            and (not selector.service_name or service.name == selector.service_name)
            and set(selector.tags) <= set(service.tags)
            and (not selector.tags_any or set(selector.tags_any) & set(service.tags))
            and not set(selector.tags_none) & set(service.tags)
            and set(selector.capabilities) <= {f"can-{tag}" for tag in service.tags}
            and (not selector.zone or selector.zone == f"zone-{len(service.tags)}")
            and (not selector.service_type or selector.service_type == f"type-{service.name}")
            and all(value is ("red" in service.tags) for _, value in selector.metadata)
        ]

    def discover(self, selector: Selector) -> list[TwinService]:
        statuses = {status.name for status in selector.statuses}
        return [
            service
            for service in self.matching(selector)
            if (service.status in statuses if statuses else service.ready or selector.include_not_ready)
        ]
