"""Agents of a scenario: what each knows, and the streams that it opened."""

from dataclasses import dataclass, field

from orion_registry.core.frames import Ack, RegistryFrame, SessionRequest, Sessions, Welcome
from orion_registry.core.model import LivenessMode, SessionRef
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.errors import RegistryError


@dataclass(slots=True, kw_only=True)
class Held:
    """A service as its agent knows it."""

    service_id: str
    mode: LivenessMode
    secret: str
    epoch: int

    @property
    def ref(self) -> SessionRef:
        """How the agent acts for it."""
        return SessionRef(service_id=self.service_id, epoch=self.epoch, secret=self.secret)


@dataclass(slots=True, kw_only=True, eq=False)
class Stream:
    """One heartbeat stream from its agent's side.

    Attributes:
        number: 1 for its agent's first one.
        reads: the agent gets what the registry sends.
        interval_ms: what it was last told.
        heard_ms: when the registry last read something from it.
        sent: beats sent.
        unseen: frames that no `frames` command has shown yet.
    """

    number: int
    session: HeartbeatSession
    reads: bool
    heard_ms: int
    open: bool = True
    interval_ms: int = 1_000
    sent: int = 0
    unseen: list[RegistryFrame | str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class Agent:
    """A process that offers services.

    Attributes:
        services: what it registered, by service_id.
        streams: all that it ever opened.
        every_ms: it beats by itself so often; 0: as often as it was told; None: it does not.
        course: counts changes of that, so that beats planned before mean nothing any more.
    """

    name: str
    services: dict[str, Held] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    every_ms: int | None = None
    course: int = 0
    heard_ms: int = 0

    def stream(self, number: int = 0) -> Stream | None:
        """The open stream of that number; 0: the newest one that it reads."""
        wanted = (stream for stream in reversed(self.streams) if stream.open)
        return next((stream for stream in wanted if (stream.number == number if number else stream.reads)), None)

    def held(self, mode: LivenessMode) -> list[Held]:
        """Its services of one liveness mode."""
        return [held for held in self.services.values() if held.mode is mode]

    def interval_ms(self) -> int:
        """How long after a beat it sends the next one."""
        if self.every_ms:
            return self.every_ms
        stream = self.stream()
        return 1_000 if stream is None else stream.interval_ms

    def beats(self, every_ms: int | None) -> None:
        """It begins to beat by itself, or stops with None."""
        self.every_ms = every_ms
        self.course += 1

    def requests(self, epoch: int = 0) -> tuple[SessionRequest, ...]:
        """What a hello asks for: all services of mode STREAM, or all if it has none; epoch: not the last it learned."""
        refs = [held.ref for held in self.held(LivenessMode.STREAM) or self.services.values()]
        if epoch:
            refs = [SessionRef(service_id=ref.service_id, epoch=epoch, secret=ref.secret) for ref in refs]
        return tuple(SessionRequest(ref=ref) for ref in refs)

    def read(self, stream: Stream) -> list[RegistryError]:
        """Reads what the registry has sent on a stream; returns the errors in it."""
        errors: list[RegistryError] = []
        outbox = stream.session.outbox
        while outbox:
            frame = outbox.popleft()
            stream.unseen.append(frame)
            if isinstance(frame, Sessions):
                errors += [result.error for result in frame.results if result.error is not None]
            if stream.reads:
                self._learn(stream, frame)
        return errors

    def _learn(self, stream: Stream, frame: RegistryFrame) -> None:
        if isinstance(frame, Welcome | Ack):
            stream.interval_ms = round(frame.interval_s * 1_000)
        elif isinstance(frame, Sessions):
            for result in frame.results:
                if result.epoch:
                    self.services[result.service_id].epoch = result.epoch
