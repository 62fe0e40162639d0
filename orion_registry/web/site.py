"""All paths of the HTTP port, put together."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from orion_registry.errors import RegistryError
from orion_registry.server.side_door import Authenticate, Served
from orion_registry.web.access import Access
from orion_registry.web.api import ROUTES, answering
from orion_registry.web.errors import error_answer, problem
from orion_registry.web.figure_routes import Figures
from orion_registry.web.guard import Hosts, add_headers, guard
from orion_registry.web.metrics import Metrics
from orion_registry.web.page import add_page
from orion_registry.web.scraping import Scraping
from orion_registry.web.signs import Signs
from orion_registry.web.streams import Streams
from orion_registry.web.watched import Watched

log = logging.getLogger("orion_registry")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PATHS = {
    "/livez": "",
    "/readyz": "",
    "/metrics": "GetServerInfo",
    "/sd/prometheus": "ListOverlays",
    **{route.path: route.rpc for route in ROUTES},
    "/api/v1/watch": "WatchServices",
    "/api/v1/watch/events": "WatchEvents",
    "/api/v1/vitals": "GetService",
    "/api/v1/capabilities": "DiscoverServices",
}
"""Every path but those of the page, and the RPC whose roles it asks for; none: it answers everybody."""


def build(served: Served, authenticate: Authenticate, hosts: Hosts) -> web.Application:
    """The application of a daemon."""
    access, watched = Access(served, authenticate), Watched()
    served.coordinator.events.hand_to(watched.take)
    app = web.Application(middlewares=[_as_answers(watched), guard(hosts)])
    app.on_response_prepare.append(add_headers)
    signs, figures, streams = Signs(served), Figures(served, access), Streams(served, access, watched)
    handlers: dict[str, Handler] = {
        "/livez": signs.live,
        "/readyz": signs.ready,
        "/metrics": Metrics(served, access, watched).serve,
        "/sd/prometheus": Scraping(served, access).serve,
        "/api/v1/watch": streams.services,
        "/api/v1/watch/events": streams.events,
        "/api/v1/vitals": figures.vitals,
        "/api/v1/capabilities": figures.capabilities,
    }
    handlers |= {route.path: answering(route, served, access) for route in ROUTES}
    for path in PATHS:
        app.router.add_get(path, handlers[path], allow_head=not path.startswith("/api/v1/watch"))
    add_page(app)
    return app


def _as_answers(watched: Watched) -> Middleware:
    """Makes answers of errors, and counts them all."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler)
        resource = request.match_info.route.resource
        watched.requests[resource.canonical if resource is not None else "other", response.status] += 1
        return response

    return answer


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RegistryError as error:
        return error_answer(error)
    except web.HTTPNotFound:
        return problem(404, "NOT_FOUND", "", f"nothing is at {request.path}")
    except web.HTTPMethodNotAllowed as error:
        headers = {"Allow": error.headers["Allow"]}
        return problem(405, "UNIMPLEMENTED", "", "this port is for reading: GET", headers=headers)
    except web.HTTPException as error:
        return problem(error.status, "INVALID_ARGUMENT", "", error.reason.lower())
    except Exception:
        log.exception("handler failed", extra={"path": request.path})
        return problem(500, "INTERNAL", "", "internal error; the registry's log has the details")
