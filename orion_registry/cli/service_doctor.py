"""Why is a service not selectable? Each reason in plain words, from the table in `reasons`."""

from collections.abc import Iterator
from dataclasses import replace

from orion_registry.cli.finding import find_one
from orion_registry.cli.findings import Finding, note, ok, problem
from orion_registry.cli.outcome import connect, connect_insight, connect_registry
from orion_registry.cli.reasons import ADVICE, ELSE, told_use, use_of
from orion_registry.cli.service_showing import name_of
from orion_registry.cli.showing import plural, show_time
from orion_registry.core.events import EventFilter, EventType, LoggedEvent, ServiceRemoved
from orion_registry.core.model import StatusReason
from orion_registry.core.model import StatusReasonCode as Code
from orion_registry.core.status import Use
from orion_registry.errors import NotFound, RegistryError
from orion_registry.wire.balancer_reports import ServicePerformance
from orion_registry.wire.overlay import OverlayState
from orion_registry.wire.service import Service

PAGE = 1_000
NEVER_SEEN = "The registry's events know of none, either. Does the agent use this address, namespace and name?"
NONE_SO = "Compare the terms with what `orion-registry services --all` shows, letter by letter."
OVERLAYS = frozenset({Code.DRAINING, Code.DRAINED, Code.MAINTENANCE, Code.QUARANTINED})


async def look_at_service(address: str, whom: str) -> list[Finding]:
    """Everything that keeps calls from a service, or that it has nothing of the kind."""
    async with connect_registry(address) as client:
        try:
            service = await find_one(client, whom)
        except NotFound as error:
            return [await _missing(address, whom, error)]
        except RegistryError as error:
            return [problem("reachable", error.message, "`orion-registry doctor` looks at the registry itself.")]
    async with connect_insight(address) as insight:
        performance = await insight.performance(service.service_id)
    async with connect(address) as admin:
        overlays = [one async for one in admin.overlays(service_id=service.service_id)]
    return list(judge(service, performance, overlays[0] if overlays else None))


async def _missing(address: str, whom: str, error: NotFound) -> Finding:
    """That it is not there; and what became of it, if that was not long ago."""
    if "=" in whom:
        return problem("registered", error.message, NONE_SO)
    last = await _last_removal(address, whom)
    if last is None or not isinstance(last.event, ServiceRemoved):
        return problem("registered", error.message, NEVER_SEEN)
    told = f"not any more: {last.event.removal.name} at {show_time(last.wall, 'seconds')}"
    told += f", was {last.event.status.name}; service_id {last.event.service_id}"
    return problem("registered", told, f"`orion-registry events --service {last.event.service_id}` shows all of it.")


async def _last_removal(address: str, whom: str) -> LoggedEvent | None:
    """The event that tells of its removal."""
    parts = whom.split("/")
    by_name = len(parts) > 1
    wanted = EventFilter(types=frozenset({EventType.SERVICE_REMOVED, EventType.SERVICE_REGISTERED}))
    wanted = replace(wanted, agent_id=parts[-2]) if by_name else replace(wanted, service_id=whom)
    namespace = parts[0] if len(parts) == 3 else "default"
    ours: set[str] = set()
    last = None
    async with connect(address) as admin:
        page = await admin.list_events(wanted, page_size=PAGE)
        while True:
            for logged in page.events:
                event = logged.event
                if isinstance(event, ServiceRemoved):
                    last = logged if not by_name or event.service_id in ours else last
                elif (getattr(event, "namespace", ""), getattr(event, "service_name", "")) == (namespace, parts[-1]):
                    ours.add(getattr(event, "service_id", ""))
            if page.after_seq >= page.last_seq:
                return last
            page = await admin.list_events(wanted, after_seq=page.after_seq, history_id=page.history_id, page_size=PAGE)


def judge(service: Service, performance: ServicePerformance, overlay: OverlayState | None) -> Iterator[Finding]:
    """A service that is there: the verdict first, then each reason, then what else there is to say."""
    uses = [use_of(reason.code, service.status) for reason in service.reasons]
    if performance.ejected:
        uses.append(Use.DEGRADED)
    full = 0 < performance.max_concurrency <= performance.in_flight
    use = min(uses, default=Use.NEVER)
    who = f"{name_of(service)}  {service.service_id}"
    if use < Use.TIER_1:
        yield problem("selectable", f"{told_use(use).replace('`', '')}: {who}", "")
    elif full:
        yield problem("selectable", f"not now, it is full: {who}", "")
    elif use is Use.TIER_1:
        yield note("selectable", f"{told_use(use)}: {who}")
    else:
        yield ok("selectable", f"{told_use(use)}: {who}")
    for reason in service.reasons:
        yield _of_reason(reason, service, overlay)
    if performance.ejected and all(reason.code is not Code.EJECTED for reason in service.reasons):
        yield _advised("EJECTED", ADVICE[Code.EJECTED].means, ADVICE[Code.EJECTED].todo, service)
    if full:
        told = f"{ELSE['FULL'].means} {performance.in_flight:,} of {performance.max_concurrency:,}"
        told += f", {plural(performance.leases, 'lease')} among them."
        yield _advised("FULL", told, ELSE["FULL"].todo, service)
    if service.overlay_weight is not None:
        told = f"an operator set {service.overlay_weight:g}, its own is {service.weight:g}"
        yield note("weight", told, f"`orion-registry clear {name_of(service)}` gives it its own back.")
    found_by = [f"namespace {service.namespace}", f"name {service.service_name}"]
    found_by += [f"capability {one}" for one in service.capabilities] or ["no capability"]
    found_by += [f"tag {one}" for one in service.tags] + ([f"zone {service.zone}"] if service.zone else [])
    yield note(
        "found by", ", ".join(found_by), "" if use < Use.TIER_1 else "Callers that ask for anything else miss it."
    )


def _of_reason(reason: StatusReason, service: Service, overlay: OverlayState | None) -> Finding:
    advice, use = ADVICE[reason.code], use_of(reason.code, service.status)
    told = f"since {show_time(reason.since_wall, 'seconds')}. {advice.means}"
    if reason.code is Code.SELF_REPORTED:
        told += f" Now: {service.status.name}, or better."
    if reason.code in OVERLAYS and overlay is not None:
        told += f" Set{f' by {overlay.set_by}' if overlay.set_by else ''} at {show_time(overlay.set_wall, 'seconds')}"
        told += f": {overlay.note}" if overlay.note else "."
    if use is Use.TIER_0:
        return ok(reason.code.name, told)
    if use is Use.TIER_1:
        return note(reason.code.name, told, _filled(advice.todo, service))
    return _advised(reason.code.name, told, advice.todo, service)


def _advised(what: str, told: str, todo: str, service: Service) -> Finding:
    return problem(what, told, _filled(todo, service))


def _filled(todo: str, service: Service) -> str:
    """With its names, so that commands can be copied."""
    return todo.replace("SERVICE_ID", service.service_id).replace("AGENT/NAME", name_of(service))
