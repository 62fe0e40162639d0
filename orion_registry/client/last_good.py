"""What the registry last knew of each service: one that was just restarted does not make callers forget. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from orion_registry.client.fold import WatchEvent, WatchKind
from orion_registry.core.model import ServiceStatus, StatusReasonCode
from orion_registry.wire.service import Service

UNSURE: Final = frozenset({StatusReasonCode.RESTORED, StatusReasonCode.OWNER_LOST})
"""Reasons that say something of the registry and nothing of the service: it has not heard of it yet. RECONNECT_GRACE is
none of them: an agent that says it is moving has it too."""


def is_unsure(service: Service) -> bool:
    """Whether its status is only that the registry does not know."""
    return (
        service.status is ServiceStatus.UNKNOWN
        and bool(service.reasons)
        and all(reason.code in UNSURE for reason in service.reasons)
    )


class LastGood:
    """The services of a view, each with the last status that the registry was sure of.

    Attributes:
        services: by service_id; what an agent wrote is always the newest. Read-only and live.
        vouched: ids of those whose status is older than the registry's answer.
    """

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}
        self.services: Mapping[str, Service] = MappingProxyType(self._services)
        self.vouched: set[str] = set()

    def take(self, event: WatchEvent) -> None:
        """Follows one event of a watch."""
        service = event.service
        if service is None:
            return
        service_id = service.service_id
        known = self._services.get(service_id)
        self.vouched.discard(service_id)
        if event.kind is WatchKind.REMOVED:
            self._services.pop(service_id, None)
            return
        if known is not None and known.ready and is_unsure(service):
            self.vouched.add(service_id)
            service = replace(service, status=known.status, reasons=known.reasons, ready=True)
        self._services[service_id] = service
