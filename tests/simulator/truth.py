"""What the oracle keeps of each service, and what it says when a rule breaks."""

import math
from collections import deque

from orion_registry.core.model import Snapshot
from orion_registry.core.model import StatusReasonCode as Code
from tests.simulator.agent import Agent, Conn

ROUND_S = 1e-6
"""Sums of floats differ by less."""


class Broken(Exception):
    """An invariant does not hold."""

    def __init__(self, rule: str, who: str, what: str) -> None:
        super().__init__(f"({rule}) {who or 'the registry'}: {what}")
        self.rule = rule
        self.who = who


class Service:
    """One service: what the registry last published of it, and what is true.

    Attributes:
        code: its state of liveness; None = the registry does not have it.
        since: of that state, since_judged, since_least: by the daemon's clocks without stalls.
        conn: the connection whose session was accepted last; epoch: of that session.
        parting: its agent's goodbye was handled.
        falls: when it fell lately, whoever did it; own_falls: when it surely did so itself.
        silence_s: how long it had been silent when it fell.
    """

    __slots__ = (
        "agent",
        "code",
        "conn",
        "epoch",
        "falls",
        "held_at",
        "own_falls",
        "parting",
        "probation",
        "ready",
        "service_id",
        "silence_s",
        "since",
        "since_judged",
        "since_least",
        "snapshot",
    )

    def __init__(self, agent: Agent, service_id: str) -> None:
        self.agent = agent
        self.service_id = service_id
        self.code: Code | None = None
        self.snapshot: Snapshot | None = None
        self.ready = self.probation = self.parting = False
        self.since = self.since_judged = self.since_least = 0.0
        self.conn: Conn | None = None
        self.epoch = 0
        self.silence_s = 0.0
        self.falls: deque[float] = deque(maxlen=16)
        self.held_at = -math.inf
        self.own_falls: deque[float] = deque(maxlen=16)


def latest(service: Service) -> Conn | None:
    """Of the streams of its agent the one heard of last; an older one may be the live one."""
    return max(service.agent.streams, key=lambda conn: conn.handled_judged, default=None)


def name_of(code: Code | None) -> str:
    return "nothing" if code is None else code.name
