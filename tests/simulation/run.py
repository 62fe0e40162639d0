"""One run: real strategies of a real balancer, simulated agents, callers and time."""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

from orion_registry.core.selection.balancer import Balancer
from orion_registry.core.selection.candidate import Tier
from orion_registry.core.selection.config import BalancerConfig
from orion_registry.core.selection.leases import Lease
from orion_registry.core.selection.performance import Outcome
from orion_registry.core.selection.queue import Waiter
from orion_registry.core.selection.request import TTL_MAX_S, WAIT_MAX_S, SelectionRequest
from orion_registry.core.selection.strategy import StrategyName
from orion_registry.errors import NotFound, RegistryError
from tests.simulation.case import Calls, Case, Trouble
from tests.simulation.fakes import Heard, Member

BLACK_HOLE_S = 0.01
BROWN_OUT = 0.1
TICK_S = 0.5
RETRIES = 3


@dataclass(slots=True)
class Call:
    """One call on its way."""

    number: int
    attempts: int = 0
    excluded: frozenset[str] = frozenset()
    lease: Lease | None = None


@dataclass(slots=True)
class Agent:
    """Serves `slots` calls at once, the rest wait in its own queue. `life` rises with each crash."""

    name: str
    slots: int
    speed: float
    troubled: bool
    life: int = 0
    alive: bool = True
    running: dict[int, Call] = field(default_factory=dict)
    waiting: deque[Call] = field(default_factory=deque)
    untold: list[tuple[Lease, Outcome, float]] = field(default_factory=list)


@dataclass(slots=True)
class Outcomes:
    """What came of a run. sojourns: seconds from arrival to the end, by call; None = failed for good."""

    sojourns: list[float | None]
    attempts_failed: int = 0
    open_middle: int = 0
    open_end: int = 0


class Run:
    """Pushes calls to agents that queue by themselves; or, with `queue`, lets them wait at the balancer for a slot."""

    def __init__(self, case: Case, calls: Calls, strategy: StrategyName, *, queue: bool, seed: int) -> None:
        self.case, self.calls, self.queue = case, calls, queue
        self.now = 0.0
        self.balancer = Balancer(BalancerConfig(queue=1_000_000), random.Random(seed).random, "sim", self._listener())
        self.agents = {f"agent-{n}": self._agent(n) for n in range(case.agents)}
        for agent in self.agents.values():
            self.balancer.put(self._member(agent), 0.0)
        self.pool = self.balancer.pool("all", lambda: self.agents)
        self.strategy = strategy
        self.requests = [
            SelectionRequest(
                caller=str(caller), strategy=strategy, wait_s=WAIT_MAX_S if queue else 0.0, ttl_s=TTL_MAX_S
            )
            for caller in range(case.callers)
        ]
        self.waiters: dict[Waiter, Call] = {}
        self.outcomes = Outcomes([None] * len(calls.arrivals))
        self._events: list[tuple[float, int, str, object]] = []
        self._sequence = 0
        self._open = 0

    def _listener(self) -> Heard:
        run = self

        class Listener(Heard):
            def settled(self, waiter: Waiter) -> None:
                call = run.waiters.pop(waiter)
                if waiter.lease is None:
                    run.failed(call)
                else:
                    run.start_on(waiter.lease, call)

        return Listener()

    def _agent(self, number: int) -> Agent:
        case = self.case
        return Agent(f"agent-{number}", case.slots_of(number), case.speed_of(number), case.troubled(number))

    def _member(self, agent: Agent) -> Member:
        speed = agent.speed if self.case.declared else 1.0
        tier = Tier.FIRST if agent.alive else Tier.NEVER
        if self.queue:
            return Member(agent.name, tier=tier, weight=speed, max_concurrency=agent.slots)
        return Member(agent.name, tier=tier, weight=speed * agent.slots)

    def at(self, instant: float, what: str, of: object) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (instant, self._sequence, what, of))

    def play(self) -> Outcomes:
        """Plays all calls to their end."""
        self._schedule()
        arrivals, number = self.calls.arrivals, 0
        events = self._events
        while number < len(arrivals) or self._open:
            if number < len(arrivals) and (not events or arrivals[number] <= events[0][0]):
                self.now = arrivals[number]
                self._open += 1
                self.assign(Call(number))
                number += 1
                if number == len(arrivals) // 2:
                    self.outcomes.open_middle = self._open
                elif number == len(arrivals):
                    self.outcomes.open_end = self._open
                continue
            self.now, _, what, of = heapq.heappop(events)
            getattr(self, what)(of)
        return self.outcomes

    def _schedule(self) -> None:
        case, calls = self.case, self.calls
        if case.trouble in {Trouble.BLACK_HOLE, Trouble.CRASH, Trouble.BROWN_OUT}:
            self.at(TICK_S, "tick", None)
        if case.trouble is Trouble.CRASH:
            for agent in self.agents.values():
                if agent.troubled:
                    self.at(calls.trouble_from, "crash", agent)
                    self.at(calls.trouble_to, "come_back", agent)
        if case.report_s:
            for place, agent in enumerate(self.agents.values()):
                self.at(case.report_s * (place + 1) / case.agents, "report", agent)

    # What callers do.

    def assign(self, call: Call) -> None:
        """Asks for an agent."""
        request = self.requests[self.calls.callers[call.number]]
        if call.excluded:
            request = SelectionRequest(
                caller=request.caller,
                strategy=request.strategy,
                wait_s=request.wait_s,
                ttl_s=request.ttl_s,
                excluded=call.excluded,
            )
        try:
            got = self.balancer.select(self.pool, request, self.now)
        except RegistryError:
            self.failed(call)
            return
        if isinstance(got, Waiter):
            self.waiters[got] = call
        else:
            self.start_on(got[0], call)

    def failed(self, call: Call) -> None:
        """For good."""
        self._open -= 1

    def start_on(self, lease: Lease, call: Call) -> None:
        call.lease = lease
        agent = self.agents[lease.service_id]
        if len(agent.running) < agent.slots:
            self.serve(agent, call)
        else:
            assert not self.queue, "overrun"
            agent.waiting.append(call)

    # What agents do.

    def serve(self, agent: Agent, call: Call) -> None:
        agent.running[call.number] = call
        trouble = agent.troubled and self.calls.trouble_from <= self.now < self.calls.trouble_to
        seconds = self.calls.sizes[call.number] / agent.speed
        if trouble and self.case.trouble is Trouble.BROWN_OUT:
            seconds /= BROWN_OUT
        elif trouble and self.case.trouble is Trouble.BLACK_HOLE:
            seconds = BLACK_HOLE_S
        self.at(self.now + seconds, "end", (agent, agent.life, call, trouble))

    def end(self, of: tuple[Agent, int, Call, bool]) -> None:
        agent, life, call, trouble = of
        if agent.life != life:
            return
        del agent.running[call.number]
        failed = trouble and self.case.trouble is Trouble.BLACK_HOLE
        assert call.lease is not None
        told = (call.lease, Outcome.FAILED if failed else Outcome.SUCCEEDED, self.now - call.lease.since)
        if agent.waiting:
            self.serve(agent, agent.waiting.popleft())
        if self.case.report_s:
            agent.untold.append(told)
        else:
            self.tell(told)
        if failed:
            self.try_again(agent, call)
            return
        self.outcomes.sojourns[call.number] = self.now - self.calls.arrivals[call.number]
        self._open -= 1

    def try_again(self, agent: Agent, call: Call) -> None:
        self.outcomes.attempts_failed += 1
        call.attempts += 1
        call.excluded |= {agent.name}
        if call.attempts > RETRIES:
            self.failed(call)
        else:
            self.assign(call)

    def tell(self, told: tuple[Lease, Outcome, float]) -> None:
        """The end of a call becomes known; its lease may have run out in a queue that grew for an hour."""
        lease, outcome, seconds = told
        try:
            self.balancer.release(lease.selection_id, self.now, outcome, seconds)
        except NotFound:
            return

    def report(self, agent: Agent) -> None:
        for told in agent.untold:
            self.tell(told)
        agent.untold.clear()
        self.at(self.now + self.case.report_s, "report", agent)

    def crash(self, agent: Agent) -> None:
        agent.alive, agent.life = False, agent.life + 1
        self.balancer.put(self._member(agent), self.now)
        lost = [*agent.running.values(), *agent.waiting]
        agent.running.clear()
        agent.waiting.clear()
        for call in lost:
            assert call.lease is not None
            self.tell((call.lease, Outcome.FAILED, self.now - call.lease.since))
            self.try_again(agent, call)

    def come_back(self, agent: Agent) -> None:
        agent.alive = True
        self.balancer.put(self._member(agent), self.now)

    def tick(self, _of: None) -> None:
        self.balancer.tick(self.now)
        self.at(self.now + TICK_S, "tick", None)


def central_queue(case: Case, calls: Calls) -> list[float | None]:
    """The bound: one queue for all, first come first served, the fastest free slot first; nothing is ever misplaced.

    An agent in a black hole or crash is not there meanwhile; one in a brown-out is slow for all.
    """
    free = [
        (-case.speed_of(agent), agent, slot) for agent in range(case.agents) for slot in range(case.slots_of(agent))
    ]
    heapq.heapify(free)
    busy: list[tuple[float, tuple[float, int, int]]] = []
    out: list[tuple[float, int, int]] = []
    away = case.trouble in {Trouble.BLACK_HOLE, Trouble.CRASH}
    sojourns: list[float | None] = []
    now = 0.0
    for number, arrival in enumerate(calls.arrivals):
        now = max(now, arrival)
        while True:
            while busy and (busy[0][0] <= now or not free):
                ended, server = heapq.heappop(busy)
                now = max(now, ended)
                heapq.heappush(free, server)
            in_trouble = calls.trouble_from <= now < calls.trouble_to
            if not in_trouble and out:
                for server in out:
                    heapq.heappush(free, server)
                out.clear()
            server = heapq.heappop(free)
            if not (away and in_trouble and case.troubled(server[1])):
                break
            out.append(server)
        seconds = calls.sizes[number] / -server[0]
        if in_trouble and case.trouble is Trouble.BROWN_OUT and case.troubled(server[1]):
            seconds /= BROWN_OUT
        heapq.heappush(busy, (now + seconds, server))
        sojourns.append(now + seconds - arrival)
    return sojourns
