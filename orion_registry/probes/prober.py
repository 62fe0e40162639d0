"""Runs checks: every attempt of them, under the egress policy. The only entrance to this room."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from orion_registry.core.checks.attempts import decide, worth_retrying
from orion_registry.core.checks.spec import (
    CheckSpec,
    CustomProbe,
    GrpcProbe,
    HttpProbe,
    IcmpProbe,
    Probe,
    ProbeKind,
    TcpProbe,
)
from orion_registry.core.checks.verdict import DETAIL, Outcome, Verdict
from orion_registry.errors import bad_field
from orion_registry.probes.custom import CustomProber
from orion_registry.probes.egress import EgressPolicy
from orion_registry.probes.ends import CheckDenied, CheckFailed, CheckUnavailable, Unreached
from orion_registry.probes.lookup import Lookup, SystemLookup
from orion_registry.probes.resolve import Address, Resolver
from orion_registry.probes.special import IPNetwork
from orion_registry.probes.tcp import probe_tcp
from orion_registry.probes.trust import Trust

if TYPE_CHECKING:
    from orion_registry.probes.http import HttpProber

STALL_S = 0.25
"""A time-out that comes so much too late says that the registry stood still; the answer may be waiting to be read."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig:
    """What the operator decides of probes. Checked once, when made.

    Attributes:
        allow: networks that checks may reach beside the address that the agent connects from. More lets agents check
            what stands elsewhere, and have the registry knock there.
        ca_file: PEM file of the authorities that sign targets' certificates; empty = the system's.
        custom: names of custom checks, and module:callable of each.
    """

    allow: tuple[IPNetwork, ...] = ()
    ca_file: str = ""
    custom: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the form of callables; the message names the field."""
        for name, value in self.custom.items():
            module, _, attribute = value.partition(":")
            if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
                raise bad_field(f"custom.{name}", "module:callable", value)


# What a kind of check needs is imported by the first that runs: imports take up to an eighth of a second, and a base
# install, where the registry runs inside a process, has neither aiohttp nor icmplib nor grpcio-health-checking.


def _http() -> "type[HttpProber]":
    from orion_registry.probes.http import HttpProber

    return HttpProber


def _icmp() -> Callable[[Address], Awaitable[None]]:
    from orion_registry.probes.icmp import probe_icmp

    return probe_icmp


def _grpc() -> Callable[[GrpcProbe, Address, Trust], Awaitable[None]]:
    from orion_registry.probes.grpc import probe_grpc

    return probe_grpc


async def _imported(kind: ProbeKind, what: Callable[[], T]) -> T:
    """Imports it in a thread, so that the loop goes on."""
    try:
        return await asyncio.to_thread(what)
    except ImportError as error:
        needs = f"{kind.name} checks need {error.name}: pip install 'orion-registry[server]'"
        raise CheckUnavailable(needs) from None


class Prober:
    """Runs checks. Any number at a time: the caps are its caller's.

    Raises:
        InvalidArgument: ca_file is no readable PEM file.
    """

    def __init__(self, config: ProbeConfig, *, lookup: Lookup | None = None) -> None:
        trust = Trust(config.ca_file)
        self._system_lookup = SystemLookup()
        self._resolver = Resolver(EgressPolicy(allow=config.allow), lookup or self._system_lookup)
        self._http: HttpProber | None = None
        self._icmp: Callable[[Address], Awaitable[None]] | None = None
        self._grpc: Callable[[GrpcProbe, Address, Trust], Awaitable[None]] | None = None
        self._custom = CustomProber(config.custom)
        self._trust = trust

    async def run(self, check: CheckSpec, address: str) -> Outcome:
        """Makes the attempts of one run and says what they found: its probes in turn, each with its retries.

        address is where the agent connects from; empty = this machine. Never raises but CancelledError.
        """
        attempts: list[Outcome] = []
        for probe in check.probes:
            for _ in range(1 + check.retries):
                attempts.append(await self._attempt(probe, check.attempt_s, address))
                if not worth_retrying(attempts[-1]):
                    break
            if attempts[-1].verdict is Verdict.PASSED:
                break
        return decide(attempts)

    async def close(self) -> None:
        """Ends connections, look-ups and the workers of custom checks."""
        await self._custom.close()
        if self._http is not None:
            await self._http.close()
        await self._system_lookup.close()

    async def _attempt(self, probe: Probe, seconds: float, peer: str) -> Outcome:
        loop = asyncio.get_running_loop()
        start = loop.time()
        deadline = start + seconds
        verdict, detail = Verdict.PASSED, ""
        addresses: tuple[Address, ...] = ()
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._resolver.resolve(probe.host, peer)
                await self._probe(probe, addresses, deadline)
        except CheckFailed as end:
            verdict, detail = Verdict.FAILED, str(end)
        except CheckUnavailable as end:
            verdict, detail = Verdict.UNAVAILABLE, str(end)
        except CheckDenied as end:
            verdict, detail = Verdict.DENIED, str(end)
        except TimeoutError:
            verdict, detail = _timed_out(probe, seconds, loop.time() - deadline, looked_up=bool(addresses))
        except Exception as error:  # noqa: BLE001 - a defect of ours must not look like one of the service
            _log.exception("a probe broke", extra={"kind": probe.kind.name})
            verdict, detail = Verdict.UNAVAILABLE, f"the probe broke: {type(error).__name__}"
        return Outcome(verdict=verdict, kind=probe.kind, detail=detail[:DETAIL], latency_s=loop.time() - start)

    async def _over_http(self) -> "HttpProber":
        kind = await _imported(ProbeKind.HTTP, _http)
        if self._http is None:  # else another run was first
            self._http = kind(self._trust)
        return self._http

    async def _probe(self, probe: Probe, addresses: tuple[Address, ...], deadline: float) -> None:
        match probe:
            case HttpProbe():
                http = self._http or await self._over_http()
                await _first(addresses, deadline, lambda address: http.probe(probe, address))
            case TcpProbe():
                await _first(addresses, deadline, lambda address: probe_tcp(probe.port, address))
            case IcmpProbe():
                if self._icmp is None:
                    self._icmp = await _imported(ProbeKind.ICMP, _icmp)
                await _first(addresses, deadline, self._icmp)
            case GrpcProbe():
                if self._grpc is None:
                    self._grpc = await _imported(ProbeKind.GRPC, _grpc)
                ask = self._grpc
                await _first(addresses, deadline, lambda address: ask(probe, address, self._trust))
            case CustomProbe():
                await self._custom.probe(probe, addresses, deadline)


async def _first(addresses: tuple[Address, ...], deadline: float, probe: Callable[[Address], Awaitable[None]]) -> None:
    """Goes to the addresses in turn until one takes the connection; each gets its share of the time that is left."""
    loop = asyncio.get_running_loop()
    *others, last = addresses
    for index, address in enumerate(others):
        share_s = (deadline - loop.time()) / (len(addresses) - index)
        try:
            async with asyncio.timeout(share_s):
                return await probe(address)
        except (Unreached, TimeoutError):
            continue
    return await probe(last)


def _timed_out(probe: Probe, seconds: float, late_s: float, *, looked_up: bool) -> tuple[Verdict, str]:
    if late_s > STALL_S:
        return Verdict.UNAVAILABLE, f"the registry stood still for {late_s:.1f} s"
    if not looked_up:
        return Verdict.UNAVAILABLE, f"the registry's name servers did not answer in {seconds:g} s"
    if isinstance(probe, CustomProbe):
        return Verdict.UNAVAILABLE, f"the custom check did not answer in {seconds:g} s"
    return Verdict.FAILED, f"no answer in {seconds:g} s"
