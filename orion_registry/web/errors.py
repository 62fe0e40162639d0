"""Errors as JSON: the gRPC code, the reason from the closed list, and the HTTP status that fits."""

import json
from typing import NamedTuple

from aiohttp import web

from orion_registry.errors import RegistryError
from orion_registry.wire.status import safe_message


class Code(NamedTuple):
    """A gRPC code's name, and the HTTP status that says the same."""

    name: str
    http: int


CODES = {
    3: Code("INVALID_ARGUMENT", 400),
    5: Code("NOT_FOUND", 404),
    6: Code("ALREADY_EXISTS", 409),
    7: Code("PERMISSION_DENIED", 403),
    8: Code("RESOURCE_EXHAUSTED", 429),
    9: Code("FAILED_PRECONDITION", 409),
    10: Code("ABORTED", 409),
    11: Code("OUT_OF_RANGE", 400),
    12: Code("UNIMPLEMENTED", 501),
    14: Code("UNAVAILABLE", 503),
    16: Code("UNAUTHENTICATED", 401),
}
"""By gRPC's number, as google.rpc.Code maps them, but for what is no mistake of the request: 409."""


def error_answer(error: RegistryError) -> web.Response:
    """An error of the registry."""
    code = CODES[error.code]
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if code.http == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(code.http, code.name, error.reason.value, error.message, error.retry_after_s, headers)


def problem(
    status: int,
    code: str,
    reason: str,
    message: str,
    retry_after_s: float | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """An answer that tells of an error. retry_after is null unless trying again makes sense."""
    told = {"code": code, "reason": reason, "message": safe_message(message), "retry_after": retry_after_s}
    return web.Response(status=status, text=json.dumps(told), content_type="application/json", headers=headers)
