"""The JSON API: one table of paths, each with the RPC that it stands for. The answers are those of the RPCs."""

import functools
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from orion_registry.core.model import Actor
from orion_registry.server.methods import Method
from orion_registry.server.side_door import Served
from orion_registry.web.access import Access, method_of
from orion_registry.web.listings import discover, get_service, list_events
from orion_registry.web.queries import request_of
from orion_registry.wire.json_service import json_fields

Answer = Callable[[Served, Any], str]
"""Makes the JSON of an answer where the RPC's own bytes would be a detour. Raises RegistryError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path.

    Attributes:
        path: with the request's fields that stand in it.
        rpc: what it stands for.
        answer: makes the answer; None = the RPC's handler does.
    """

    path: str
    rpc: str
    answer: Answer | None = None


ROUTES = (
    Route(path="/api/v1/services", rpc="DiscoverServices", answer=discover),
    Route(path="/api/v1/services/{service_id}", rpc="GetService", answer=get_service),
    Route(path="/api/v1/services/{service_id}/health", rpc="GetServiceHealth"),
    Route(path="/api/v1/services/{service_id}/performance", rpc="GetServicePerformance"),
    Route(path="/api/v1/services/{service_id}/selections", rpc="ListSelections"),
    Route(path="/api/v1/selections", rpc="ListSelections"),
    Route(path="/api/v1/events", rpc="ListEvents", answer=list_events),
    Route(path="/api/v1/info", rpc="GetServerInfo"),
    Route(path="/api/v1/stats/balancer", rpc="GetBalancerStats"),
    Route(path="/api/v1/stats/health", rpc="GetHealthStats"),
    Route(path="/api/v1/overlays", rpc="ListOverlays"),
    Route(path="/api/v1/explain", rpc="ExplainSelection"),
)
"""Of the paths that answer a request as its RPC does."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def pairs_of(request: web.Request) -> list[tuple[str, str]]:
    """The parameters of a request: those in its path, and its query."""
    return [*request.match_info.items(), *((name, value) for name, value in request.query.items())]


def answering(route: Route, served: Served, access: Access) -> Handler:
    """The handler of a route."""
    method = method_of(route.rpc)

    async def handle(request: web.Request) -> web.Response:
        actor = access.admit(method, request)
        wanted = request_of(method.request, pairs_of(request))
        access.check(method, wanted, actor, request)
        if route.answer is not None:
            return json_answer(route.answer(served, wanted))
        return json_answer(await _call(method, served, wanted, actor))

    return handle


async def _call(method: Method, served: Served, request: Message, actor: Actor) -> str:
    """What the RPC's own handler says, as JSON."""
    handler = served.handlers[method.service][method.name]
    data = handler(request, actor)
    if inspect.isawaitable(data):
        data = await data
    return json.dumps(json_fields(answer_class(method).FromString(data)), ensure_ascii=False)


@functools.cache
def answer_class(method: Method) -> type[Message]:
    """The class of an RPC's answers."""
    service = descriptor_pool.Default().FindServiceByName(method.service)
    kind: type[Message] = GetMessageClass(service.methods_by_name[method.name].output_type)
    return kind


def json_answer(text: str) -> web.Response:
    """An answer that no cache keeps."""
    return web.Response(text=text, content_type="application/json", headers={"Cache-Control": "no-store"})
