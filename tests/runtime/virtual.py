"""Virtual time for asyncio: a loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import functools
import inspect
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec

from orion_registry.core.commands import Register, Registered
from orion_registry.core.config import RegistryConfig
from orion_registry.core.entry import Entry
from orion_registry.core.frames import Hello, SessionRequest
from orion_registry.core.model import Now, SessionRef
from orion_registry.core.sessions import HeartbeatSession
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.runtime.writer import WriterConfig
from orion_registry.store.base import Store
from orion_registry.store.memory import MemoryStore
from orion_registry.testing.entropy import SeededEntropy
from tests.building import LOCAL, SECRET, make_spec

P = ParamSpec("P")


class _Jumping(selectors.DefaultSelector):
    """Never waits: what it would have waited is added to `passed`."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("nothing is left that could ever happen")
            self.passed += max(timeout, 0.0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return 1_000.0 + self._jumping.passed


class LoopClock:
    """Tells the loop's time."""

    def now(self) -> Now:
        mono = asyncio.get_running_loop().time()
        return Now(mono=mono, wall=mono + 1e9)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs an async test on a virtual loop: hours pass at once."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    del run.__wrapped__  # else pytest sees a coroutine function
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # its fixtures
    return run


async def settle() -> None:
    """Lets everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def passing(seconds: float) -> None:
    """Virtual seconds go by."""
    never = asyncio.get_running_loop().create_future()
    await asyncio.wait({never}, timeout=seconds)


async def refused(call: Awaitable[object]) -> Any:
    """The error that a call is refused with."""
    try:
        result = await call
    except Exception as error:
        return error
    raise AssertionError(f"was not refused, but answered {result!r}")


async def coordinator_on(
    store: Store | None = None, *, queue: int = 1_024, timeout_s: float = 3.0, **config: Any
) -> Coordinator:
    """A coordinator that serves."""
    coordinator = Coordinator(
        config=RegistryConfig(**config),
        store=store or MemoryStore(),
        clock=LoopClock(),
        entropy=SeededEntropy(),
        writer=WriterConfig(timeout_s=timeout_s, queue=queue),
    )
    await coordinator.start()
    return coordinator


def register(agent_id: str = "agent", secret: str = SECRET, takeover: bool = False, **fields: Any) -> Register:
    return Register(spec=make_spec(agent_id, **fields), secret=secret, takeover=takeover)


async def add(coordinator: Coordinator, agent_id: str = "agent", **fields: Any) -> Entry:
    result = await coordinator.execute(register(agent_id, **fields), LOCAL)
    assert isinstance(result, Registered)
    return result.entry


def hello(entry: Entry, secret: str = SECRET) -> Hello:
    ref = SessionRef(service_id=entry.service_id, epoch=entry.epoch, secret=secret)
    return Hello(agent_id=entry.spec.agent_id, sessions=(SessionRequest(ref=ref),))


async def live(coordinator: Coordinator, entry: Entry) -> HeartbeatSession:
    session = coordinator.open_stream(LOCAL, lambda: None)
    await coordinator.receive(session, hello(entry))
    return session
