"""Makes one attempt and brings back an ``Answer``: the only client of the API.

Decides nothing about retries or pace. Every failure of the transport is translated here:
what concerns the lookup becomes an ``Answer``, what concerns the environment for good (a
certificate that does not verify) is raised. No exception text of aiohttp is passed on: its
``repr`` holds the request's headers, the key among them.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from batch_screen.api.answers import TRUNCATED, read_answer
from batch_screen.api.connections import QuietConnector
from batch_screen.api.deadline import Deadlines
from batch_screen.api.endpoints import body, url
from batch_screen.api.wire import MalformedError, Wire
from batch_screen.config.api import Api
from batch_screen.errors import ApiError, ConfigurationError
from batch_screen.model import CANNOT_CONNECT, Answer, Endpoint, Lookup, OutcomeKind
from batch_screen.version import __version__

ANOTHERS = "wrong_correlator"
_KEEP_ALIVE_SECONDS = 15.0
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
    (MalformedError, OutcomeKind.BAD_RESPONSE, "malformed_http"),
    # Has a status, but a made-up one: not to be mistaken for the API's "invalid number".
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
        self._headers = {
            "apiKey": key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            # A compressed megabyte of zeros would unpack to gigabytes.
            "Accept-Encoding": "identity",
            "User-Agent": f"batch-screen/{__version__}",
        }
        self._max_connections = max_connections
        self._wires: dict[Endpoint, Wire] = {}
        self._is_echoed = False

    async def __aenter__(self) -> Self:
        api = self._api
        self._connector = QuietConnector(
            limit=self._max_connections,
            ssl=_tls(api.ca_file),
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
        )
        self._loop = asyncio.get_running_loop()
        deadlines = Deadlines()
        self._wires = {
            endpoint: Wire(
                self._connector,
                deadlines,
                self._request(endpoint),
                connect_timeout_seconds=api.connect_timeout_seconds,
            )
            for endpoint in Endpoint
        }
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._wires.clear()
        await self._connector.close()

    async def ask(self, lookup: Lookup, correlator: str) -> Answer:
        """What one attempt brought back. Raises ``ApiError`` where no attempt can succeed."""
        wire = self._wires.get(lookup.endpoint)
        if wire is None:
            raise RuntimeError("Client is used outside its context")
        limit = self._loop.time() + self._api.timeout_seconds
        try:
            reply = await wire.ask(body(lookup), correlator, limit)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ApiError(_certificate_message(self._api)) from error
        except (aiohttp.ClientError, MalformedError, OSError) as error:
            return _transport_answer(error)
        answer = read_answer(lookup, reply.status, reply.headers, reply.body, secret=self._key)
        if self._is_anothers(answer, reply.headers.get("x-correlator"), correlator):
            return Answer(kind=OutcomeKind.UNREACHABLE, reason=ANOTHERS)
        return answer

    def _request(self, endpoint: Endpoint) -> aiohttp.ClientRequest:
        address = URL(url(self._api, endpoint))
        proxy = _proxy(self._api, address)
        return aiohttp.ClientRequest(
            "POST", address, headers=self._headers, proxy=proxy, loop=self._loop
        )

    def _is_anothers(self, answer: Answer, echoed: str | None, correlator: str) -> bool:
        """Whether this is the answer to another request, sent the wrong way on the server's side.

        Only told of servers that have repeated a correlator: others may put one of their own
        there. A refused key and an outage concern everybody, whoever asked.
        """
        self._is_echoed = self._is_echoed or echoed == correlator
        is_wrong = echoed is not None and echoed != correlator
        return self._is_echoed and is_wrong and answer.kind in _ABOUT_THE_LOOKUP


def _transport_answer(error: BaseException) -> Answer:
    kind, reason = next((k, r) for family, k, r in _TRANSPORT if isinstance(error, family))
    return Answer(kind=kind, reason=reason)


def _proxy(api: Api, address: URL) -> URL | None:
    """The proxy of the settings, else the environment's where that is trusted."""
    if api.proxy:
        return URL(api.proxy)
    host = address.host or ""
    if not api.trust_environment_proxies or proxy_bypass(host):
        return None
    found = getproxies().get(address.scheme)
    return URL(found) if found else None


def proxy_of(api: Api) -> str | None:
    """The address of the proxy on the way to the API, if there is one; it may hold a password."""
    proxy = _proxy(api, URL(api.base_url))
    return str(proxy) if proxy else None


def tls_context(ca_file: str) -> ssl.SSLContext:
    """What certificates are verified with. Raises ``ConfigurationError`` on a bad ``ca_file``."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"api.ca_file: cannot read certificates from {ca_file}; name a PEM file"
        ) from error


def _tls(ca_file: str) -> ssl.SSLContext | bool:
    return tls_context(ca_file) if ca_file else True


def _certificate_message(api: Api) -> str:
    return (
        f"the certificate of {api.base_url} does not verify; if a company proxy is in between, "
        "name its certificate in api.ca_file"
    )
