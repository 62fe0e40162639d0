"""For who keeps the process running: whether it lives, and whether it serves."""

from aiohttp import web

from orion_registry.server.side_door import Served


class Signs:
    """Answers probes, of callers known or not."""

    def __init__(self, served: Served) -> None:
        self._coordinator = served.coordinator

    async def live(self, _request: web.Request) -> web.Response:
        """GET /livez: 200 as long as the event loop turns."""
        return web.Response(text="alive\n")

    async def ready(self, _request: web.Request) -> web.Response:
        """GET /readyz: 200 while the registry serves, else 503; with the alarms that hold, which do not stop it."""
        coordinator = self._coordinator
        if not coordinator.serving:
            return web.Response(status=503, text="not ready: the registry is starting or stopping\n")
        alarms = "".join(f"alarm {alarm.name}: {alarm.message}\n" for alarm in coordinator.alarms.held)
        return web.Response(text="ready\n" + alarms)
