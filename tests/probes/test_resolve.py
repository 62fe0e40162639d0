"""Look-ups: once for each attempt, every address judged, and connections to these alone."""

import asyncio
import socket
import threading

import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from orion_registry.core.checks.spec import CheckSpec, GrpcProbe, HttpProbe, TcpProbe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.probes import lookup as lookup_module
from orion_registry.probes.egress import EgressPolicy
from orion_registry.probes.ends import CheckDenied, CheckFailed, CheckUnavailable
from orion_registry.probes.lookup import SystemLookup, end_of_lookup, literal
from orion_registry.probes.prober import ProbeConfig, Prober
from orion_registry.probes.resolve import Resolver
from tests.probes import targets


class Answers:
    """A name server that answers in turn; the last answer stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str) -> tuple[str, ...]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_an_answer_that_changes_between_look_ups_leads_nowhere_else() -> None:
    """One look-up for each attempt: what it said is judged and connected to, whatever the next one would say."""
    async with targets.http(targets.answer()) as target:
        for probe in (
            HttpProbe(host="rebind.example", port=target.port),
            TcpProbe(host="rebind.example", port=target.port),
        ):
            answers = Answers(("127.0.0.1",), ("169.254.169.254",))
            prober = Prober(ProbeConfig(), lookup=answers)
            check = CheckSpec(name="c", probes=(probe,))
            assert (await prober.run(check, "")).verdict is Verdict.PASSED
            assert answers.asked == 1
            outcome = await prober.run(check, "")
            assert (outcome.verdict, outcome.detail) == (
                Verdict.DENIED,
                "169.254.169.254 is a cloud metadata address",
            )
            assert answers.asked == 2
            await prober.close()
        assert b"Host: rebind.example:" in target.seen.requests[0]


async def test_the_connection_goes_to_the_address_that_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's resolver is never asked again, by any library: here it would send everybody to 127.0.0.2."""
    real = socket.getaddrinfo

    def poisoned(host: object, *args: object, **kwargs: object) -> object:
        if str(host).endswith(".example") and not kwargs.get("flags"):
            host = "127.0.0.2"
        return real(host, *args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", poisoned)
    async with targets.http(targets.answer()) as target, targets.grpc_health() as (port, servicer):
        await servicer.set("", HealthCheckResponse.SERVING)
        prober = Prober(ProbeConfig(), lookup=Answers(("127.0.0.1",)))
        for probe in (
            HttpProbe(host="a.example", port=target.port),
            TcpProbe(host="a.example", port=target.port),
            GrpcProbe(host="a.example", port=port),
        ):
            assert (await prober.run(CheckSpec(name="c", probes=(probe,)), "")).verdict is Verdict.PASSED
        await prober.close()


async def test_one_closed_address_closes_the_name() -> None:
    with targets.listener() as port:
        prober = Prober(ProbeConfig(), lookup=Answers(("127.0.0.1", "10.0.0.1")))
        outcome = await prober.run(CheckSpec(name="c", probes=(TcpProbe(host="two.example", port=port),)), "")
        assert outcome.verdict is Verdict.DENIED
        assert outcome.detail.startswith("10.0.0.1 is not")
        await prober.close()


async def test_the_addresses_of_a_name_are_tried_in_turn() -> None:
    """Nobody listens on ::1; localhost is well all the same."""
    with targets.listener() as port:
        prober = Prober(ProbeConfig(), lookup=Answers(("::1", "127.0.0.1")))
        for kind in (TcpProbe, GrpcProbe):
            probe = kind(host="localhost", port=port)
            outcome = await prober.run(CheckSpec(name="c", probes=(probe,), timeout_s=0.3), "")
            # the listener does not speak gRPC: a connection that waits was taken
            assert outcome.verdict is Verdict.PASSED or outcome.detail == "no answer in 0.3 s"
        gone = TcpProbe(host="localhost", port=targets.refusing())
        outcome = await prober.run(CheckSpec(name="c", probes=(gone,)), "")
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "connection refused")
        await prober.close()


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        (socket.EAI_NONAME, Verdict.FAILED),
        (socket.EAI_FAIL, Verdict.FAILED),
        (socket.EAI_AGAIN, Verdict.UNAVAILABLE),
        (socket.EAI_SYSTEM, Verdict.UNAVAILABLE),
        (socket.EAI_MEMORY, Verdict.UNAVAILABLE),
    ],
)
async def test_a_name_without_address_fails_and_a_broken_resolver_does_not(
    monkeypatch: pytest.MonkeyPatch, code: int, verdict: Verdict
) -> None:
    real = socket.getaddrinfo

    def broken(host: str, *args: object, **kwargs: object) -> object:
        if host == "x.example" and not kwargs.get("flags"):
            raise socket.gaierror(code, "text")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", broken)
    prober = Prober(ProbeConfig())
    outcome = await prober.run(CheckSpec(name="c", probes=(TcpProbe(host="x.example", port=1),)), "")
    assert outcome.verdict is verdict
    await prober.close()


def test_a_name_that_cannot_be_encoded_has_no_address() -> None:
    assert isinstance(end_of_lookup(UnicodeError()), CheckFailed)


async def test_name_servers_that_keep_silent_make_nobody_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when all threads are taken; an address needs none of them."""
    silence = threading.Event()
    real = socket.getaddrinfo

    def silent(host: str, *args: object, **kwargs: object) -> object:
        if host.endswith(".example") and not kwargs.get("flags"):
            silence.wait(30)
            raise socket.gaierror(socket.EAI_NONAME, "text")
        return real(host, *args, **kwargs)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    prober = Prober(ProbeConfig())
    with targets.listener() as port:
        checks = [
            CheckSpec(name="c", probes=(TcpProbe(host=f"{n}.example", port=port),), timeout_s=0.3)
            for n in range(lookup_module.THREADS + 4)
        ]
        outcomes = await asyncio.gather(*(prober.run(check, "") for check in checks))
        assert {(outcome.verdict, outcome.detail) for outcome in outcomes} == {
            (Verdict.UNAVAILABLE, "the registry's name servers did not answer in 0.3 s")
        }
        by_address = CheckSpec(name="c", probes=(TcpProbe(host="127.0.0.1", port=port),))
        assert (await prober.run(by_address, "")).verdict is Verdict.PASSED
    silence.set()
    await prober.close()


async def test_who_asks_at_the_same_time_shares_a_look_up_and_no_answer_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def texts(host: str, flags: int) -> tuple[str, ...]:
        asked.append(host)
        return ("127.0.0.1",)

    monkeypatch.setattr(lookup_module, "_texts", texts)
    lookup = SystemLookup()
    assert await asyncio.gather(*(lookup("a.example") for _ in range(50))) == [("127.0.0.1",)] * 50
    assert asked == ["a.example"]
    await lookup("a.example")
    assert asked == ["a.example"] * 2
    await lookup.close()


async def test_who_gives_up_takes_the_answer_from_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(lookup_module, "_texts", lambda host, flags: go.wait(10) and ("127.0.0.1",))
    lookup = SystemLookup()
    first, second = (asyncio.ensure_future(lookup("a.example")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    go.set()
    assert await second == ("127.0.0.1",)
    await lookup.close()


async def test_the_system_knows_localhost() -> None:
    lookup = SystemLookup()
    assert set(await lookup("localhost")) <= {"127.0.0.1", "::1"}
    with pytest.raises((CheckFailed, CheckUnavailable)):
        await lookup("no-such-host.invalid")
    await lookup.close()


def test_spellings_of_addresses_are_addresses() -> None:
    assert literal("2130706433") == ("127.0.0.1",)
    assert literal("fe80::1%lo") == ("fe80::1%1",)
    assert literal("localhost") is None
    assert literal("a" * 70 + ".example") is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1\0.good.example", "127.0.0.1\0", "127.0.0.1 x", "127.0.0.1\n", "u@a.example", "a.example:80", "a" * 254],
)
async def test_what_is_no_name_is_never_asked_for(host: str) -> None:
    """C would take the first for 127.0.0.1."""
    answers = Answers(("127.0.0.1",))
    with pytest.raises(CheckFailed):
        await Resolver(EgressPolicy(), answers).resolve(host, "")
    assert answers.asked == 0


async def test_a_zone_that_is_not_there_opens_nothing() -> None:
    resolver = Resolver(EgressPolicy(), Answers(()))
    with pytest.raises(CheckDenied):
        await resolver.resolve("fe80::1%1", "fe80::1%nosuch")
    with pytest.raises(CheckFailed):
        await resolver.resolve("nothing.example", "")
