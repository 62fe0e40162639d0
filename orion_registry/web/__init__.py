"""The HTTP port: a read-only JSON API, changes as they happen, metrics, and the page for people."""

from orion_registry.server.settings import Settings
from orion_registry.server.side_door import SideDoor


def http_port(settings: Settings) -> SideDoor | None:
    """The HTTP port that the settings ask for; None = they ask for none."""
    if settings.http == "off":
        return None
    from orion_registry.web.port import HttpPort

    return HttpPort()
