"""What the core goes by, of all that an operator may set."""

from orion_registry.core.config import RegistryConfig
from orion_registry.server.check_settings import callables_of
from orion_registry.server.settings import Settings

PING_SLACK_S = 0.2
"""PING may give up so much sooner than its two spans say, for timers are rounded: 240 of 240 cuts were measured above
(references/reliability-security.md 1.4)."""


def registry_config(settings: Settings) -> RegistryConfig:
    """The part of the settings that the core needs."""
    return RegistryConfig(
        retention_s=settings.retention_s,
        beat_budget=settings.beat_budget,
        history=settings.history_size,
        admission_rate=settings.admission_rate,
        registration_rate=settings.registration_rate,
        silence_floor_s=settings.silence_floor_s,
        cut_silence_s=max(0.0, settings.keepalive_time_s + settings.ping_timeout_s - PING_SLACK_S),
        probation_s=settings.probation_s,
        stuck_after_s=settings.stuck_after_s,
        check_runs=settings.check_runs,
        check_runs_per_target=settings.check_runs_per_target,
        custom_checks=frozenset(callables_of(settings)),
    )
