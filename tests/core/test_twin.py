"""The registry against its twin: whatever happens in whatever order, both agree on all that can be seen."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orion_registry.core.commands import Register, Unregister, Update
from orion_registry.core.frames import Attach, Beat, Detach, Goodbye, GoodbyeReason, Hello, ServiceBeat, SessionRequest
from orion_registry.core.model import LivenessMode, ServiceSpec, ServiceStatus, SessionRef
from orion_registry.core.patience import TICK_S
from orion_registry.core.selector import Selector
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import RegistryError
from tests.building import ALL, LOCAL, OTHER_SECRET, SECRET, World, last_sessions, make_spec
from tests.core.twin import Twin, TwinService, TwinStream

AGENTS, NAMES, TAGS = ("a", "b"), ("x", "y"), ("red", "blue", "big")
STATUSES = [status.name for status in ServiceStatus]

agents, names = st.sampled_from(AGENTS), st.sampled_from(NAMES)
secrets = st.sampled_from([SECRET, SECRET, SECRET, OTHER_SECRET])
tag_sets = st.sampled_from([(), ("red",), ("blue",), ("red", "blue"), ("big",)])
modes = st.sampled_from(["STREAM", "STREAM", "STREAM", "TTL", "STATIC"])
reports = st.sampled_from(["UNSPECIFIED", "UNSPECIFIED", *STATUSES])
pick = st.integers(0, 1_000)

SELECTORS = [
    ALL,
    Selector(),
    Selector(tags=("red",)),
    Selector(tags=("red", "blue"), include_not_ready=True),
    Selector(tags_any=("red", "big"), include_not_ready=True),
    Selector(tags_none=("blue",)),
    Selector(capabilities=("can-red",), include_not_ready=True),
    Selector(capabilities=("can-red",), tags=("blue",)),
    Selector(agent_id="a"),
    Selector(service_name="x", include_not_ready=True),
    Selector(service_type="type-y"),
    Selector(zone="zone-1", include_not_ready=True),
    Selector(metadata=(("red", True),), include_not_ready=True),
    Selector(metadata=(("red", 1.0), ("red", True))),
    Selector(metadata=(("red", False),)),
    Selector(statuses=frozenset({ServiceStatus.UNHEALTHY, ServiceStatus.STARTING})),
    Selector(namespace="elsewhere", include_not_ready=True),
]


def spec_of(agent: str, name: str, tags: tuple[str, ...], mode: str, ttl: float) -> ServiceSpec:
    red = "red" in tags
    return make_spec(
        agent,
        name,
        service_type=f"type-{name}",
        tags=tags,
        capabilities=tuple(f"can-{tag}" for tag in tags),
        zone=f"zone-{len(tags)}",
        metadata_json=f'{{"red":{str(red).lower()}}}',
        metadata_scalars={"red": red},
        liveness=LivenessMode[mode],
        liveness_ttl_s=ttl,
    )


class RegistryAndTwin(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World(views=4, probation_s=0.0)  # fewer than selectors: views come and go
        self.twin = Twin(self.world.now.mono)
        self.ids: dict[tuple[str, str], str] = {}
        self.streams: list[tuple[HeartbeatSession, TwinStream]] = []
        self.highest: dict[str, int] = {}

    # Choosing.

    def some_ref(self, agent: str, name: str, secret: str, back: int) -> SessionRef:
        """A ref of the present epoch, or of one of the three before, or one that was never given."""
        service_id = self.ids.get((agent, name), "nobody")
        held = self.twin.find(service_id)
        present = 0 if held is None else held.epoch
        epoch = self.twin.next_epoch if back == 13 else max(0, present - (0, 0, 0, 1, 2, 3)[back % 6])
        return SessionRef(service_id=service_id, epoch=epoch, secret=secret)

    def some_stream(self, index: int) -> tuple[HeartbeatSession, TwinStream]:
        return self.streams[index % len(self.streams)]

    def outcome(self, command: Any) -> str:
        try:
            self.world.run(command)
        except RegistryError as error:
            return error.reason.name
        return "OK"

    # Commands.

    @rule(
        agent=agents, name=names, tags=tag_sets, mode=modes, secret=secrets, takeover=st.booleans(), slow=st.booleans()
    )
    def register(
        self, agent: str, name: str, tags: tuple[str, ...], mode: str, secret: str, takeover: bool, slow: bool
    ) -> None:
        ttl = 20.0 if slow else 5.0
        command = Register(spec=spec_of(agent, name, tags, mode, ttl), secret=secret, takeover=takeover)
        real = self.outcome(command)
        if real == "OK" and (agent, name) not in self.ids:
            self.ids[agent, name] = self.world.edges[-1].service_id
        service = TwinService(self.ids.get((agent, name), ""), agent, name, tags, mode, secret, ttl, 0)
        assert real == self.twin.register(service, takeover)

    @rule(agent=agents, name=names, secret=secrets, back=pick, tags=tag_sets)
    def update(self, agent: str, name: str, secret: str, back: int, tags: tuple[str, ...]) -> None:
        ref = self.some_ref(agent, name, secret, back)
        paths = ("tags", "capabilities", "zone", "metadata")
        command = Update(ref=ref, spec=spec_of(agent, name, tags, "STREAM", 5.0), paths=paths)
        assert self.outcome(command) == self.twin.update(ref.service_id, ref.epoch, secret, tags)

    @rule(agent=agents, name=names, secret=secrets, back=pick)
    def unregister(self, agent: str, name: str, secret: str, back: int) -> None:
        ref = self.some_ref(agent, name, secret, back)
        assert self.outcome(Unregister(ref=ref)) == self.twin.unregister(ref.service_id, ref.epoch, secret)

    # The soft lane.

    @rule(agent=agents, name=names, secret=secrets, back=pick, status=reports)
    def report(self, agent: str, name: str, secret: str, back: int, status: str) -> None:
        ref = self.some_ref(agent, name, secret, back)
        try:
            self.world.registry.report_status(ref, ServiceStatus[status], self.world.now)
            real = "OK"
        except RegistryError as error:
            real = error.reason.name
        assert real == self.twin.report(ref.service_id, ref.epoch, secret, status)

    @rule(agent=agents, name=names, secret=secrets, back=pick)
    def ttl_beat(self, agent: str, name: str, secret: str, back: int) -> None:
        ref = self.some_ref(agent, name, secret, back)
        try:
            self.world.registry.beat(ref, None, ServiceStatus.UNSPECIFIED, self.world.now)
            real = "OK"
        except RegistryError as error:
            real = error.reason.name
        assert real == self.twin.ttl_beat(ref.service_id, ref.epoch, secret)

    # Streams: hellos may be old ones that come late, their answers may be lost, streams may linger for ever.

    @rule(agent=agents, secret=secrets, backs=st.lists(st.tuples(names, pick), max_size=2), status=reports)
    def hello(self, agent: str, secret: str, backs: list[tuple[str, int]], status: str) -> None:
        session, stream = self.world.registry.open_stream(LOCAL, lambda: None), TwinStream(agent, self.twin.now)
        self.twin.streams.append(stream)
        self.streams.append((session, stream))
        refs = [self.some_ref(agent, name, secret, back) for name, back in backs]
        requests = tuple(SessionRequest(ref=ref, self_status=ServiceStatus[status]) for ref in refs)
        session.receive(Hello(agent_id=agent, sessions=requests), self.world.now)
        self.check_results(session, stream, refs, secret, status)

    @precondition(lambda self: self.streams)
    @rule(index=pick, agent=agents, name=names, secret=secrets, back=pick, status=reports)
    def attach(self, index: int, agent: str, name: str, secret: str, back: int, status: str) -> None:
        session, stream = self.some_stream(index)
        ref = self.some_ref(agent, name, secret, back)
        heard = not (stream.ended or stream.goodbye)
        if heard:
            self.twin.hear(stream)
        request = SessionRequest(ref=ref, self_status=ServiceStatus[status])
        session.receive(Attach(sessions=(request,)), self.world.now)
        if heard:
            self.check_results(session, stream, [ref], secret, status)

    def check_results(
        self, session: HeartbeatSession, stream: TwinStream, refs: list[SessionRef], secret: str, status: str
    ) -> None:
        expected = [self.twin.attach(stream, ref.service_id, ref.epoch, secret, status) for ref in refs]
        results = last_sessions(session).results
        assert [result.error.reason.name if result.error else "OK" for result in results] == expected
        for result in results:
            assert (result.epoch > 0) == (result.error is None)

    @precondition(lambda self: self.streams)
    @rule(index=pick, agent=agents, name=names, status=reports)
    def beat(self, index: int, agent: str, name: str, status: str) -> None:
        session, stream = self.some_stream(index)
        service_id = self.ids.get((agent, name), "nobody")
        news = ServiceBeat(service_id=service_id, self_status=ServiceStatus[status])
        session.receive(Beat(seq=1, services=(news,)), self.world.now)
        if not (stream.ended or stream.goodbye):
            self.twin.beat(stream, service_id, status)

    @precondition(lambda self: self.streams)
    @rule(index=pick, agent=agents, name=names)
    def detach(self, index: int, agent: str, name: str) -> None:
        session, stream = self.some_stream(index)
        service_id = self.ids.get((agent, name), "nobody")
        session.receive(Detach(service_ids=(service_id,)), self.world.now)
        if not (stream.ended or stream.goodbye) and service_id in stream.carries:
            self.twin.leave(stream, service_id, "AWAITING_BEAT")

    @precondition(lambda self: self.streams)
    @rule(index=pick, reason=st.sampled_from(["STOPPING", "MOVING"]))
    def goodbye(self, index: int, reason: str) -> None:
        session, stream = self.some_stream(index)
        session.receive(Goodbye(reason=GoodbyeReason[reason]), self.world.now)
        if not (stream.ended or stream.goodbye):
            self.twin.goodbye(stream, reason)

    @precondition(lambda self: self.streams)
    @rule(index=pick)
    def close(self, index: int) -> None:
        session, stream = self.streams.pop(index % len(self.streams))
        self.world.close(session)
        self.twin.close(stream)
        self.twin.streams.remove(stream)

    # Time.

    @rule(seconds=st.sampled_from([0.1, 3.0, 4.9, 6.5, 10.0, 30.0, 60.0]), stored=st.booleans())
    def pass_time(self, seconds: float, stored: bool) -> None:
        for _ in range(round(seconds / TICK_S)):
            removals = self.world.pass_time(TICK_S)
            assert {removal.service_id for removal in removals} == self.twin.pass_time(self.world.now.mono)
            if stored:  # else the store was down: asked for again later
                for removal in removals:
                    self.world.run(removal)
                    self.twin.remove(removal.service_id)
            self.same_services()

    # What must be the same.

    @invariant()
    def same_services(self) -> None:
        assert len(self.world.registry) == len(self.twin.services)
        for service in self.twin.services:
            entry = self.world.registry.get(service.service_id)
            look = entry.snapshot
            assert (look.status.name, look.ready) == (service.status, service.ready)
            codes = {reason.code.name for reason in look.reasons}
            assert codes == {service.state, *(["SELF_REPORTED"] if service.report else [])}
            assert (entry.epoch, look.epoch, entry.used_epoch) == (service.epoch, service.epoch, service.used)
            assert look.record.generation == service.generation
            assert self.world.stored[service.service_id] is look.record
            assert len(entry.streams) == len(self.twin.carriers(service.service_id))
            counted = service.state in {"STREAM_OPEN", "LATE"}
            assert entry.deadline is None or counted or service.deadline is not None
            assert service.epoch >= self.highest.get(service.service_id, 0), "epochs only rise"
            self.highest[service.service_id] = service.epoch

    @invariant()
    def same_streams(self) -> None:
        for session, stream in self.streams:
            assert set(session.services) == set(stream.carries)
            assert session.ended == stream.ended

    @invariant()
    def same_answers(self) -> None:
        for selector in SELECTORS:
            page = self.world.registry.discover(selector)
            assert [entry.service_id for entry in page.entries] == [
                service.service_id for service in self.twin.discover(selector)
            ]
            assert page.not_ready_count == sum(not service.ready for service in self.twin.matching(selector))

    @invariant()
    def pages_cover_all(self) -> None:
        got: list[str] = []
        token = ""
        while len(got) <= len(self.twin.services):
            page = self.world.registry.discover(ALL, 1, token)
            got += [entry.service_id for entry in page.entries]
            token = page.token_after(len(page.entries) - 1)
            if not token:
                break
        assert got == [service.service_id for service in self.twin.services]

    @invariant()
    def every_edge_has_the_next_revision(self) -> None:
        assert len(self.world.edges) + 1 == self.world.registry.revision


QUICK = settings(max_examples=40, stateful_step_count=40, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = settings(max_examples=3_000, stateful_step_count=80, suppress_health_check=list(HealthCheck))


class TestTwin(RegistryAndTwin.TestCase):  # type: ignore[valid-type, misc]  # hypothesis makes it at run time
    settings = QUICK


@pytest.mark.long
@pytest.mark.timeout(1_200)
class TestTwinLong(RegistryAndTwin.TestCase):  # type: ignore[valid-type, misc]  # see above
    settings = LONG
