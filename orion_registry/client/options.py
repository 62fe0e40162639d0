"""What a user may choose about a session."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orion_registry.core.frames import Drain, LostReason
from orion_registry.errors import bad_field


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Choices of one heartbeat session; spans in seconds.

    Attributes:
        claim_timeout_s: how long to wait, at the start, for another live session of the same services to end
            (AGENT_IN_USE: the old process is still taken for alive). 0: do not wait.
        start_timeout_s: how long the start may take in all before it fails; covers a registry that is not up yet.
        handshake_timeout_s: how long a stream may take until the registry has answered hello.
        write_timeout_s: how long one frame may wait in a blocked write before the stream is given up.
        goodbye_timeout_s: how long to wait at the end for the registry to take note.
        takeover: take the services from a live session (at the start only, never while running).
        instance_id: names this life of the process in the registry's logs; empty: a fresh one.
        on_command: called with each drain command, in a task of its own; it is acknowledged when the call begins.
        on_lost: called when a service that was held is lost for good, with its service_id and why: SUPERSEDED, another
            session holds it; REMOVED, the registry refuses it from now on. An error of the whole stream is raised only.
    """

    claim_timeout_s: float = 15.0
    start_timeout_s: float = 30.0
    handshake_timeout_s: float = 5.0
    write_timeout_s: float = 5.0
    goodbye_timeout_s: float = 2.0
    takeover: bool = False
    instance_id: str = ""
    on_command: Callable[[Drain], Awaitable[None]] | None = None
    on_lost: Callable[[str, LostReason], None] | None = None

    def __post_init__(self) -> None:
        for name in ("start_timeout_s", "handshake_timeout_s", "write_timeout_s", "goodbye_timeout_s"):
            if getattr(self, name) <= 0.0:
                raise bad_field(name, "above 0 seconds", getattr(self, name))
        if self.claim_timeout_s < 0.0:
            raise bad_field("claim_timeout_s", "0 seconds or more", self.claim_timeout_s)
