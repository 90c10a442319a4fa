"""The API client: makes one attempt and returns an ``Answer``. Nothing else calls the API.

Decides nothing about retries or pace. Every failure of the transport is translated here:
what concerns the lookup becomes an ``Answer``, what concerns the environment for good (a
certificate that does not verify) is raised. No exception text of aiohttp is passed on: its
``repr`` holds the request's headers, the key among them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
from yarl import URL

from batch_screen import __version__
from batch_screen.api.answers import (
    ANOTHER_NUMBER,
    MALFORMED_HTTP,
    MISDIRECTED,
    TRUNCATED,
    read_answer,
    utc_now,
)
from batch_screen.api.correlators import Correlators
from batch_screen.api.deadline import Deadlines
from batch_screen.api.transport import Connection, MalformedError, QuietConnector, Reply, Transport
from batch_screen.config.sections import Api, Dialect
from batch_screen.errors import ApiError, ConfigurationError
from batch_screen.model import CANNOT_CONNECT, Answer, Endpoint, Lookup, OutcomeKind

# Where each endpoint lives and what is sent to it (reference page, "POST /…" sections).
#
# The vendor later moved call forwarding under the same version, so paths are configuration:
# a dialect chooses a set, single paths can be overridden.

_PAGE = {endpoint: f"/{endpoint.value}" for endpoint in Endpoint}
PATHS = {
    Dialect.PAGE: _PAGE,
    Dialect.LATER: {
        **_PAGE,
        Endpoint.CALL_FORWARDING_CHECK: "/call-forwarding/unconditional/check",
    },
}


def url(api: Api, endpoint: Endpoint) -> str:
    """The full address of an endpoint.

    >>> url(Api(dialect=Dialect.LATER), Endpoint.CALL_FORWARDING_CHECK)
    'https://api.tyntec.com/network-signal/v1/call-forwarding/unconditional/check'
    """
    return api.base_url + api.paths.get(endpoint, PATHS[api.dialect][endpoint])


def body(lookup: Lookup) -> bytes:
    """The request's JSON body; a window is always sent, because the server's default is short.

    >>> body(Lookup("+447700900000", Endpoint.SIM_SWAP_CHECK, 2400))
    b'{"phoneNumber":"+447700900000","maxAge":2400}'
    """
    content: dict[str, str | int] = {"phoneNumber": lookup.e164}
    if lookup.max_age_minutes is not None:
        content["maxAge"] = lookup.max_age_minutes
    return msgspec.json.encode(content)


ANOTHERS = "wrong_correlator"
_KEEP_ALIVE_SECONDS = 15.0
# Where one answer went astray, the next on that connection is late by a question as well; and a
# 421 says itself that it is the connection that is the wrong one (RFC 9110, 15.5.20).
_ASK_ON_ANOTHER = frozenset({ANOTHERS, ANOTHER_NUMBER, MISDIRECTED})
_ABOUT_THE_ACCOUNT = frozenset({401, 402, 408, 429})
_NOT_IMPLEMENTED = 501

# The first class that fits counts, so subclasses come first.
_TRANSPORT: tuple[tuple[type[BaseException], OutcomeKind, str], ...] = (
    (aiohttp.ConnectionTimeoutError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (TimeoutError, OutcomeKind.TIMEOUT, "no_answer_in_time"),
    (aiohttp.ClientConnectorDNSError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientConnectorError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientHttpProxyError, OutcomeKind.UNREACHABLE, CANNOT_CONNECT),
    (aiohttp.ClientPayloadError, OutcomeKind.BAD_RESPONSE, TRUNCATED),
    (MalformedError, OutcomeKind.BAD_RESPONSE, MALFORMED_HTTP),
    # Has a status, but a made-up one: not to be mistaken for the API's "invalid number".
    (aiohttp.ClientResponseError, OutcomeKind.BAD_RESPONSE, MALFORMED_HTTP),
    (aiohttp.ServerDisconnectedError, OutcomeKind.UNREACHABLE, "connection_lost"),
    (aiohttp.ClientError, OutcomeKind.UNREACHABLE, "connection_lost"),
    (OSError, OutcomeKind.UNREACHABLE, "connection_lost"),
)


class Client:
    """API client, one attempt per call; use as an async context manager."""

    def __init__(
        self, api: Api, key: str, *, max_connections: int, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """``clock`` is the API's current time: the sandbox may be in another day."""
        self._api = api
        self._key = key
        self._headers = {
            "apiKey": key,
            "Content-Type": "application/json",
            "Accept": "application/json",
            # Packing so few bytes costs more than it saves; who packs all the same is read.
            "Accept-Encoding": "identity",
            "User-Agent": f"batch-screen/{__version__}",
        }
        self._max_connections = max_connections
        self._transports: dict[Endpoint, Transport] = {}
        self._clock = clock
        self._correlators = Correlators()

    async def __aenter__(self) -> Self:
        api = self._api
        self._connector = QuietConnector(
            limit=self._max_connections,
            ssl=tls_context(api.ca_file) if api.ca_file else True,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
        )
        self._loop = loop = asyncio.get_running_loop()
        deadlines = Deadlines()
        for endpoint in Endpoint:
            address = URL(url(api, endpoint))
            proxy = _proxy(api, address)
            request = aiohttp.ClientRequest(
                "POST", address, headers=self._headers, proxy=proxy, loop=loop
            )
            self._transports[endpoint] = Transport(
                self._connector,
                deadlines,
                request,
                connect_timeout_seconds=api.connect_timeout_seconds,
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transports.clear()
        await self._connector.close()

    async def ask(self, lookup: Lookup, correlator: str) -> Answer:
        """Makes one attempt and returns its answer. Raises ``ApiError`` if none can succeed."""
        transport = self._transports.get(lookup.endpoint)
        if transport is None:
            raise RuntimeError("Client is used outside its context")
        limit = self._loop.time() + self._api.timeout_seconds
        self._correlators.sent(correlator)
        try:
            reply, connection = await transport.ask(body(lookup), correlator, limit)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ApiError(
                f"the certificate of {self._api.base_url} does not verify; if a company proxy is "
                "in between, name its certificate in api.ca_file"
            ) from error
        except (aiohttp.ClientError, MalformedError, OSError) as error:
            kind, reason = next((k, r) for family, k, r in _TRANSPORT if isinstance(error, family))
            return Answer(kind=kind, reason=reason)
        finally:
            self._correlators.ended(correlator)
        answer = self._read(lookup, correlator, reply, connection)
        if answer.reason in _ASK_ON_ANOTHER:
            connection.close()
        return answer

    def _read(
        self, lookup: Lookup, correlator: str, reply: Reply, connection: Connection
    ) -> Answer:
        """Parses the reply, unless it belongs to another request."""
        # A dead key, a rate and an outage count, for whichever request they were.
        is_outage = reply.status >= 500 and reply.status != _NOT_IMPLEMENTED
        is_everybodys = is_outage or reply.status in _ABOUT_THE_ACCOUNT
        answers_another = self._correlators.answers_another(reply.headers, correlator, connection)
        if answers_another and not is_everybodys:
            return Answer(kind=OutcomeKind.UNREACHABLE, reason=ANOTHERS)
        return read_answer(
            lookup, reply.status, reply.headers, reply.body, secret=self._key, clock=self._clock
        )


def _proxy(api: Api, address: URL) -> URL | None:
    """The proxy of the settings, else the environment's if that is trusted."""
    if api.proxy:
        return URL(api.proxy)
    host = address.host or ""
    if not api.trust_environment_proxies or proxy_bypass(host):
        return None
    found = getproxies().get(address.scheme)
    return URL(found) if found else None


def proxy_of(api: Api) -> str | None:
    """The address of the proxy in use, if any; it may contain a password."""
    proxy = _proxy(api, URL(api.base_url))
    return str(proxy) if proxy else None


def tls_context(ca_file: str) -> ssl.SSLContext:
    """The TLS context to verify with. Raises ``ConfigurationError`` on a bad ``ca_file``."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"api.ca_file: cannot read certificates from {ca_file}; name a PEM file"
        ) from error
