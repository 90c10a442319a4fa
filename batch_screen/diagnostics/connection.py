"""Checks the connection to the API step by step: DNS, TCP, proxy, certificate, clock.

Sends no number and no key, so nothing can be billed: a HEAD of the base address, whose answer
tells the server's time, even if it is an error. A redirect is not followed; where the server hangs
up, aiohttp asks once more.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiohttp

from batch_screen import __version__
from batch_screen.api.client import proxy_of, tls_context
from batch_screen.config.sections import Api
from batch_screen.diagnostics.findings import (
    Finding,
    Health,
    failed,
    not_checked,
    of_error,
    passed,
    warning,
)
from batch_screen.errors import ApiError, ConfigurationError

STEPS = ("dns", "connection", "proxy", "tls", "clock")

_DAYS_TO_RENEW = 14
_DAY_SECONDS = 86_400
_MOST_SKEW_SECONDS = 5.0
_PORTS = {"https": 443, "http": 80}
_UNREACHABLE = ApiError.default_exit_code
_WRONG_SERVER = "check the host in api.base_url: another server answers there"
_DISTRUSTED = (
    "is a company proxy in between? then name its certificate in api.ca_file; never send "
    "a key there otherwise"
)
# By the X509_V_ERR_… of OpenSSL; any other is one of nobody who is trusted.
_CERTIFICATE_REMEDIES = {
    9: "check this machine's date; else its operator has to replace it",  # not yet valid
    10: "its operator has to renew it; check this machine's date as well",  # expired
    62: _WRONG_SERVER,  # a certificate for another name
    64: _WRONG_SERVER,  # or another address
}


class _Place(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


def connection_findings(api: Api) -> list[Finding]:
    """A finding for each of ``STEPS`` that applies; steps after a failure are not checked."""

    async def walk() -> list[Finding]:
        return [finding async for finding in _steps(api)]

    found = asyncio.run(walk())
    if found[-1].health is Health.FAILED:
        seen = {finding.name for finding in found} | (set() if proxy_of(api) else {"proxy"})
        why = f"the server was not reached: failed at {found[-1].name}"
        found += not_checked((step for step in STEPS if step not in seen), why)
    return found


async def _steps(api: Api) -> AsyncIterator[Finding]:
    """The findings in order; each step rests on the last, and a failure ends them."""
    proxy = proxy_of(api)
    first = _place(proxy or api.base_url)
    began = time.monotonic()
    lookup = asyncio.get_running_loop().getaddrinfo(*first, type=1)
    try:
        addresses = await asyncio.wait_for(lookup, api.connect_timeout_seconds)
    except (OSError, UnicodeError) as error:
        remedy = "check api.base_url and api.proxy, and this machine's DNS"
        yield failed("dns", f"{first.host}: {_reason(error)}", remedy, _UNREACHABLE)
        return
    count = len({address for *_, address in addresses})
    addresses_found = f"{count} addresses" if count > 1 else "1 address"
    yield passed("dns", f"{first.host} has {addresses_found}, {_since(began)}")
    began = time.monotonic()
    try:
        # Apart from the request, whose errors do not tell a closed port from one without TLS.
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(*first), api.connect_timeout_seconds
        )
    except OSError as error:
        remedy = "check address and firewall; where a proxy is needed, name it in api.proxy"
        yield failed("connection", f"{first}: {_reason(error)}", remedy, _UNREACHABLE)
        return
    yield passed("connection", f"{first}, {_since(began)}")
    writer.close()
    with suppress(OSError):  # nothing is wanted of it
        await writer.wait_closed()
    try:
        context = tls_context(api.ca_file)
    except ConfigurationError as error:
        yield of_error("tls", error)
        return
    async for finding in _request(api, proxy, context):
        yield finding


class _Connector(aiohttp.TCPConnector):
    """A connector that records the time of connecting and the server's certificate."""

    connected_at: float | None = None
    certificate: dict[str, Any] | None = None

    async def connect(self, *args: Any, **kwargs: Any) -> aiohttp.connector.Connection:
        connection = await super().connect(*args, **kwargs)
        self.connected_at = time.time()
        if connection.transport is not None:
            self.certificate = connection.transport.get_extra_info("peercert")
        return connection


async def _request(api: Api, proxy: str | None, tls: ssl.SSLContext) -> AsyncIterator[Finding]:
    """Sends a HEAD request to the base address; checks proxy, TLS and clock."""
    connector = _Connector(ssl=tls)
    limits = aiohttp.ClientTimeout(
        total=api.timeout_seconds, sock_connect=api.connect_timeout_seconds
    )
    headers = {"User-Agent": f"batch-screen/{__version__}", "Connection": "close"}
    is_secure = api.base_url.startswith("https:")
    failure, answer = None, None
    async with aiohttp.ClientSession(connector=connector, timeout=limits) as session:
        try:
            answer = await session.head(
                api.base_url, proxy=proxy, headers=headers, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError) as error:
            failure = _failure(error, api, proxy, is_connected=connector.connected_at is not None)
    ended = time.time()
    reached = STEPS.index(failure.name) if failure else len(STEPS)
    if proxy and reached > STEPS.index("proxy"):
        yield passed("proxy", f"{_place(proxy)}{' lets through' if is_secure else ''}")
    if reached > STEPS.index("tls"):
        certificate = connector.certificate if is_secure else None  # else it is a proxy's
        yield _certificate(_place(api.base_url).host, certificate)
    if failure:
        yield failure
    if answer:
        began = connector.connected_at or ended
        yield _clock(answer.headers.get("Date", ""), (began + ended) / 2)
        if 300 <= answer.status < 400:
            seen = f"the base address answers with a redirect (status {answer.status})"
            remedy = "check api.base_url: redirects are never followed, the key would travel"
            yield warning("redirect", seen, remedy)


def _failure(error: Exception, api: Api, proxy: str | None, *, is_connected: bool) -> Finding:
    server = _place(api.base_url)
    # Behind a proxy aiohttp raises the same errors for either end: the address tells them apart,
    # and a time-out while connecting is the server's, for the proxy was reached before.
    is_of_server = isinstance(error, aiohttp.ConnectionTimeoutError) or (
        isinstance(error, aiohttp.ClientConnectorError) and (error.host, error.port) == server
    )
    if proxy and not (is_connected or is_of_server):
        if isinstance(error, aiohttp.ClientHttpProxyError):
            seen = f"{_place(proxy)} refuses the way to the server with status {error.status}"
            who = "user and password in " if error.status == 407 else ""
            return failed("proxy", seen, f"check {who}api.proxy", _UNREACHABLE)
        seen = f"{_place(proxy)} does not answer as a proxy: {_reason(error)}"
        return failed("proxy", seen, "check api.proxy", _UNREACHABLE)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why: Any = error.certificate_error
        seen = f"the certificate of {server.host} does not verify: {why.verify_message}"
        remedy = _CERTIFICATE_REMEDIES.get(why.verify_code, _DISTRUSTED)
        return failed("tls", seen, remedy, _UNREACHABLE)
    if is_connected or api.base_url.startswith("http:"):
        seen = f"{server} does not answer in HTTP: {_reason(error)}"
        remedy = "check api.base_url: does this port belong to the API?"
        return failed("clock", seen, remedy, _UNREACHABLE)
    seen = f"{server} speaks no TLS that can be used: {_reason(error)}"
    remedy = "check api.base_url: does https belong to this port?"
    return failed("tls", seen, remedy, _UNREACHABLE)


def _certificate(host: str, certificate: dict[str, Any] | None) -> Finding:
    if certificate is None:
        return passed("tls", "not needed: http to this machine")
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    days = int(left // _DAY_SECONDS)
    seen = f"the certificate of {host} verifies, for {days:,} more days"
    if days < _DAYS_TO_RENEW:
        return warning("tls", seen, "ask its operator whether it will be renewed in time")
    return passed("tls", seen)


def _clock(date: str, local: float) -> Finding:
    """The local clock held against the server's, which counts whole seconds."""
    try:
        server = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        [finding] = not_checked(["clock"], "the server sends no usable Date header")
        return finding
    skew = local - server - 0.5
    if abs(skew) <= _MOST_SKEW_SECONDS:
        return passed("clock", f"within {_MOST_SKEW_SECONDS:g} s of the server's")
    direction = "ahead of" if skew > 0 else "behind"
    seen = f"{abs(skew):,.0f} s {direction} the server's"
    remedy = "set this machine's clock (NTP): run dates and time windows are taken from it"
    return warning("clock", seen, remedy)


def _place(url: str) -> _Place:
    address = urlsplit(url)
    return _Place(address.hostname or "", address.port or _PORTS[address.scheme])


def _reason(error: Exception) -> str:
    """The reason of a failure, without data that was sent."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closes the connection"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    if isinstance(error, OSError):
        is_systems = error.errno is not None and error.errno > 0  # those of DNS are negative
        said = os.strerror(error.errno or 0) if is_systems else error.strerror
        return said or type(error).__name__
    return "it is no HTTP" if isinstance(error, aiohttp.ClientError) else str(error)


def _since(began: float) -> str:
    return f"{1000 * (time.monotonic() - began):,.0f} ms"
