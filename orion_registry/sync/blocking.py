"""Methods that wait, made of methods that are awaited: with the same names, arguments and types."""

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload

from orion_registry.sync.loop import LoopThread

P = ParamSpec("P")
T = TypeVar("T")
Inner = TypeVar("Inner")


class Twin(Protocol[Inner]):
    """What has an asyncio object inside, and the loop that it lives in."""

    _inner: Inner
    _loop: LoopThread


class Blocking(Generic[Inner, P, T]):
    """A method of a twin that runs the coroutine of the inner object's method, and waits for its result."""

    def __init__(self, method: Callable[Concatenate[Inner, P], Coroutine[Any, Any, T]]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type] # a descriptor: for help() and inspect

    @overload
    def __get__(self, twin: None, owner: type) -> "Blocking[Inner, P, T]": ...
    @overload
    def __get__(self, twin: Twin[Inner], owner: type) -> Callable[P, T]: ...
    def __get__(self, twin: Twin[Inner] | None, owner: type) -> "Blocking[Inner, P, T] | Callable[P, T]":
        """The method, bound."""
        if twin is None:
            return self
        inner, loop, method = twin._inner, twin._loop, self._method

        @functools.wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return loop.run(method(inner, *args, **kwargs))

        del call.__wrapped__  # it has `self`, which is bound here
        return call


class Iterating(Generic[Inner, P, T]):
    """As `Blocking`, of a method that iterates."""

    def __init__(self, method: Callable[Concatenate[Inner, P], AsyncIterator[T]]) -> None:
        self._method = method
        functools.update_wrapper(self, method)  # type: ignore[arg-type] # a descriptor: for help() and inspect

    @overload
    def __get__(self, twin: None, owner: type) -> "Iterating[Inner, P, T]": ...
    @overload
    def __get__(self, twin: Twin[Inner], owner: type) -> Callable[P, Iterator[T]]: ...
    def __get__(self, twin: Twin[Inner] | None, owner: type) -> "Iterating[Inner, P, T] | Callable[P, Iterator[T]]":
        """The method, bound."""
        if twin is None:
            return self
        inner, loop, method = twin._inner, twin._loop, self._method

        def iterate(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return _iterate(loop, method(inner, *args, **kwargs))

        return iterate


def _iterate(loop: LoopThread, source: AsyncIterator[T]) -> Iterator[T]:
    """Whoever stops early, or drops it, closes the source."""
    try:
        while True:
            try:
                yield loop.run(_next(source))
            except StopAsyncIteration:
                return
    finally:
        if isinstance(source, AsyncGenerator):
            loop.leave(source.aclose())


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)


class Flag:
    """An `asyncio.Event` as a `threading.Event`: it is set by the loop, and can be waited for."""

    def __init__(self, loop: LoopThread, event: asyncio.Event) -> None:
        self._loop = loop
        self._event = event

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._event.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Waits until it is set, for timeout_s seconds at most (None: as long as it takes); returns whether it is."""
        return self._loop.run(_wait(self._event, timeout_s))


async def _wait(event: asyncio.Event, timeout_s: float | None) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
