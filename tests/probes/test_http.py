"""HTTP probes against real servers, kind and unkind."""

import sys
import time

import pytest

from orion_registry.core.checks.spec import CheckSpec, HttpProbe
from orion_registry.core.checks.verdict import Verdict
from orion_registry.probes.prober import ProbeConfig, Prober
from tests.probes import targets
from tests.probes.conftest import Look

SHORT_S = 0.3


def _probe(port: int, host: str = "127.0.0.1", **fields: object) -> HttpProbe:
    return HttpProbe(host=host, port=port, **fields)  # type: ignore[arg-type]  # fields of a probe


async def test_a_good_answer_passes(look: Look) -> None:
    """The request is what the check says, with the name that the agent gave, and nothing more than needed."""
    async with targets.http(targets.answer()) as target:
        probe = _probe(
            target.port, "good.example", path="/a/../b//c?x=%41&y=/..", headers=(("user-agent", "me"), ("X-Key", "v"))
        )
        outcome = await look(probe)
        assert (outcome.verdict, outcome.detail, outcome.attempts) == (Verdict.PASSED, "", 1)
        assert 0 < outcome.latency_s < 2
        head = target.seen.requests[0].decode().split("\r\n")
        assert head[0] == "GET /a/../b//c?x=%41&y=/.. HTTP/1.1"
        assert sorted(line.lower() for line in head[1:] if line) == [
            "accept-encoding: identity",
            "accept: */*",
            "connection: close",
            f"host: good.example:{target.port}",
            "user-agent: me",
            "x-key: v",
        ]


async def test_head_and_other_ranges_of_status(look: Look) -> None:
    async with targets.http(targets.raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 99\r\n\r\n")) as target:
        outcome = await look(_probe(target.port, method="HEAD"))
        assert outcome.verdict is Verdict.PASSED
        assert target.seen.requests[0].startswith(b"HEAD / HTTP/1.1")
    async with targets.http(targets.answer("503 Down")) as target:
        assert (await look(_probe(target.port, status_min=500, status_max=503))).verdict is Verdict.PASSED
        outcome = await look(_probe(target.port))
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "status 503, not 200 to 299")


async def test_a_redirect_is_not_followed(look: Look) -> None:
    """Wherever it points: the other target sees no connection."""
    async with targets.http(targets.answer()) as other:
        for to in (f"http://127.0.0.1:{other.port}/", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"):
            for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
                async with targets.http(targets.answer(status, (f"Location: {to}",))) as target:
                    outcome = await look(_probe(target.port))
                    assert outcome.verdict is Verdict.FAILED
                    assert outcome.detail == f"status {status[:3]}, not 200 to 299"
                    assert target.seen.connections == 1
        assert other.seen.connections == 0


@pytest.mark.parametrize(
    "behaviour",
    [
        targets.hang,
        targets.drip(b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100, 0.02),
        targets.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"z", 0.02),
        targets.drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nz\r\n", 0.02),
    ],
    ids=["hangs", "drips its head", "drips its body", "drips chunks"],
)
async def test_the_time_out_is_of_the_whole_attempt(look: Look, behaviour: targets.Behaviour) -> None:
    """A byte now and then does not prolong it."""
    async with targets.http(behaviour) as target:
        began = time.perf_counter()
        outcome = await look(_probe(target.port), timeout_s=SHORT_S)
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "no answer in 0.3 s")
        assert SHORT_S <= time.perf_counter() - began < SHORT_S + 0.5


@pytest.mark.parametrize("head", [b"Content-Length: 1000000000\r\n\r\n", b"\r\n"], ids=["said", "unsaid"])
async def test_of_a_body_of_1_gb_little_is_taken(look: Look, head: bytes) -> None:
    """64 KiB are read; with the buffers of both kernels the sender gets rid of less than 1 MiB."""
    async with targets.http(targets.flood(b"HTTP/1.1 200 OK\r\n" + head, 1_000_000_000)) as target:
        outcome = await look(_probe(target.port))
        assert outcome.verdict is Verdict.PASSED
        print("bytes that the sender got rid of:", target.seen.sent)
        assert target.seen.sent < 1 << 20


async def test_headers_are_bounded(look: Look) -> None:
    async with targets.http(targets.flood(b"HTTP/1.1 200 OK\r\nX: ", 1_000_000_000)) as target:
        outcome = await look(_probe(target.port))
        assert (outcome.verdict, outcome.detail) == (
            Verdict.FAILED,
            "the answer is not HTTP, or its headers are too large",
        )
        assert target.seen.sent < 1 << 20
    many = b"".join(b"X-%d: y\r\n" % n for n in range(10_000))
    async with targets.http(targets.raw(b"HTTP/1.1 200 OK\r\n" + many + b"\r\n")) as target:
        assert (await look(_probe(target.port))).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("behaviour", "detail"),
    [
        (targets.raw(b"SSH-2.0-secret\r\n\r\n"), "the answer is not HTTP, or its headers are too large"),
        (targets.raw(b""), "closed without an answer"),
        (targets.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), "the body is cut short or garbled"),
        (
            targets.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
            "the answer is not HTTP, or its headers are too large",
        ),
        (targets.reset, "connection reset"),
        (targets.answer("500 secret"), "status 500, not 200 to 299"),
        (targets.answer("200 OK", ("Content-Length: 5",)), "the answer is not HTTP, or its headers are too large"),
    ],
    ids=["no HTTP", "closes", "cut short", "bad chunks", "resets", "500", "two lengths"],
)
async def test_a_bad_answer_fails_in_our_words(look: Look, behaviour: targets.Behaviour, detail: str) -> None:
    async with targets.http(behaviour) as target:
        outcome = await look(_probe(target.port))
        assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, detail)


async def test_nothing_is_unpacked(look: Look) -> None:
    """A body that claims to be packed is counted as it comes; rubbish in it is no failure."""
    async with targets.http(targets.answer("200 OK", ("Content-Encoding: gzip",), b"\0" * 100)) as target:
        assert (await look(_probe(target.port))).verdict is Verdict.PASSED


async def test_a_refused_connection_fails(look: Look) -> None:
    outcome = await look(_probe(targets.refusing()))
    assert (outcome.verdict, outcome.detail) == (Verdict.FAILED, "connection refused")


async def test_environment_proxies_and_cookies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with targets.http(targets.answer()) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with targets.http(targets.answer(headers=("Set-Cookie: a=b; Path=/",))) as target:
            prober = Prober(ProbeConfig())
            for _ in range(2):
                outcome = await prober.run(CheckSpec(name="c", probes=(_probe(target.port),)), "")
                assert outcome.verdict is Verdict.PASSED
            await prober.close()
            assert not any(b"cookie" in request.lower() for request in target.seen.requests)
            assert target.seen.connections == 2  # one each: nothing is kept
        assert proxy.seen.connections == 0


@pytest.mark.parametrize(
    ("cert", "host", "fields", "detail"),
    [
        ("good.pem", "good.example", {}, ""),
        ("good.pem", "127.0.0.1", {}, ""),
        ("good.pem", "2130706433", {"tls_name": "good.example"}, ""),
        ("good.pem", "wrong.example", {"tls_name": "good.example"}, ""),
        ("good.pem", "wrong.example", {}, "certificate refused: Hostname mismatch"),
        ("good.pem", "good.example", {"tls_name": "wrong.example"}, "certificate refused: Hostname mismatch"),
        ("expired.pem", "good.example", {}, "certificate refused: certificate has expired"),
        ("stranger.pem", "good.example", {}, "certificate refused: self"),
        ("stranger.pem", "wrong.example", {"verify": False}, ""),
    ],
)
async def test_certificates(look: Look, cert: str, host: str, fields: dict[str, object], detail: str) -> None:
    """The certificate is for the name, not the address that is connected to; the name stands in SNI and Host too."""
    async with targets.http(targets.answer(), cert=cert) as target:
        outcome = await look(_probe(target.port, host, https=True, **fields))
        assert outcome.verdict is (Verdict.FAILED if detail else Verdict.PASSED), outcome
        assert outcome.detail.startswith(detail)
        name = fields.get("tls_name") or host
        if str(name).endswith(".example"):
            assert target.seen.server_names == [name]
        if not detail:
            assert f"Host: {host}:{target.port}".encode() in target.seen.requests[0]


async def test_tls_with_somebody_who_speaks_none(look: Look) -> None:
    async with targets.http(targets.raw(b"HTTP/1.1 400 Bad\r\n\r\n")) as target:
        outcome = await look(_probe(target.port, https=True), timeout_s=SHORT_S)
        assert outcome.verdict is Verdict.FAILED
    async with targets.http(targets.answer(), cert="good.pem") as target:
        outcome = await look(_probe(target.port))
        assert outcome.verdict is Verdict.FAILED


async def test_without_aiohttp_a_check_says_what_to_install(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "orion_registry.probes.http", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    outcome = await look(_probe(1))
    assert outcome.verdict is Verdict.UNAVAILABLE
    assert outcome.detail == "HTTP checks need aiohttp: pip install 'orion-registry[server]'"
