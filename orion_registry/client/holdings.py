"""All services of one session. Pure but for the randomness of secrets, which it is given."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from orion_registry.client.environment import Environment
from orion_registry.client.holding import FINAL, Holding, HoldState
from orion_registry.client.specs import check_not_letters
from orion_registry.core import limits
from orion_registry.core.frames import Lost, LostReason, ServiceBeat, SessionResult
from orion_registry.core.model import ServiceSpec
from orion_registry.errors import RegistryError, bad_field


class Holdings:
    """The services that a session is to hold, in the order given."""

    def __init__(self, agent_id: str, specs: Sequence[ServiceSpec], environment: Environment) -> None:
        if not specs:
            raise bad_field("services", "at least one service", specs)
        if len(specs) > limits.SESSIONS:
            raise bad_field("services", f"at most {limits.SESSIONS:,} services in one session", len(specs))
        for spec in specs:
            check_not_letters("service", spec)
        self._env = environment
        self._all = [
            Holding(replace(spec, agent_id=agent_id), secret=environment.new_secret(), request_id=environment.new_id())
            for spec in specs
        ]
        self._told: set[int] = set()

    def __iter__(self) -> Iterator[Holding]:
        return iter(self._all)

    def find(self, service_id: str) -> Holding:
        """The service with this id; "" means the first. Raises KeyError."""
        for holding in self._all:
            if not service_id or holding.service_id == service_id:
                return holding
        raise KeyError(service_id)

    def select(self, service_id: str) -> list[Holding]:
        """The service with this id; "" means all. Raises KeyError."""
        return [self.find(service_id)] if service_id else list(self._all)

    def to_claim(self) -> list[Holding]:
        """Services that need registering."""
        return [holding for holding in self._all if holding.state is HoldState.CLAIM]

    def take_resumable(self) -> list[Holding]:
        """Services to put on the stream, as many as one frame carries; they count as asked until answered."""
        free = [holding for holding in self._all if holding.state is HoldState.RESUME and not holding.asked]
        taken = free[: limits.SESSIONS]
        for holding in taken:
            holding.asked = True
        return taken

    def take_held(self) -> list[Holding]:
        """Services on the stream, to be put on the next as well; they count as asked until answered."""
        held = [holding for holding in self._all if holding.state is HoldState.HELD and not holding.asked]
        for holding in held:
            holding.asked = True
        return held

    def ask_again(self) -> None:
        """What was asked for on a stream that another has taken over from is asked for anew."""
        for holding in self._all:
            if holding.state is HoldState.RESUME:
                holding.asked = False

    def needs_work(self) -> bool:
        """Whether a service waits to be registered or put on the stream."""
        return any(
            holding.state is HoldState.CLAIM or (holding.state is HoldState.RESUME and not holding.asked)
            for holding in self._all
        )

    def take_result(self, result: SessionResult) -> None:
        """One answer to a hello or an attach."""
        for holding in self._all:
            if holding.service_id == result.service_id and holding.asked:
                if result.error is None:
                    holding.accepted(result.epoch)
                else:
                    holding.refused(result.error, secret=self._env.new_secret(), request_id=self._env.new_id())
                return

    def lost(self, lost: Lost) -> None:
        """The registry took a service off the stream."""
        for holding in self._all:
            if holding.service_id == lost.service_id:
                holding.lost(lost.reason, request_id=self._env.new_id())

    def stream_ended(self) -> None:
        """The stream is gone."""
        for holding in self._all:
            holding.stream_ended()

    def said_goodbye(self) -> None:
        """The registry has taken the goodbye: what was on the stream is unregistered."""
        for holding in self._all:
            if holding.state is HoldState.HELD:
                holding.state = HoldState.GONE

    def superseded(self) -> None:
        """The stream ended ABORTED/SUPERSEDED: that speaks for all that was on it, should a `lost` have been lost."""
        for holding in self._all:
            if holding.state is HoldState.HELD:
                holding.lost(LostReason.SUPERSEDED, request_id="")

    def beats(self, loop_lag_s: float | None, now: float) -> tuple[ServiceBeat, ...]:
        """What the next beat says: news only. A blocked loop is told with the first service."""
        news: list[ServiceBeat] = []
        for holding in self._all:
            if holding.state is HoldState.HELD:
                beat = holding.beat(loop_lag_s if not news else None, now)
                if beat is not None:
                    news.append(beat)
        return tuple(news[: limits.SESSIONS])

    def all_gone(self) -> bool:
        """Whether the agent itself has unregistered every service."""
        return all(holding.state is HoldState.GONE for holding in self._all)

    def take_final(self) -> list[Holding]:
        """Services that were lost for good since the last time this was asked."""
        lost = [
            holding
            for holding in self._all
            if holding.state in (HoldState.SUPERSEDED, HoldState.REFUSED) and id(holding) not in self._told
        ]
        self._told.update(id(holding) for holding in lost)
        return lost

    def final_error(self, *, starting: bool) -> RegistryError | None:
        """The error that ends the session: while starting any refusal, later one when nothing is left to hold."""
        refused = [holding for holding in self._all if holding.state in (HoldState.SUPERSEDED, HoldState.REFUSED)]
        alive = any(holding.state not in FINAL for holding in self._all)
        if not refused or (alive and not starting):
            return None
        return refused[0].error
