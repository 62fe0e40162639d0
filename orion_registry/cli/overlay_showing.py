"""How overlays are shown: what was done, and what is set, as lines for people or as JSON."""

import json
from typing import Any

from orion_registry.cli.showing import Paint, plural, show_span, show_time
from orion_registry.core.overlay import OverlayMode
from orion_registry.errors import NotFound, Reason
from orion_registry.wire.overlay import OverlayState, SetOverlays


def tell(done: SetOverlays, mode: OverlayMode | None, *, as_json: bool, waited: bool = False, working: int = 0) -> None:
    """What was done; nobody meant is a failure, for a script would go on."""
    if not done.service_ids:
        raise NotFound(Reason.NO_MATCH, "no service matches")
    if as_json:
        plain: dict[str, object] = {"service_ids": done.service_ids, "registered": done.registered}
        plain |= {"changed": done.changed, "revision": done.revision}
        print(json.dumps(plain | ({"drained": True, "still_working": working} if waited else {})))
        return
    services = plural(len(done.service_ids), "service")
    away = len(done.service_ids) - done.registered
    match mode:
        case OverlayMode.NONE:
            text = f"cleared {done.changed:,} of {services}"
        case OverlayMode.DRAIN if working:
            text = f"drained {services}: the deadline has passed, and {working:,} still had work"
        case OverlayMode.DRAIN if waited:
            text = f"drained {services}: safe to stop"
        case OverlayMode.DRAIN:
            text = f"draining {services}; `orion-registry overlays --mode drain` tells when they are safe to stop"
        case None:
            text = f"set the weight of {services}"
        case _:
            text = f"{services} in {mode.name.lower()}"
    print(text + (f" ({away:,} not registered now)" if away else ""))


def has_work(state: OverlayState) -> bool:
    """Whether there was something left when the deadline passed."""
    load = state.load
    return state.registered and bool(state.leases_left or (load and (load.in_flight or load.queue_depth)))


def as_plain(state: OverlayState) -> dict[str, Any]:
    """For JSON: enums by name, the time as text."""
    return {
        "namespace": state.key.namespace,
        "agent_id": state.key.agent_id,
        "service_name": state.key.service_name,
        "service_id": state.key.service_id,
        "mode": state.mode.name,
        "weight": state.weight,
        "deadline_s": state.deadline_s,
        "left_s": state.left_s,
        "note": state.note,
        "set_by": state.set_by,
        "set_at": show_time(state.set_wall),
        "registered": state.registered,
        "status": state.status.name if state.registered else None,
        "drained": state.drained,
        "leases_left": state.leases_left,
        "in_flight": None if state.load is None else state.load.in_flight,
        "queue_depth": None if state.load is None else state.load.queue_depth,
    }


def line_of(state: OverlayState, paint: Paint) -> str:
    """For people: what is set, for whom, how far it is, why."""
    key = state.key
    whom = f"{key.agent_id}/{key.service_name}"
    if key.namespace != "default":
        whom = f"{key.namespace}/{whom}"
    told = [paint(f"{state.mode.name:<11}", "green" if state.drained else "yellow"), whom, key.service_id]
    if not state.registered:
        told.append("not registered")
    elif state.mode is OverlayMode.DRAIN:
        told.append(paint("DRAINED, safe to stop", "green") if state.drained else _left(state))
    if state.weight is not None:
        told.append(f"weight {state.weight:g}")
    told.append(f"since {show_time(state.set_wall, 'seconds')}" + (f" by {state.set_by}" if state.set_by else ""))
    if state.note:
        told.append(state.note)
    return "  ".join(told)


def _left(state: OverlayState) -> str:
    if state.load is None:
        what = "no load reported"
    else:
        what = f"{state.load.in_flight:,} in flight, {state.load.queue_depth:,} waiting"
    if state.leases_left:
        what += f", {plural(state.leases_left, 'lease')}"
    return what if state.left_s is None else f"{what}, {show_span(state.left_s)} left"
