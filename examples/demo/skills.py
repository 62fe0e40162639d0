"""What the five agents of the demo can do. Plain functions: an agent is more than its transport."""

import datetime
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One agent: the gRPC service that it serves, its skills by capability, and how it labels itself."""

    agent_id: str
    service_name: str
    grpc_service: str
    tags: tuple[str, ...]
    skills: dict[str, Callable[..., Any]]

    def method(self, capability: str) -> str:
        """Path of the RPC that serves a capability: math.add is /demo.Arithmetic/Add."""
        return f"/{self.grpc_service}/{capability.rpartition('.')[2].title().replace('_', '')}"


def _add(*numbers: float) -> float:
    return math.fsum(numbers)


def _multiply(*numbers: float) -> float:
    return math.prod(numbers)


def _mean(*numbers: float) -> float:
    return statistics.fmean(numbers)


def _median(*numbers: float) -> float:
    return statistics.median(numbers)


def _count_words(text: str) -> int:
    return len(text.split())


def _reverse(text: str) -> str:
    return text[::-1]


def _weekday(iso_date: str) -> str:
    return datetime.date.fromisoformat(iso_date).strftime("%A")


PROFILES = {
    profile.agent_id: profile
    for profile in (
        Profile(
            agent_id="abacus",
            service_name="arithmetic",
            grpc_service="demo.Arithmetic",
            tags=("demo", "numbers", "exact"),
            skills={"math.add": _add, "math.multiply": _multiply},
        ),
        Profile(
            agent_id="slide-rule",
            service_name="arithmetic",
            grpc_service="demo.Arithmetic",
            tags=("demo", "numbers", "quick"),
            skills={"math.add": _add, "math.sqrt": math.sqrt},
        ),
        Profile(
            agent_id="census",
            service_name="statistics",
            grpc_service="demo.Statistics",
            tags=("demo", "numbers"),
            skills={"stats.mean": _mean, "stats.median": _median},
        ),
        Profile(
            agent_id="scribe",
            service_name="text",
            grpc_service="demo.Text",
            tags=("demo", "words"),
            skills={"text.count_words": _count_words, "text.reverse": _reverse},
        ),
        Profile(
            agent_id="almanac",
            service_name="calendar",
            grpc_service="demo.Calendar",
            tags=("demo", "dates"),
            skills={"calendar.weekday": _weekday},
        ),
    )
}
