"""Names to addresses, through the operating system."""

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - getaddrinfo would load it at its first call, and fail if descriptors are short
import socket
import threading
from collections.abc import Awaitable, Callable

from orion_registry.probes.ends import CheckFailed, CheckUnavailable

Lookup = Callable[[str], Awaitable[tuple[str, ...]]]
"""Addresses of a name as texts, a zone as its number (fe80::1%2). Raises like `end_of_lookup`'s results."""

THREADS = 16  # look-ups at a time; one blocks its thread for as long as the name servers keep silent

_UNKNOWN = {socket.EAI_NONAME, socket.EAI_FAIL, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


def literal(host: str) -> tuple[str, ...] | None:
    """What the operating system takes host for if it is an address in any spelling, None if it is a name.

    2130706433, 0x7f.1 and full-width digits are addresses. Never blocks.
    """
    try:
        return _texts(host, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        return None


class SystemLookup:
    """getaddrinfo in threads of its own: the loop's pool is small, and an exit of the process would wait for it."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(THREADS)
        self._pending: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def __call__(self, host: str) -> tuple[str, ...]:
        """See `Lookup`. Who asks for a name that is being looked up shares the answer; none is kept."""
        task = self._pending.get(host)
        if task is None:
            task = self._pending[host] = asyncio.get_running_loop().create_task(self._look_up(host))
            task.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(task)  # who gives up does not take it from the others

    def _forget(self, host: str, task: asyncio.Task[tuple[str, ...]]) -> None:
        del self._pending[host]
        if not task.cancelled():
            task.exception()  # seen, also if everybody gave up

    async def _look_up(self, host: str) -> tuple[str, ...]:
        async with self._free:
            loop = asyncio.get_running_loop()
            found: asyncio.Future[tuple[str, ...]] = loop.create_future()

            def run() -> None:
                answer = _answer(host)
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                    loop.call_soon_threadsafe(_settle, found, answer)

            try:
                threading.Thread(target=run, name="look-up", daemon=True).start()
            except RuntimeError:
                raise CheckUnavailable("the registry's machine has no threads left") from None
            return await found

    async def close(self) -> None:
        """Ends the look-ups under way; their threads end by themselves."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _answer(host: str) -> tuple[str, ...] | Exception:
    try:
        return _texts(host, 0)
    except (OSError, UnicodeError) as error:
        return end_of_lookup(error)


def _settle(found: "asyncio.Future[tuple[str, ...]]", answer: tuple[str, ...] | Exception) -> None:
    if found.done():
        return
    if isinstance(answer, Exception):
        found.set_exception(answer)
    else:
        found.set_result(answer)


def _texts(host: str, flags: int) -> tuple[str, ...]:
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
    texts = []
    for family, _, _, _, sockaddr in infos:
        scope = sockaddr[3] if family == socket.AF_INET6 and len(sockaddr) == 4 else 0
        texts.append(f"{sockaddr[0]}%{scope}" if scope else str(sockaddr[0]))
    return tuple(dict.fromkeys(texts))


def end_of_lookup(error: OSError | UnicodeError) -> CheckFailed | CheckUnavailable:
    """Whose fault it is that a name has no address: its owner's if there is none, else the resolver's."""
    if isinstance(error, UnicodeError) or error.errno in _UNKNOWN:
        return CheckFailed("the host has no address")
    return CheckUnavailable("the registry's name servers do not answer")
