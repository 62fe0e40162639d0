"""HTTP probe: passes if the status is in the range and the beginning of the body arrives."""

import ssl

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from orion_registry.core.checks.spec import HttpProbe
from orion_registry.probes.ends import CheckFailed
from orion_registry.probes.os_errors import end_of
from orion_registry.probes.resolve import Address
from orion_registry.probes.trust import Trust

BODY = 64 * 1024
"""Bytes of a body that are read, and thrown away."""
_LINE = 8 * 1024  # bytes of a header; there may be 128 of them
_BUFFER = 16 * 1024  # aiohttp stops reading at twice that

_HEADERS: dict[str, str] = {
    hdrs.USER_AGENT: "orion-registry-check",
    hdrs.ACCEPT: "*/*",
    hdrs.ACCEPT_ENCODING: "identity",
}


class HttpProber:
    """Sends requests to addresses. Each has a connection of its own; nothing is followed, unpacked or kept."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._session: aiohttp.ClientSession | None = None

    async def probe(self, probe: HttpProbe, address: Address) -> None:
        """Returns if it passed.

        Raises:
            Unreached: nobody accepts.
            CheckFailed: the answer is not as it should be.
            CheckUnavailable: an error of this machine.
        """
        try:
            await self._ask(probe, address)
        except aiohttp.ClientConnectorError as error:
            raise _end_of_tls(error.os_error) or end_of(error.os_error) from None
        except aiohttp.ClientSSLError as error:
            raise _end_of_tls(error) or CheckFailed("TLS failed") from None
        except aiohttp.ServerDisconnectedError:
            raise CheckFailed("closed without an answer") from None
        except aiohttp.ClientOSError as error:
            raise _end_of_tls(error) or CheckFailed(str(end_of(error))) from None
        except aiohttp.ClientPayloadError:
            raise CheckFailed("the body is cut short or garbled") from None
        except aiohttp.ClientError:
            raise CheckFailed("the answer is not HTTP, or its headers are too large") from None

    async def _ask(self, probe: HttpProbe, address: Address) -> None:
        session = self._session = self._session or _new_session()
        scheme = "https" if probe.https else "http"
        async with session.request(
            probe.method,
            URL(f"{scheme}://{address.in_url}:{probe.port}{probe.path or '/'}", encoded=True),
            headers=_headers(probe),
            allow_redirects=False,
            ssl=self._trust.verifying if probe.verify else self._trust.lax,
            server_hostname=(probe.tls_name or probe.host) if probe.https else None,
        ) as response:
            if not probe.status_min <= response.status <= probe.status_max:
                raise CheckFailed(f"status {response.status}, not {probe.status_min} to {probe.status_max}")
            await _read(response.content)

    async def close(self) -> None:
        """Closes what is open."""
        if self._session is not None:
            await self._session.close()


def _headers(probe: HttpProbe) -> CIMultiDict[str]:
    headers = CIMultiDict(_HEADERS)
    headers.update(probe.headers)
    headers[hdrs.HOST] = _authority(probe)
    return headers


async def _read(body: aiohttp.StreamReader) -> None:
    left = BODY
    while left > 0:
        chunk = await body.read(left)
        if not chunk:
            return
        left -= len(chunk)


def _authority(probe: HttpProbe) -> str:
    host = f"[{probe.host.partition('%')[0]}]" if ":" in probe.host else probe.host
    return host if probe.port == (443 if probe.https else 80) else f"{host}:{probe.port}"


def _new_session() -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        # Targets are addresses: aiohttp looks up nothing. A connection is never used twice. The caps are the core's.
        connector=aiohttp.TCPConnector(force_close=True, use_dns_cache=False, limit=0, happy_eyeballs_delay=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the caller's ends it
        auto_decompress=False,
        trust_env=False,  # no proxies
        read_bufsize=_BUFFER,
        max_line_size=_LINE,
        max_field_size=_LINE,
    )
    session._retry_connection = False  # else it asks twice if a target closes at once; the retries are the check's
    return session


def _end_of_tls(error: BaseException) -> CheckFailed | None:
    """What went wrong with TLS, None if something else did. The words are OpenSSL's and ours."""
    while not isinstance(error, ssl.SSLError | ssl.CertificateError):
        inner = error.__cause__ or error.__context__
        if inner is None:
            return None
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return CheckFailed(f"certificate refused: {error.verify_message}"[:200])
    return CheckFailed("TLS failed")
