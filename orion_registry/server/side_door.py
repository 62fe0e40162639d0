"""What may serve beside gRPC, such as the HTTP port: the daemon starts and stops it, and hands it what it asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from orion_registry.core.access.rates import Rates
from orion_registry.core.model import Actor
from orion_registry.runtime.coordinator import Coordinator
from orion_registry.server.rpc_tally import RpcTally
from orion_registry.server.settings import Settings
from orion_registry.server.wrapper import Handler

Authenticate = Callable[[str, str], Actor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a daemon serves.

    Attributes:
        settings: those that it was started with.
        coordinator: whom all ask.
        handlers: of the RPCs, by full service name and method name: one place for what each does.
        authenticate: who calls, by the text of an Authorization header and the peer's address; raises Unauthenticated.
            None = whoever it is may do everything.
        rates: how fast each identity may call, and how much it may hold open.
        rpcs: calls over gRPC, in counts.
    """

    settings: Settings
    coordinator: Coordinator
    handlers: Mapping[str, Mapping[str, Handler]]
    authenticate: Authenticate | None
    rates: Rates
    rpcs: RpcTally | None = None


class SideDoor(Protocol):
    """Another way in. Each is called once at most, in this order."""

    async def bind(self, settings: Settings) -> None:
        """Takes its address.

        Raises:
            StartError: it cannot be had; nothing stays bound.
        """
        ...

    async def open(self, served: Served) -> None:
        """Answers from now on; the registry may not serve yet."""
        ...

    async def close(self) -> None:
        """Ends what is open, and gives the address back. Called also if the others were not."""
        ...

    def where(self) -> Mapping[str, object]:
        """Its address, for the log."""
        ...
