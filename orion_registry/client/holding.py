"""One service that a session holds, and what becomes of it. Pure: no clock, no network.

CLAIM ──registered──▶ RESUME ──accepted──▶ HELD ──stream ended──▶ RESUME
  ▲                     │                    │
  └── NO_SUCH_SERVICE, WRONG_SECRET, STALE_EPOCH (once), lost{REMOVED}
and, final: SUPERSEDED (another holds it), REFUSED (an error that stays), GONE (unregistered by its own agent)
"""

from enum import Enum

from orion_registry.core.frames import LostReason, ServiceBeat, SessionRequest
from orion_registry.core.model import Load, ServiceSpec, ServiceStatus, SessionRef
from orion_registry.errors import Aborted, Reason, RegistryError, ResourceExhausted, Unavailable


class HoldState(Enum):
    """Where a service stands."""

    CLAIM = "claim"
    """To be registered."""
    RESUME = "resume"
    """Registered; to be put on the stream."""
    HELD = "held"
    """On the stream."""
    SUPERSEDED = "superseded"
    """Another session acts for it. Final."""
    REFUSED = "refused"
    """The registry refuses it for good. Final."""
    GONE = "gone"
    """Unregistered by its own agent. Final."""


FINAL = frozenset({HoldState.SUPERSEDED, HoldState.REFUSED, HoldState.GONE})


def is_passing(error: RegistryError) -> bool:
    """Whether the same call may succeed later. What is too large stays so, unless the registry says when to come."""
    if error.retry_after_s is not None:
        return True
    return isinstance(error, (Unavailable, ResourceExhausted)) and error.reason is not Reason.TOO_LARGE


def is_lasting(error: RegistryError) -> bool:
    """Whether a stream that ended so would end so again. Aborted is not: it is about what the stream carried."""
    return not (is_passing(error) or isinstance(error, Aborted))


class Holding:
    """One service of a session.

    Attributes:
        spec: what is registered. secret: who speaks for it. request_id: makes the next registration idempotent.
        service_id, epoch: what the registry gave; "" and 0 before the first registration.
        state, error: where it stands, and the last refusal.
        was_held: the registry had accepted it at least once.
        asked: it is in a hello or attach that has not been answered.
        load, self_status: what the next hello says of it; a beat says it too, once, when it is news.
        task_began, progress: the task it works on, by the environment's clock, and how far; None = idle.
    """

    __slots__ = (
        "_contested",
        "_dirty",
        "_status_dirty",
        "asked",
        "epoch",
        "error",
        "load",
        "progress",
        "request_id",
        "secret",
        "self_status",
        "service_id",
        "spec",
        "state",
        "task_began",
        "was_held",
    )

    def __init__(self, spec: ServiceSpec, *, secret: str, request_id: str) -> None:
        self.spec = spec
        self.secret = secret
        self.request_id = request_id
        self.service_id = spec.service_id
        self.epoch = 0
        self.state = HoldState.CLAIM
        self.error: RegistryError | None = None
        self.asked = False
        self.load: Load | None = None
        self.self_status = ServiceStatus.UNSPECIFIED
        self.task_began: float | None = None
        self.progress = 0
        self.was_held = False
        self._contested = False
        self._dirty = False
        self._status_dirty = False

    @property
    def ref(self) -> SessionRef:
        """The right to act for the service, as of now."""
        return SessionRef(service_id=self.service_id, epoch=self.epoch, secret=self.secret)

    def request(self) -> SessionRequest:
        """What a hello or an attach says of it."""
        self._dirty = self._status_dirty = False
        return SessionRequest(ref=self.ref, load=self.load, self_status=self.self_status)

    def registered(self, service_id: str, epoch: int) -> None:
        """The registry has it: next, the stream."""
        self.service_id, self.epoch, self.error = service_id, epoch, None
        if self.state is HoldState.CLAIM:
            self.state = HoldState.RESUME

    def claim_failed(self, error: RegistryError) -> None:
        """A registration was refused.

        AGENT_IN_USE is waited out at the start only. Later it means that another took the service while this session
        was away and holds it now: this one stops, or two copies would take turns for ever.
        """
        self.error = error
        if error.reason is Reason.AGENT_IN_USE and self.was_held:
            self.state = HoldState.SUPERSEDED
            self.error = superseded(self.spec, "another session claimed it while this one was away")
        elif not is_passing(error):
            self.state = HoldState.REFUSED

    def accepted(self, epoch: int) -> None:
        """It is on the stream under a new epoch."""
        self.asked = False
        if self.state not in FINAL:
            self.state, self.epoch, self.error = HoldState.HELD, epoch, None
            self.was_held, self._contested = True, False
            self._dirty = self._dirty or self.task_began is not None  # hello could not tell of it

    def refused(self, error: RegistryError, *, secret: str, request_id: str) -> None:
        """The registry did not put it on the stream.

        WRONG_SECRET and STALE_EPOCH mean that another has claimed it since. It may be gone again, so claim once, as a
        stranger: with a fresh secret the registry lets nobody but a dead session be replaced (with the old one it
        would let two copies of one process fence each other off in turns). Refused again: the other is alive.
        BAD_FIELD is an epoch that the registry does not know: it was put back to an older state. Claim once more too.
        """
        self.asked, self.error = False, error
        if self.state in FINAL:
            return
        if error.reason is Reason.NO_SUCH_SERVICE:
            self.state, self.request_id = HoldState.CLAIM, request_id
        elif error.reason is Reason.BAD_FIELD and not self._contested:
            self.state, self.request_id, self._contested = HoldState.CLAIM, request_id, True
        elif error.reason in (Reason.WRONG_SECRET, Reason.STALE_EPOCH):
            if self._contested:
                self.state = HoldState.SUPERSEDED
                self.error = superseded(self.spec, "another session holds it")
            else:
                self.state, self.secret, self.request_id = HoldState.CLAIM, secret, request_id
                self._contested = self.was_held = True
        elif not is_passing(error):
            self.state = HoldState.REFUSED

    def lost(self, reason: LostReason, *, request_id: str) -> None:
        """The registry took it off the stream."""
        self.asked = False
        if self.state in FINAL:
            return
        if reason is LostReason.SUPERSEDED:
            self.state = HoldState.SUPERSEDED
            self.error = superseded(self.spec, "a newer session took it over")
        elif reason is LostReason.UNREGISTERED:
            self.state = HoldState.GONE
        else:
            self.state, self.request_id = HoldState.CLAIM, request_id

    def stream_ended(self) -> None:
        """The stream is gone: resume on the next."""
        self.asked = False
        if self.state is HoldState.HELD:
            self.state = HoldState.RESUME

    def report(self, *, load: Load | None = None, status: ServiceStatus | None = None) -> None:
        """Notes what the next beat is to say."""
        if load is not None:
            self.load = load
        if status is not None:
            self.self_status, self._status_dirty = status, True
        self._dirty = True

    def report_task(self, began: float | None, progress: int) -> None:
        """Notes what it works on; None = idle."""
        self.task_began, self.progress, self._dirty = began, progress, True

    def beat(self, loop_lag_s: float | None, now: float) -> ServiceBeat | None:
        """Its part of the next beat; None if there is nothing new. Taken once.

        A task that goes on is told with all other news, for silence about it means idle.

        A status is said once only: said again, it would undo what `RegistryClient.update_status` has said since.
        """
        if not self._dirty and loop_lag_s is None:
            return None
        self_status = self.self_status if self._status_dirty else ServiceStatus.UNSPECIFIED
        self._dirty = self._status_dirty = False
        return ServiceBeat(
            service_id=self.service_id,
            load=self.load,
            self_status=self_status,
            progress=self.progress,
            task_age_s=None if self.task_began is None else max(0.0, now - self.task_began),
            loop_lag_s=loop_lag_s,
        )


def superseded(spec: ServiceSpec, how: str) -> Aborted:
    """The final error of a session that lost a service to another copy of its agent."""
    return Aborted(
        Reason.SUPERSEDED,
        f"agent {spec.agent_id}, service {spec.service_name}: {how}; this copy stops, for two must not duel",
    )
