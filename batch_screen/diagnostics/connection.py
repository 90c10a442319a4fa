"""The way to the API, step by step: name, connection, proxy, certificate, clock.

Sends no number and no key, so nothing can be billed: one HEAD of the base address, whose answer
tells the server's time, whatever else it says. A redirect is not followed.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import time
from collections.abc import Awaitable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from batch_screen import __version__
from batch_screen.api.client import proxy_of, tls_context
from batch_screen.config.sections import Api
from batch_screen.diagnostics.findings import Finding, failed, not_checked, warning, well
from batch_screen.errors import ApiError, ConfigurationError

STEPS = ("dns", "connection", "proxy", "tls", "clock")

_MOST_BYTES = 64 * 1024
_DAYS_TO_RENEW = 14
_DAY_SECONDS = 86_400
_MOST_SKEW_SECONDS = 5.0
_PORTS = {"https": 443, "http": 80}
_UNREACHABLE = ApiError.default_exit_code
# X509_V_ERR_… of OpenSSL: what a person can do differs.
_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64

T = TypeVar("T")
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Failure(Exception):  # noqa: N818 (it carries what was found)
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.seen)
        self.finding = finding


class _Place(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host} port {self.port}"


def connection_findings(api: Api) -> list[Finding]:
    """One finding for each of ``STEPS`` that there is; those behind a failure are not checked."""
    return asyncio.run(_findings(api))


async def _findings(api: Api) -> list[Finding]:
    found: list[Finding] = []
    try:
        await _Way(api, found).walk()
    except _Failure as failure:
        found.append(failure.finding)
        left = STEPS[STEPS.index(failure.finding.name) + 1 :]
        proxied = proxy_of(api)
        why = f"the way to the server ends before, at {failure.finding.name}"
        found += not_checked((s for s in left if s != "proxy" or proxied), why)
    return found


class _Way:
    """The way to one server, on which each step stands on the last."""

    def __init__(self, api: Api, found: list[Finding]) -> None:
        self._api = api
        self._found = found
        self._address = urlsplit(api.base_url)
        self._server = _place(self._address)
        proxy = proxy_of(api)
        self._proxy = urlsplit(proxy) if proxy else None

    async def walk(self) -> None:
        first = _place(self._proxy) if self._proxy else self._server
        await self._resolve(first)
        reader, writer = await self._connect(first)
        try:
            if self._proxy is not None:
                await self._pass_proxy(self._proxy, reader, writer)
            await self._secure(writer)
            await self._compare_clocks(reader, writer)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):  # nothing more is wanted of it
                await self._soon(writer.wait_closed())

    async def _resolve(self, place: _Place) -> None:
        loop = asyncio.get_running_loop()
        began = time.monotonic()
        try:
            addresses = await self._soon(loop.getaddrinfo(place.host, place.port, type=1))
        except (OSError, UnicodeError) as error:
            remedy = "check api.base_url and api.proxy, and this machine's DNS"
            seen = f"{place.host}: {_reason(error)}"
            raise _Failure(failed("dns", seen, remedy, _UNREACHABLE)) from error
        count = len({address for *_, address in addresses})
        addresses_found = f"{count} addresses" if count > 1 else "1 address"
        self._well("dns", f"{place.host} has {addresses_found}, {_since(began)}")

    async def _connect(self, place: _Place) -> _Streams:
        began = time.monotonic()
        try:
            streams = await self._soon(asyncio.open_connection(*place, limit=_MOST_BYTES))
        except OSError as error:
            remedy = "check address and firewall; where a proxy is needed, name it in api.proxy"
            seen = f"{place}: {_reason(error)}"
            raise _Failure(failed("connection", seen, remedy, _UNREACHABLE)) from error
        self._well("connection", f"{place}, {_since(began)}")
        return streams

    async def _pass_proxy(
        self, proxy: SplitResult, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self._address.scheme != "https":
            self._well("proxy", f"{_place(proxy)}")
            return
        target = f"{self._server.host}:{self._server.port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *_authorisation(proxy)]
        try:
            if proxy.scheme == "https":
                await self._soon(writer.start_tls(self._context(), server_hostname=proxy.hostname))
            status, _ = await self._asked(lines, reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            seen = f"{_place(proxy)} does not answer as a proxy: {_reason(error)}"
            finding = failed("proxy", seen, "check api.proxy", _UNREACHABLE)
            raise _Failure(finding) from error
        if status != 200:
            remedy = "check user and password in api.proxy" if status == 407 else "check api.proxy"
            seen = f"{_place(proxy)} refuses the way to the server with status {status}"
            raise _Failure(failed("proxy", seen, remedy, _UNREACHABLE))
        self._well("proxy", f"{_place(proxy)} lets through")

    async def _secure(self, writer: asyncio.StreamWriter) -> None:
        if self._address.scheme != "https":
            self._well("tls", "not needed: http to this machine")
            return
        try:
            await self._soon(writer.start_tls(self._context(), server_hostname=self._server.host))
        except ssl.SSLCertVerificationError as error:
            raise _Failure(self._refused(error)) from error
        except OSError as error:
            remedy = "check api.base_url: does https belong to this port?"
            seen = f"{self._server} speaks no TLS that can be used: {_reason(error)}"
            raise _Failure(failed("tls", seen, remedy, _UNREACHABLE)) from error
        self._found.append(self._certificate(writer.get_extra_info("peercert") or {}))

    def _context(self) -> ssl.SSLContext:
        try:
            return tls_context(self._api.ca_file)
        except ConfigurationError as error:
            seen, _, remedy = str(error).partition("; ")
            raise _Failure(failed("tls", seen, remedy, error.exit_code)) from error

    def _refused(self, error: ssl.SSLCertVerificationError) -> Finding:
        remedy = (
            "is a company proxy in between? then name its certificate in api.ca_file; never send "
            "a key there otherwise"
        )
        if error.verify_code == _EXPIRED:
            remedy = "its operator has to renew it; check this machine's date as well"
        elif error.verify_code == _NOT_YET:
            remedy = "check this machine's date; else its operator has to replace it"
        elif error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
            remedy = "check the host in api.base_url: another server answers there"
        seen = f"the certificate of {self._server.host} does not verify: {error.verify_message}"
        return failed("tls", seen, remedy, _UNREACHABLE)

    def _certificate(self, certificate: dict[str, str]) -> Finding:
        left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
        days = int(left // _DAY_SECONDS)
        seen = f"the certificate of {self._server.host} verifies, for {days:,} more days"
        if days < _DAYS_TO_RENEW:
            return warning("tls", seen, "ask its operator whether it will be renewed in time")
        return well("tls", seen)

    async def _compare_clocks(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        is_proxied = self._proxy is not None and self._address.scheme == "http"
        target = self._api.base_url if is_proxied else self._address.path or "/"
        lines = [
            f"HEAD {target} HTTP/1.1",
            f"Host: {self._address.netloc}",
            f"User-Agent: batch-screen/{__version__}",
            "Connection: close",
        ]
        began = time.time()
        try:
            status, headers = await self._asked(lines, reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            seen = f"{self._server} does not answer in HTTP: {_reason(error)}"
            remedy = "check api.base_url: does this port belong to the API?"
            raise _Failure(failed("clock", seen, remedy, _UNREACHABLE)) from error
        between = (began + time.time()) / 2
        self._found.append(_clock(headers.get("date", ""), between))
        if 300 <= status < 400:
            seen = f"the base address answers with a redirect (status {status})"
            remedy = "check api.base_url: redirects are never followed, the key would travel"
            self._found.append(warning("redirect", seen, remedy))

    async def _asked(
        self, lines: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, dict[str, str]]:
        """Status and headers of what comes back. Raises ``ValueError`` where that is no HTTP."""
        writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        try:
            head = await self._soon(reader.readuntil(b"\r\n\r\n"), self._api.timeout_seconds)
        except asyncio.LimitOverrunError as error:
            raise ValueError("its head does not end") from error
        first, *rest = head.decode("latin-1").split("\r\n")
        version, _, status = first.partition(" ")
        if not version.startswith("HTTP/") or not status[:3].isdigit():
            raise ValueError("it is no HTTP")
        pairs = (line.partition(":") for line in rest)
        return int(status[:3]), {name.lower(): value.strip() for name, _, value in pairs}

    async def _soon(self, what: Awaitable[T], seconds: float | None = None) -> T:
        return await asyncio.wait_for(what, seconds or self._api.connect_timeout_seconds)

    def _well(self, name: str, seen: str) -> None:
        self._found.append(well(name, seen))


def _clock(date: str, local: float) -> Finding:
    """The local clock held against the server's, which counts whole seconds."""
    try:
        server = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError, OverflowError):
        [finding] = not_checked(["clock"], "the server does not say what time it is")
        return finding
    skew = local - server - 0.5
    if abs(skew) <= _MOST_SKEW_SECONDS:
        return well("clock", f"within {_MOST_SKEW_SECONDS:g} s of the server's")
    direction = "ahead of" if skew > 0 else "behind"
    seen = f"{abs(skew):,.0f} s {direction} the server's"
    remedy = "set this machine's clock (NTP): run dates and time windows are taken from it"
    return warning("clock", seen, remedy)


def _place(address: SplitResult) -> _Place:
    return _Place(address.hostname or "", address.port or _PORTS[address.scheme])


def _authorisation(proxy: SplitResult) -> list[str]:
    if proxy.username is None:
        return []
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return [f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}"]


def _reason(error: Exception) -> str:
    """Why, without what was sent."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, asyncio.IncompleteReadError):
        return "it hangs up"
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    if isinstance(error, OSError):
        is_systems = error.errno is not None and error.errno > 0  # those of DNS are negative
        said = os.strerror(error.errno or 0) if is_systems else error.strerror
        return said or type(error).__name__
    return str(error)


def _since(began: float) -> str:
    return f"{1000 * (time.monotonic() - began):,.0f} ms"
