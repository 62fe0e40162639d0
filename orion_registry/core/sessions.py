"""One heartbeat stream as a pure object: frames and an instant go in, frames come out. The shell only pumps it."""

from collections import deque
from collections.abc import Callable

from orion_registry.core import draining, falling, limits
from orion_registry.core.admission import Allowance, come_again
from orion_registry.core.authority import admit, is_known, refuse_ungranted, send_away, use_epoch
from orion_registry.core.entry import Entry, Pulse
from orion_registry.core.fleet import Fleet
from orion_registry.core.frame_checks import check_beats, check_sessions
from orion_registry.core.frames import (
    Ack,
    AgentFrame,
    Attach,
    Beat,
    CommandAck,
    Detach,
    Drain,
    GoAway,
    Goodbye,
    GoodbyeReason,
    Hello,
    Lost,
    LostReason,
    RegistryFrame,
    ServiceBeat,
    SessionRequest,
    SessionResult,
    Sessions,
    Welcome,
)
from orion_registry.core.liveness import Event
from orion_registry.core.model import Actor, Now, ServiceStatus
from orion_registry.core.validation import check_id, check_labels, check_number, check_text
from orion_registry.errors import FailedPrecondition, Limit, Reason, RegistryError, ResourceExhausted, bad_field

ACK_EVERY = 10
"""Beats between two acks that say nothing new."""

CHANGES_PER_S, CHANGES_AT_ONCE = 100.0, 4.0 * limits.SESSIONS
CHANGES_RETRY_S = 10.0
"""Changes of services that the frames of one stream may bring about: watchers, the history and the log take each. All
services of a stream may change at once, now and then; but not with every beat."""

CROSSED = 0.5
"""Share of a new interval in which a beat may still have been sent before the agent heard of it."""


class HeartbeatSession:
    """An agent's stream, from its first frame to its end.

    Attributes:
        actor: who opened it.
        agent_id: who says hello; empty before.
        services: the services it carries.
        namespaces: how many of them each namespace has.
        pulse: when it was last heard of; all its services share it.
        outbox: frames to send, oldest first. Bounded: the shell reads no further frame while it cannot send.
        ended: the registry wants the stream to end once the outbox is sent, with `end`, or OK if that is None.
        departure: what its end will mean for its services.
        goodbye: what the agent said on leaving.
    """

    __slots__ = (
        "_beats",
        "_changes",
        "_fleet",
        "_nonce",
        "_told_at",
        "_told_s",
        "_unused",
        "_wake",
        "actor",
        "agent_id",
        "departure",
        "end",
        "ended",
        "goodbye",
        "namespaces",
        "outbox",
        "pending_commands",
        "pulse",
        "services",
    )

    def __init__(self, fleet: Fleet, actor: Actor, wake: Callable[[], None]) -> None:
        self._fleet = fleet
        self._wake = wake
        self._unused: dict[Entry, int] = {}
        self._beats = 0
        self._changes = Allowance(CHANGES_PER_S, CHANGES_AT_ONCE)
        self._told_s = 0.0
        self._told_at = 0.0
        self._nonce = 0
        self.pulse = Pulse(0.0, 0.0)
        self.actor = actor
        self.agent_id = ""
        self.services: dict[str, Entry] = {}
        self.namespaces: dict[str, int] = {}
        self.outbox: deque[RegistryFrame] = deque()
        self.pending_commands: set[int] = set()
        self.end: RegistryError | None = None
        self.ended = False
        self.departure = Event.ENDED
        self.goodbye: GoodbyeReason | None = None

    @property
    def beats(self) -> int:
        """Beats taken."""
        return self._beats

    def go_on_as(self, actor: Actor) -> None:
        """The rights of who opened it have changed.

        Raises:
            PermissionDenied: NOT_ALLOWED, it carries a service that it no longer may.
        """
        for entry in self.services.values():
            refuse_ungranted(actor, entry)
        self.actor = actor

    # What the registry says.

    def send(self, frame: RegistryFrame) -> None:
        """Puts a frame into the outbox and wakes the shell."""
        self.outbox.append(frame)
        self._wake()

    def finish(self, error: RegistryError | None) -> None:
        """Ends the stream once the outbox is sent. The first reason stands."""
        if not self.ended:
            self.ended, self.end = True, error
            self._wake()

    def lose(self, entry: Entry, reason: LostReason) -> None:
        """Takes a service off, and tells the agent why."""
        self._drop(entry)
        self._unused.pop(entry, None)
        self.send(Lost(service_id=entry.service_id, reason=reason))

    def drain(self, service_ids: tuple[str, ...], deadline_s: float | None) -> None:
        """Asks the agent to take nothing new for these services; none = for all."""
        self._nonce += 1
        self.pending_commands.add(self._nonce)
        self.pending_commands.discard(self._nonce - limits.SESSIONS)  # of an agent that never acknowledges any
        self.send(Drain(nonce=self._nonce, service_ids=service_ids, deadline_s=deadline_s))

    def go_away(self, frame: GoAway) -> None:
        """Announces the end of the stream; its services get a grace instead of an alarm."""
        self.departure = Event.MOVING
        self.send(frame)

    # What the agent says.

    def receive(self, frame: AgentFrame, now: Now) -> None:
        """Takes one frame. A frame that breaks the protocol or a limit ends the stream; nothing of it is applied.

        After a goodbye the caller unregisters `services` if it was STOPPING, then calls `finish`.
        """
        if self.ended or self.goodbye is not None:
            return
        try:
            if type(frame) is Beat:  # by far the most frequent
                self._beat(frame, now)
            else:
                self._dispatch(frame, self._fleet.patience.read(now))
        except RegistryError as error:
            self.finish(error)

    def _dispatch(self, frame: AgentFrame, now: Now) -> None:
        if isinstance(frame, Hello):
            self._hello(frame, now)
            return
        self._require_hello()
        before = self._fleet.revision
        match frame:
            case Attach():
                self._attach(frame.sessions, now)
            case Detach():
                self._detach(frame.service_ids, now)
            case CommandAck():
                self.pending_commands.discard(frame.nonce)
            case Goodbye():
                self._goodbye(frame, now)
        self._charge(self._fleet.revision - before, now)

    def _require_hello(self) -> None:
        if not self.agent_id:
            raise FailedPrecondition(Reason.WRONG_MODE, "the first frame must be hello")

    def _beat(self, frame: Beat, now: Now) -> None:
        """Takes a beat: a sign of life for all services, news of some, and now and then an ack.

        The hot path: what is not there costs one look.
        """
        self._require_hello()
        check_number("beat.seq", frame.seq, 0, 2**63 - 1)
        services, fleet, pulse = frame.services, self._fleet, self.pulse
        if services:
            check_beats(services)
        pulse.mono, pulse.wall = fleet.patience.judged(now.mono), now.wall
        if services or pulse.missed or self._unused:
            self._take(services, Now(mono=pulse.mono, wall=now.wall))
        if pulse.interval_s != self._told_s:
            self._settle_pace()
        if self._beats % ACK_EVERY == 0 or self._told_s != fleet.pace.interval_s:
            self.outbox.append(Ack(seq=frame.seq, interval_s=self._tell_pace(), timeout_s=fleet.pace.timeout_s))
        self._beats += 1

    def _take(self, services: tuple[ServiceBeat, ...], now: Now) -> None:
        """What a beat means beyond a sign of life."""
        if self._unused:
            self._use_epochs(now)
        if self.pulse.missed:
            self._heard_again(now)
        before = self._fleet.revision
        for news in services:
            entry = self.services.get(news.service_id)
            if entry is not None:  # else it was lost on the way, and the agent has been told
                self._news(entry, news, now)
        self._charge(self._fleet.revision - before, now)

    def _charge(self, changes: int, now: Now) -> None:
        """Counts changes that a frame brought about. They hold; a stream that makes too many of them ends."""
        if not self._changes.spend(changes, now.mono):
            message = f"the stream changed the status of services more than {CHANGES_PER_S:g} times a second"
            raise ResourceExhausted(
                Reason.RATE_LIMITED, message, retry_after_s=CHANGES_RETRY_S, limit=Limit.STATUS_CHANGES
            )

    def _heard_again(self, now: Now) -> None:
        """Services that were found late, or silent, are open again."""
        missed, self.pulse.missed = self.pulse.missed, {}
        for entry in missed:
            if self in entry.streams:
                self._fleet.happened(entry, Event.HEARD, now)

    def _tell_pace(self) -> float:
        """Interval to tell the agent. Until it obeys a shorter one, the one it was told before is expected of it."""
        interval_s = self._fleet.pace.interval_s
        if interval_s != self._told_s:
            self._told_s, self._told_at = interval_s, self.pulse.mono
            self.pulse.interval_s = max(interval_s, self.pulse.interval_s)
        return interval_s

    def _settle_pace(self) -> None:
        """A beat at the new pace ends the old one's allowance.

        The one that comes right behind the answer was sent before the agent could know of it: beats that a stall or a
        lost segment held back arrive in a bunch.
        """
        if self.pulse.mono - self._told_at > self._told_s * CROSSED:
            self.pulse.interval_s = self._told_s
            for entry in self.services.values():
                self._fleet.rejudge(entry)

    def _news(self, entry: Entry, news: ServiceBeat, now: Now) -> None:
        if news.load is not None:
            self._fleet.loaded(entry, news.load)
        if news.self_status is not ServiceStatus.UNSPECIFIED:
            self._fleet.reported(entry, news.self_status, now)
        self._fleet.worked(entry, news.progress, news.task_age_s, now)

    def _use_epochs(self, now: Now) -> None:
        """The first beat after a session result: from now on older sessions are stale."""
        unused, self._unused = self._unused, {}
        for entry, epoch in unused.items():
            use_epoch(self._fleet, entry, epoch, now)

    # How services come onto the stream and leave it.

    def _hello(self, frame: Hello, now: Now) -> None:
        if self.agent_id:
            raise FailedPrecondition(Reason.WRONG_MODE, "hello: only the first frame may be one")
        check_id("hello.agent_id", frame.agent_id)
        check_text("hello.instance_id", frame.instance_id)
        check_text("hello.sdk", frame.sdk)
        check_labels("hello.features", frame.features)
        check_sessions(frame.sessions)
        if wait_s := self._fleet.admission.hello(now.mono, known=is_known(self._fleet, frame, self.actor.identity)):
            send_away(self._fleet, frame, self.actor.identity, wait_s, now)
            raise come_again("hellos", wait_s, Limit.HELLOS)
        self.agent_id = frame.agent_id
        self.outbox.append(Welcome(interval_s=self._tell_pace(), timeout_s=self._fleet.pace.timeout_s))
        self._attach(frame.sessions, now)

    def _attach(self, requests: tuple[SessionRequest, ...], now: Now) -> None:
        check_sessions(requests)
        self.pulse.mono, self.pulse.wall = now.mono, now.wall
        if self.pulse.missed:
            self._heard_again(now)
        results = tuple(self._attach_one(request, now) for request in requests)
        self.outbox.append(Sessions(results=results))
        if self._fleet.overlays.draining:
            draining.ask(self._fleet, self, (one.service_id for one in results if one.error is None), now)

    def _attach_one(self, request: SessionRequest, now: Now) -> SessionResult:
        service_id = request.ref.service_id
        try:
            entry = self._fleet.require(service_id)
            seen = entry.snapshot
            admit(self._fleet, self, entry, request.ref, now)
        except RegistryError as error:
            self._fleet.refused.note(error)
            return SessionResult(service_id=service_id, error=error)
        entry.epoch = self._fleet.epochs.take()
        entry.streams[self] = entry.epoch
        entry.pulse = self.pulse
        entry.peer = self.actor.address
        self._carry(entry)
        self._unused[entry] = entry.epoch
        # Before its status: a restarted registry starts from truth. What another life of the agent told says nothing.
        self._fleet.loaded(entry, request.load)
        self._fleet.suspend_task(entry)
        self._fleet.reported(entry, request.self_status, now)  # first, so that it is never ready in between
        self._fleet.happened(entry, Event.SESSION, now)
        self._fleet.refresh(entry)
        return SessionResult(
            service_id=service_id,
            epoch=entry.epoch,
            previous_status=seen.status,
            previous_reason=seen.reasons[0].code,
        )

    def _carry(self, entry: Entry) -> None:
        if entry.service_id not in self.services:
            self.services[entry.service_id] = entry
            namespace = entry.spec.namespace
            self.namespaces[namespace] = carried = self.namespaces.get(namespace, 0) + 1
            if carried == 1:
                self._fleet.usage.stream_came(namespace)

    def _drop(self, entry: Entry) -> None:
        del self.services[entry.service_id]
        namespace = entry.spec.namespace
        self.namespaces[namespace] -= 1
        if not self.namespaces[namespace]:
            del self.namespaces[namespace]
            self._fleet.usage.stream_left(namespace)

    def _detach(self, service_ids: tuple[str, ...], now: Now) -> None:
        if len(service_ids) > limits.SESSIONS:
            raise bad_field("detach.service_ids", f"at most {limits.SESSIONS:,} entries", len(service_ids))
        for service_id in service_ids:
            if service_id in self.services:
                self._release(self.services[service_id], Event.DETACHED, now)

    def _goodbye(self, frame: Goodbye, now: Now) -> None:
        self.goodbye = frame.reason
        if frame.reason is GoodbyeReason.STOPPING:
            self.departure = Event.DETACHED  # it is being unregistered; until then it must not be selected
            for entry in self.services.values():
                if entry.streams[self] == entry.epoch:  # a newer session goes on
                    self._fleet.reported(entry, ServiceStatus.STOPPING, now)
        else:
            self.departure = Event.MOVING
            self.close(now)

    def close(self, now: Now) -> None:
        """The stream is over: its services get what `departure` means, unless another stream carries them too."""
        for entry in list(self.services.values()):
            self._release(entry, self.departure, now)

    def _release(self, entry: Entry, event: Event, now: Now) -> None:
        self._drop(entry)
        del entry.streams[self]
        self._unused.pop(entry, None)
        if entry.streams:
            entry.pulse = next(reversed(entry.streams)).pulse
            self._fleet.rejudge(entry)
            return
        entry.pulse = Pulse(self.pulse.mono, self.pulse.wall)
        if not self._fleet.judging:
            return
        if event is Event.ENDED:
            falling.ended(self._fleet, entry, now.mono - self.pulse.mono, now)
            return
        extra_s = self._fleet.config.go_away_s if event is Event.MOVING else 0.0
        self._fleet.happened(entry, event, now, extra_s=extra_s)
