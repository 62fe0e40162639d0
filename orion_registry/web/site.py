"""All paths of the HTTP port, put together."""

import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from orion_registry.errors import RegistryError
from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, Authenticate
from orion_registry.web.api import ROUTES, answering
from orion_registry.web.errors import error_answer, problem
from orion_registry.web.figure_routes import Figures
from orion_registry.web.guard import Hosts, add_headers, guard
from orion_registry.web.page import add_page
from orion_registry.web.signs import Signs
from orion_registry.web.streams import Streams

log = logging.getLogger("orion_registry")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(served: Served, authenticate: Authenticate, hosts: Hosts) -> web.Application:
    """The application of a daemon."""
    access = Access(served.coordinator, authenticate)
    app = web.Application(middlewares=[_as_answers, guard(hosts)])
    app.on_response_prepare.append(add_headers)
    signs, streams, figures = Signs(served), Streams(served, access), Figures(served, access)
    paths: dict[str, Handler] = {
        "/livez": signs.live,
        "/readyz": signs.ready,
        "/api/v1/watch": streams.services,
        "/api/v1/watch/events": streams.events,
        "/api/v1/vitals": figures.vitals,
        "/api/v1/capabilities": figures.capabilities,
    }
    paths |= {route.path: answering(route, served, access) for route in ROUTES}
    for path, handler in paths.items():
        app.router.add_get(path, handler)
    add_page(app)
    return app


@web.middleware
async def _as_answers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Makes answers of errors."""
    try:
        return await handler(request)
    except RegistryError as error:
        return error_answer(error)
    except web.HTTPNotFound:
        return problem(404, "NOT_FOUND", "", f"nothing is at {request.path}")
    except web.HTTPMethodNotAllowed as error:
        return problem(405, "UNIMPLEMENTED", "", "this port is for reading: GET", headers={"Allow": error.headers["Allow"]})
    except web.HTTPException as error:
        return problem(error.status, "INVALID_ARGUMENT", "", error.reason.lower())
    except Exception:
        log.exception("handler failed", extra={"path": request.path})
        return problem(500, "INTERNAL", "", "internal error; the registry's log has the details")
