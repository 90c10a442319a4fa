"""Sends one attempt and brings back an ``Answer``; the only place that touches aiohttp.

Decides nothing about retries or pace. Every failure of the transport is translated here:
what concerns the lookup becomes an ``Answer``, what concerns the environment for good (a
certificate that does not verify) is raised. No exception text of aiohttp is passed on: its
``repr`` holds the request's headers, the key among them.
"""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from time import perf_counter
from types import TracebackType
from typing import Self

import aiohttp
import msgspec.structs
from yarl import URL

from batch_screen.api.answers import MAX_BODY_BYTES, TRUNCATED, read_answer
from batch_screen.api.connections import QuietConnector
from batch_screen.api.deadline import Deadline
from batch_screen.api.endpoints import body, url
from batch_screen.config.settings import Api
from batch_screen.errors import ApiError, ConfigurationError
from batch_screen.model import CANNOT_CONNECT, Answer, Endpoint, Lookup, OutcomeKind
from batch_screen.version import __version__

ANOTHERS = "wrong_correlator"
_KEEP_ALIVE_SECONDS = 15.0
_CHUNK_BYTES = 16 * 1024
_OK = 200
_ERROR_BODY_SECONDS = 2.0
"""A page of error that drips would hold its slot until the timeout; its status says enough."""
_ABOUT_THE_LOOKUP = frozenset(
    {
        OutcomeKind.SUCCESS,
        OutcomeKind.BAD_RESPONSE,
        OutcomeKind.REJECTED,
        OutcomeKind.NOT_FOUND,
        OutcomeKind.NOT_APPLICABLE,
    }
)

# The first class that fits counts, so subclasses come first.
_TRANSPORT: tuple[tuple[type[BaseException], OutcomeKind, str], ...] = (
    (aiohttp.ConnectionTimeoutError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (TimeoutError, OutcomeKind.TIMEOUT, "no_answer_in_time"),
    (aiohttp.ClientConnectorDNSError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientConnectorError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientHttpProxyError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientPayloadError, OutcomeKind.BAD_RESPONSE, TRUNCATED),
    # aiohttp reports malformed HTTP as a response error with status 400, which must not
    # be mistaken for the API's "invalid number".
    (aiohttp.ClientResponseError, OutcomeKind.BAD_RESPONSE, "malformed_http"),
    (aiohttp.ServerDisconnectedError, OutcomeKind.UNREACHABLE, "connection_lost"),
    (aiohttp.ClientError, OutcomeKind.UNREACHABLE, "connection_lost"),
    (OSError, OutcomeKind.UNREACHABLE, "connection_lost"),
)


class Client:
    """Asks the API, one attempt at a time; use as an async context manager."""

    def __init__(self, api: Api, key: str, *, max_connections: int) -> None:
        self._api = api
        self._key = key
        self._urls = {endpoint: URL(url(api, endpoint)) for endpoint in Endpoint}
        self._headers = {
            "apiKey": key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A compressed megabyte of zeros would unpack to gigabytes.
            "Accept-Encoding": "identity",
            "User-Agent": f"batch-screen/{__version__}",
        }
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None
        self._is_echoed = False

    async def __aenter__(self) -> Self:
        connector = QuietConnector(
            limit=self._max_connections,
            ssl=_tls(self._api.ca_file),
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=self._headers,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=self._api.trust_environment_proxies,
            # The rest is a Deadline's: one byte a second would satisfy any limit on a read.
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._api.connect_timeout_seconds
            ),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, lookup: Lookup, correlator: str) -> Answer:
        """What one attempt brought back. Raises ``ApiError`` where no attempt can succeed."""
        began = perf_counter()
        try:
            answer = await self._attempt(lookup, correlator)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ApiError(_certificate_message(self._api)) from error
        except (aiohttp.ClientError, OSError) as error:
            answer = _transport_answer(error)
        return _stamped(answer, (perf_counter() - began) * 1000)

    async def _attempt(self, lookup: Lookup, correlator: str) -> Answer:
        if self._session is None:
            raise RuntimeError("Client is used outside its context")
        limit = asyncio.get_running_loop().time() + self._api.timeout_seconds
        async with Deadline(limit):
            response = await self._session.post(
                self._urls[lookup.endpoint],
                data=body(lookup),
                headers={"x-correlator": correlator},
                # aiohttp carries the apiKey header over to the other host.
                allow_redirects=False,
                proxy=self._api.proxy or None,
            )
        async with response:
            content = await _read_body(response, limit)
            answer = read_answer(
                lookup, response.status, response.headers, content, secret=self._key
            )
            if self._is_anothers(answer, response.headers.get("x-correlator"), correlator):
                return Answer(kind=OutcomeKind.UNREACHABLE, reason=ANOTHERS)
            return answer

    def _is_anothers(self, answer: Answer, echoed: str | None, correlator: str) -> bool:
        """Whether this is the answer to another request, sent the wrong way on the server's side.

        Only told of servers that have repeated a correlator: others may put one of their own
        there. A refused key and an outage concern everybody, whoever asked.
        """
        self._is_echoed = self._is_echoed or echoed == correlator
        is_wrong = echoed is not None and echoed != correlator
        return self._is_echoed and is_wrong and answer.kind in _ABOUT_THE_LOOKUP


async def _read_body(response: aiohttp.ClientResponse, limit: float) -> bytes:
    """The body, cut off (and the connection closed) soon after it exceeds the cap.

    ``limit`` is an instant of the loop's clock; later it raises ``TimeoutError``. Of an error
    answer, as much as can be had in a short while: its status and headers say enough, and a dead
    key or a Retry-After must not be lost because the page that comes with it is.
    """
    content = bytearray()
    if response.status != _OK:
        limit = min(limit, asyncio.get_running_loop().time() + _ERROR_BODY_SECONDS)
    try:
        if response.content.is_eof():  # it came with the head: nothing to wait for
            return response.content.read_nowait()
        async with Deadline(limit):
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                content += chunk
                if len(content) > MAX_BODY_BYTES:
                    response.close()
                    break
    except (aiohttp.ClientError, OSError):  # a timeout is an OSError
        response.close()
        if response.status == _OK:
            raise
    return bytes(content)


def _transport_answer(error: BaseException) -> Answer:
    kind, reason = next((k, r) for family, k, r in _TRANSPORT if isinstance(error, family))
    return Answer(kind=kind, reason=reason)


def _stamped(answer: Answer, latency_ms: float) -> Answer:
    return msgspec.structs.replace(
        answer, latency_ms=round(latency_ms, 3), responded_at=datetime.now(UTC)
    )


def _tls(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"api.ca_file: cannot read certificates from {ca_file}; name a PEM file"
        ) from error


def _certificate_message(api: Api) -> str:
    return (
        f"the certificate of {api.base_url} does not verify; if a company proxy is in between, "
        "name its certificate in api.ca_file"
    )
