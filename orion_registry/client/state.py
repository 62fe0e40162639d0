"""The connection state that users can see and await."""

import asyncio
from enum import StrEnum


class ConnectionState(StrEnum):
    """How a session or a watch stands with the registry."""

    CONNECTING = "connecting"
    """Not connected yet."""
    CONNECTED = "connected"
    """The registry answers on the stream."""
    RECONNECTING = "reconnecting"
    """It was connected; the next attempt is on its way."""
    CLOSED = "closed"
    """Ended. Final."""
    SUPERSEDED = "superseded"
    """Another session holds the services. Final."""


class ObservableState:
    """A `ConnectionState` that tasks can wait for."""

    def __init__(self) -> None:
        self._value = ConnectionState.CONNECTING
        self._changed = asyncio.Event()

    @property
    def value(self) -> ConnectionState:
        """The state now."""
        return self._value

    def set(self, value: ConnectionState) -> None:
        """Changes the state and wakes who waits."""
        if value is not self._value:
            self._value = value
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def wait_for(self, *states: ConnectionState) -> ConnectionState:
        """Waits until the state is one of `states`; a state that passes quickly may go unseen."""
        while self._value not in states:
            await self._changed.wait()
        return self._value
