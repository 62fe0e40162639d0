"""An agent in about ten lines: it serves its capabilities, registers, beats, counts its calls, and drains.

    agent = Agent("calc", max_concurrency=4)

    @agent.capability("math.add", tags=["exact"])
    async def add(a: float, b: float) -> float:
        return a + b

    agent.run()

A capability is called with `BalancerClient.call("math.add", {"a": 2, "b": 3})`.
"""

import asyncio
import ipaddress
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, Literal, TypeVar

from orion_registry.client.agent_life import AgentLife
from orion_registry.client.capability import Capability, capability_of
from orion_registry.client.client import RegistryClient
from orion_registry.client.credentials import Credentials
from orion_registry.client.environment import REAL, Environment
from orion_registry.client.options import SessionOptions
from orion_registry.client.session import HeartbeatSession
from orion_registry.client.specs import with_metadata
from orion_registry.core.model import ServiceSpec
from orion_registry.core.validation import check_id, check_labels
from orion_registry.errors import RegistryError, bad_field

logger = logging.getLogger(__name__)

Function = TypeVar("Function", bound=Callable[..., Any])

_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})
_DEFAULTS: Final = SessionOptions()


class Agent:
    """What an agent is, and its life: `run`, or `async with` inside a program of your own. Belongs to one event loop.

    It is one service to the registry, with all its capabilities and all their tags.
    """

    def __init__(
        self,
        name: str,
        *,
        address: str | Sequence[str] = "",
        agent_id: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        insecure_listen: bool = False,
        max_concurrency: int = 0,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        version: str = "1.0.0",
        zone: str = "",
        weight: float = 1.0,
        namespace: str = "default",
        profile: str = "",
        drain_timeout_s: float = 30.0,
        options: SessionOptions = _DEFAULTS,
        credentials: Credentials | None = None,
        environment: Environment = REAL,
    ) -> None:
        """An agent that offers nothing yet.

        Args:
            name: service_name, which replicas share.
            address: of the registry, as `RegistryClient`.
            agent_id: names this replica, and stays across its restarts; empty: as `name`.
            host: where it listens, and where callers are told to reach it; 0.0.0.0 or ::, on every address, and callers
                are told the one that the registry sees.
            port: where it listens; 0 = a free one.
            insecure_listen: allow a host that other machines can reach: whoever does may call, in plaintext.
            max_concurrency: calls at once; further ones are refused. 0 = no limit.
            tags: free labels.
            metadata: JSON values for callers to read.
            version: of its software, for people.
            zone: where it runs: callers there prefer it.
            weight: its share of calls beside its replicas.
            namespace: that its service is in.
            profile: as `RegistryClient`.
            drain_timeout_s: how long calls under way may take to finish when it stops.
            options: of its heartbeat session; `on_command` is called beside what the agent does by itself.
            credentials: as `RegistryClient`; callers reach the agent in plaintext.
            environment: where time and randomness come from.

        Raises:
            InvalidArgument: BAD_FIELD.
        """
        if drain_timeout_s < 0.0:
            raise bad_field("drain_timeout_s", "0 seconds or more", drain_timeout_s)
        if max_concurrency < 0:
            raise bad_field("max_concurrency", "0 or more", max_concurrency)
        if not insecure_listen and not _is_loopback(host):
            raise bad_field("host", "on loopback unless insecure_listen is set: there is no encryption", host)
        self._spec = with_metadata(
            ServiceSpec(
                agent_id=check_id("agent_id", agent_id or name),
                service_name=check_id("name", name),
                host="" if host in _ANY_ADDRESS else host,
                protocol="grpc",
                version=version,
                zone=zone,
                weight=weight,
                namespace=namespace,
                max_concurrency=max_concurrency,
            ),
            metadata or {},
        )
        self._capabilities: dict[str, Capability] = {}
        self._tags = _labels("tags", tags)
        self._registry, self._profile = address, profile
        self._host, self._port = host, port
        self._drain_timeout_s = drain_timeout_s
        self._options = options
        self._credentials = credentials
        self._env = environment
        self._life: AgentLife | None = None
        self._asked = asyncio.Event()

    def capability(self, name: str, *, tags: Iterable[str] = ()) -> Callable[[Function], Function]:
        """Decorates a function: callers' arguments are its own, by name, and its result is theirs, as JSON.

        An `async def` runs in the event loop and must not block it; a plain function runs in a thread. What it raises
        fails the call, and its text goes to the caller; `InvalidArgument` says that the caller is at fault.

        Raises:
            InvalidArgument: the name is taken, or no capability.
        """
        (label,) = check_labels("capability", [name])

        def offer(function: Function) -> Function:
            if label in self._capabilities:
                raise bad_field("capability", "offered once", label)
            self._capabilities[label] = capability_of(label, function)
            return function

        self._tags = _labels("tags", (*self._tags, *_labels("tags", tags)))
        return offer

    @property
    def agent_id(self) -> str:
        """Names it."""
        return self._spec.agent_id

    @property
    def address(self) -> str:
        """HOST:PORT where it listens. Raises RuntimeError if it does not run."""
        return self._running.address

    @property
    def in_flight(self) -> int:
        """Calls under way; 0 if it does not run."""
        return 0 if self._life is None else self._life.in_flight

    @property
    def session(self) -> HeartbeatSession:
        """Its heartbeat session: for progress, self-status, connection_state. Raises RuntimeError if it does not run.

        Its load is told by the agent itself.
        """
        return self._running.session

    # Its life.

    def run(self) -> None:
        """Serves until SIGTERM or Ctrl-C, then takes nothing new, finishes the calls under way, and returns.

        A second signal ends it at once. Where nothing is set up for logging, it logs to stderr from INFO on.

        Raises:
            SystemExit: with a line for stderr and exit code 1: it could not start; its services were taken by another
                process of the same agent_id; or calls were cut off after drain_timeout_s.
        """
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
        try:
            asyncio.run(self._run())
        except RegistryError as error:
            raise SystemExit(f"agent {self.agent_id}: {error.message}") from None
        except OSError as error:
            raise SystemExit(f"agent {self.agent_id}: {error}") from None

    async def start(self) -> None:
        """Begins to serve, and returns when the registry has accepted it.

        Raises:
            RegistryError: as `HeartbeatSession.start`. OSError: the port cannot be had.
        """
        if not self._capabilities:
            raise bad_field("capabilities", "at least one: decorate a function with @agent.capability", ())
        if self._life is not None:
            raise RuntimeError("the agent runs already")
        spec, capabilities = self._spec_now(), tuple(self._capabilities.values())
        self._life = AgentLife(spec, capabilities, self._options, self._drain_timeout_s)
        try:
            client = RegistryClient(
                self._registry, profile=self._profile, credentials=self._credentials, environment=self._env
            )
            await self._life.start(client, self._host, self._port)
        except BaseException:
            self._life = None
            raise

    async def stop(self) -> bool:
        """Takes nothing new, finishes the calls under way, says goodbye. Idempotent.

        Returns:
            Whether they all finished within drain_timeout_s; those that did not are cancelled.
        """
        life = self._life
        if life is None:
            return True
        finished = await life.stop()
        if self._life is life:
            self._life = None
        return finished

    async def ended(self) -> None:
        """Waits until its session has ended; raises the error that ended it, such as `Aborted`/SUPERSEDED."""
        await self._running.session.ended()

    async def __aenter__(self) -> "Agent":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> Literal[False]:
        await self.stop()
        return False

    # Inside.

    @property
    def _running(self) -> AgentLife:
        if self._life is None:
            raise RuntimeError("the agent does not run")
        return self._life

    def _spec_now(self) -> ServiceSpec:
        return replace(self._spec, capabilities=tuple(self._capabilities), tags=self._tags)

    async def _run(self) -> None:
        """Raises what ended the session; if calls were cut off, it ends the process."""
        self._asked = asyncio.Event()
        signals = (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        for number in signals:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        asked = asyncio.create_task(self._asked.wait())
        starting = asyncio.create_task(self.start())
        await asyncio.wait({asked, starting}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            return
        await starting
        logger.info("agent %s serves %s on %s", self.agent_id, ", ".join(self._capabilities), self.address)
        ended = asyncio.create_task(self.session.ended())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        logger.info("agent %s stops, with %d calls under way", self.agent_id, self.in_flight)
        finished = await self.stop()
        asked.cancel()
        await asyncio.wait({ended})  # stop() has ended the session; what ended it before is raised
        if not finished:
            self._exit(ended.exception())
        ended.result()

    def _exit(self, error: BaseException | None) -> None:
        """From within the event loop: the loop's own end would wait for threads, and one of them may never end."""
        if isinstance(error, RegistryError):
            print(f"agent {self.agent_id}: {error.message}", file=sys.stderr)  # noqa: T201 - as SystemExit
        print(f"agent {self.agent_id}: calls were cut off", file=sys.stderr, flush=True)  # noqa: T201
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)

    def _signalled(self) -> None:
        if self._asked.is_set() and self._life is not None:
            self._life.hurry()
        self._asked.set()


def _labels(field: str, labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise bad_field(field, "a list of texts", labels)
    return check_labels(field, labels)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name: of this machine, but who knows where
