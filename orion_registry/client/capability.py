"""A capability of an agent: a function, and how JSON becomes its arguments and its result JSON."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from orion_registry.errors import InvalidArgument, Reason, Said, bad_field

METHOD: Final = "/orion.agent.v1.AgentService/Call"
"""The RPC that agents serve (protos/orion_registry_pb/agent/v1/agent.proto)."""
MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""Most that an agent takes in one message: gRPC's own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What an agent can do.

    Attributes:
        name: what callers ask for.
        function: what runs: in the event loop if it is `async def`, else in a thread.
        signature: of the function: arguments are checked against it before anything runs.
    """

    name: str
    function: Callable[..., Any]
    signature: inspect.Signature

    @property
    def is_async(self) -> bool:
        """Whether it runs in the event loop: what is, wraps, or has as `__call__`, an `async def`."""
        inner = inspect.unwrap(self.function)
        return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in a JSON object, by name.

        Raises:
            InvalidArgument: it is none, or they do not fit the function.
        """
        given = load_arguments(text)
        try:
            self.signature.bind(**given)
        except TypeError as error:
            wanted = f"{self.name}{self.signature}"
            raise InvalidArgument(Reason.BAD_FIELD, f"arguments: {error}; it is {wanted}") from None
        return given


def capability_of(name: str, function: Callable[..., Any]) -> Capability:
    """The capability that a function makes.

    Raises:
        InvalidArgument: the function streams, or wants an argument that has no name to callers.
    """
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise bad_field("function", "one that returns its result", Said(f"{name}, which yields"))
    signature = inspect.signature(function)
    for argument in signature.parameters.values():
        if argument.kind is argument.POSITIONAL_ONLY and argument.default is argument.empty:
            raise bad_field("function", "one that takes its arguments by name", Said(f"{name}{signature}"))
    return Capability(name=name, function=function, signature=signature)


def load_arguments(text: str) -> dict[str, Any]:
    """A JSON object; of nothing, an empty one.

    Raises:
        InvalidArgument: BAD_FIELD.
    """
    try:
        given = json.loads(text or "{}", parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(Reason.BAD_FIELD, f"arguments: must be JSON: {error}") from None
    if not isinstance(given, dict):
        raise bad_field("arguments", "a JSON object", Said(type(given).__name__))
    return given


def dump_arguments(arguments: Mapping[str, Any]) -> str:
    """Arguments as JSON.

    Raises:
        InvalidArgument: a value is not JSON, such as NaN or bytes.
    """
    try:
        return dump_json(dict(arguments))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(Reason.BAD_FIELD, f"arguments: must be JSON values: {error}") from None


def dump_json(value: Any) -> str:
    """A value as JSON. Raises TypeError or ValueError."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _not_finite(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
