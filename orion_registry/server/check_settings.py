"""What an operator may set of active checks: the part of `Settings` that says how many run, and what they may reach."""

from collections.abc import Mapping
from dataclasses import dataclass

from orion_registry.server.selection_settings import SelectionSettings
from orion_registry.server.setting_kinds import callables, networks, path, read_callable, whole
from orion_registry.server.setting_rows import setting

_GROUP = "Active checks"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings(SelectionSettings):
    """Fields of `Settings`; see there."""

    check_allow: tuple[str, ...] = setting(
        networks(),
        (),
        group=_GROUP,
        default_text="none: only the address that the agent connects from",
        meaning=(
            "Network that checks may reach besides the address that the agent connects from; may be given several "
            "times (in the environment: a comma list)."
        ),
        trade_off=(
            "Any agent can then have the registry look at any port there: list what holds agents, and nothing else. "
            "Cloud metadata and link-local addresses stay refused unless listed by themselves."
        ),
    )
    check_runs: int = setting(
        whole(1, 10_000),
        256,
        group=_GROUP,
        meaning="Checks that run at once.",
        trade_off=(
            "Each may hold a connection. Fewer make checks late while many targets hang: CHECK_STALE after 3 intervals."
        ),
    )
    check_runs_per_target: int = setting(
        whole(1, 1_000),
        4,
        group=_GROUP,
        meaning="Checks that run at once against the same host and port; the others wait for their turn.",
        trade_off="More find out sooner where many services share a target, and burden it more.",
    )
    check_ca_file: str = setting(
        path("FILE"),
        "",
        group=_GROUP,
        default_text="the system's",
        meaning="File with the certificates (PEM) of the authorities that checks over TLS trust.",
        trade_off="It takes the place of the system's authorities.",
    )
    custom_checks: tuple[str, ...] = setting(
        callables(),
        (),
        group=_GROUP,
        default_text="none",
        meaning=(
            "Python callable that agents may name in a custom check, NAME=MODULE:CALLABLE; may be given several times "
            "(in the environment: a comma list)."
        ),
        trade_off="It runs in a process of its own, with the registry's rights. docs/checks.md tells what it is given.",
    )


def callables_of(settings: CheckSettings) -> Mapping[str, str]:
    """Names of the custom checks, and the module:callable of each."""
    return dict(map(read_callable, settings.custom_checks))
