"""Every reason why a service is not selectable, or second choice: what it means and what to do. One table.

python -m orion_registry.cli.reasons docs/not-selectable.md   writes it into the page
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orion_registry.core.model import ServiceStatus
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.status import TABLE, Use, self_report_row

BEGIN = "<!-- reasons: made by python -m orion_registry.cli.reasons; do not edit -->\n"
END = "<!-- end of reasons -->\n"


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means, in words for who reads it the first time, and what to do."""

    means: str
    todo: str


WELL = "Nothing: all is well."

ADVICE: Mapping[Code, Advice] = {
    Code.STREAM_OPEN: Advice("Its heartbeat stream is open and its beats come.", WELL),
    Code.BEATING: Advice("Its last unary beat is younger than its ttl.", WELL),
    Code.STATIC: Advice("It was registered as STATIC: it counts as alive until it is unregistered.", WELL),
    Code.CHECK_OK: Advice("Its health checks pass.", WELL),
    Code.LATE: Advice(
        "A beat is late: more than half of the silence that is allowed has passed.",
        "If it comes and goes, the agent's event loop is blocked now and then: look for blocking calls in it. On links "
        "that lose packets use the profile wan on both sides.",
    ),
    Code.HELD: Advice(
        "Many agents fell silent together, so they were rather cut off than died: they are kept for up to 30 s.",
        "Look at the network between the registry and these agents; the alarm MASS_HOLD in `orion-registry info` says "
        "since when.",
    ),
    Code.STUCK: Advice(
        "It is busy and has reported no progress for `stuck_after`.",
        "Look at what the agent works on. If its steps honestly take so long, raise `stuck_after` of the service, or "
        "report progress more often.",
    ),
    Code.CHECK_STALE: Advice(
        "Its last health check result is too old to be trusted.",
        "The registry could not run the check: look at its log and its load.",
    ),
    Code.EJECTED: Advice(
        "Callers told that calls to it failed, so it is left out for a while.",
        "Mend what fails: `orion-registry stats SERVICE_ID` shows how many. It comes back by itself, after 30 s the "
        "first time (`eject_base`). A caller that would rather have it than nothing sets `allow_degraded`.",
    ),
    Code.PROBATION: Advice(
        "It fell more than 3 times within 60 s, so it is not trusted at once now that it is back.",
        "Find out why it crashes or loses its stream: `orion-registry events --service SERVICE_ID`. It is ready again "
        "10 s after its last fall (`probation`).",
    ),
    Code.RESTORED: Advice(
        "The registry was restarted and has not heard from the agent since.",
        "Wait: agents come back by themselves within seconds. If it does not, look at the agent: is it running, and "
        "does it reach this address?",
    ),
    Code.RECONNECT_GRACE: Advice(
        "Its stream ended with an announced return, or right after the registry itself stood still: it has a few "
        "seconds to come back.",
        "Wait some seconds. It is DISCONNECTED then if it did not.",
    ),
    Code.OWNER_LOST: Advice(
        "The member of the cluster that holds its stream cannot be reached.",
        "Wait: the agent connects to another member. Look at that member.",
    ),
    Code.AWAITING_BEAT: Advice(
        "It is registered, and nobody beats for it yet: registering alone does not make a service ready.",
        "Open a heartbeat stream: `client.session(...)` in Python does both. For what speaks no gRPC register it with "
        "liveness STATIC, or TTL and SendHeartbeat.",
    ),
    Code.AWAITING_CHECK: Advice(
        "It is registered, and its health check has not passed yet.",
        "Wait for the first check. If it takes long, see that the registry reaches the address that the check names.",
    ),
    Code.DRAINING: Advice(
        "An operator drains it: it takes nothing new and finishes what it does.",
        "Nothing, if that is meant; `orion-registry overlays` says who set it and what is left. To undo it: "
        "`orion-registry clear AGENT/NAME`.",
    ),
    Code.DRAINED: Advice(
        "It was drained and is safe to stop. That stays set over restarts of the agent.",
        "Stop it, or take it back with `orion-registry clear AGENT/NAME`.",
    ),
    Code.MAINTENANCE: Advice(
        "An operator set it to maintenance.",
        "`orion-registry overlays` says who and why; `orion-registry clear AGENT/NAME` takes it back.",
    ),
    Code.DISCONNECTED: Advice(
        "Its heartbeat stream ended without a goodbye: the process crashed, was killed, or lost its connection.",
        "Look at the agent: does it run, and what did it log last? Sessions of the SDK reconnect by themselves.",
    ),
    Code.SILENT: Advice(
        "It has not been heard of for the time that is allowed, though its connection may be open.",
        "With a stream: the agent's event loop is blocked, the process stands still or the link is cut; the SDK logs "
        "how long its loop was blocked. With TTL: SendHeartbeat did not come in time; send it well within the ttl.",
    ),
    Code.NOT_SEEN: Advice(
        "Its agent did not come in the time that it had: after its registration, or a restart of the registry.",
        "See that the agent runs and keeps a heartbeat stream to this registry. It is removed after its retention.",
    ),
    Code.CHECK_FAILED: Advice(
        "Its health check fails.",
        "Try what the check does, from the machine of the registry, and mend the service or the check.",
    ),
    Code.QUARANTINED: Advice(
        "An operator has put it into quarantine: it is not trusted.",
        "`orion-registry overlays` says who and why. Once it is mended: `orion-registry clear AGENT/NAME`.",
    ),
    Code.SELF_REPORTED: Advice(
        "The agent itself says that it is not well: STARTING, STOPPING, UNKNOWN or UNHEALTHY.",
        "Look at the agent. When it is ready it must say HEALTHY: `session.report_status(ServiceStatus.HEALTHY)`, or "
        "UpdateServiceStatus.",
    ),
}
"""For every reason that there is."""

ELSE: Mapping[str, Advice] = {
    "NOT_REGISTERED": Advice(
        "Nothing is registered under this name or id: it never was, was unregistered, removed by an operator, or was "
        "dead for longer than its retention.",
        "`orion-registry events --service SERVICE_ID` says what became of it; `orion-registry services --all` lists "
        "what there is. See that the agent uses the same address and namespace as you do.",
    ),
    "FULL": Advice(
        "All its slots are taken (`max_concurrency`).",
        "`orion-registry leases --service SERVICE_ID` says who holds them. Callers may wait for one (`wait_timeout`); "
        "raise `max_concurrency`, or run more of them.",
    ),
    "NO_MATCH": Advice(
        "It is ready, but the caller asks for something else: another namespace, a capability that is spelt "
        "differently, a tag, zone or name that it has not.",
        "Compare `orion-registry get SERVICE_ID` with the caller's selector. All capabilities and all tags asked for "
        "must be there, letter by letter.",
    ),
    "OUTRANKED": Advice(
        "It is ready and free, and others are chosen: they are in the caller's zone, less loaded, or weigh more.",
        "`orion-registry select CAPABILITY --explain` shows every candidate and what stands against it.",
    ),
}
"""What keeps calls from a service besides its status."""

_USES = {
    Use.TIER_0: "first choice",
    Use.TIER_1: "second choice: only when no first one has a free slot",
    Use.DEGRADED: "no, but with `allow_degraded`",
    Use.DEGRADED_LAST: "no, but last of all with `allow_degraded`",
    Use.NEVER: "no",
}


def use_of(code: Code, status: ServiceStatus) -> Use:
    """How far a reason lets a service be selected; status: what it is, if the reason is its own report."""
    return self_report_row(status).use if code is Code.SELF_REPORTED else TABLE[code].use


def told_use(use: Use) -> str:
    """Whether it is selected, in words."""
    return _USES[use]


def render() -> str:
    """The table as Markdown: what is not selectable first, then second choices, then the rest."""
    rows = "".join(_rows())
    return f"| reason | status | selected? | what it means | what to do |\n|---|---|---|---|---|\n{rows}"


def _rows() -> Iterator[str]:
    order = (Use.NEVER, Use.DEGRADED_LAST, Use.DEGRADED, Use.TIER_1)
    for use in order:
        for code, advice in ADVICE.items():
            own = code is Code.SELF_REPORTED
            row = self_report_row(ServiceStatus.UNHEALTHY) if own else TABLE[code]
            if row.use is use:
                status = "what it says" if own else row.status.name
                yield f"| `{code.name}` | {status} | {told_use(use)} | {advice.means} | {advice.todo} |\n"
    for name, advice in ELSE.items():
        yield f"| {name} | any | not now | {advice.means} | {advice.todo} |\n"


def insert(page: str) -> str:
    """The page with its table renewed."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render()}\n{END}{after}"


def main() -> None:
    """Renews the table in the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
