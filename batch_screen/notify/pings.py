"""Pings to a monitor of scheduled jobs, the webhook, lineage. A failed call is only a warning.

Plain ``http.client``: it follows no redirect, takes no proxy from the environment and sends
nothing that is not written here. A call runs in a thread of its own, because only so is all of
it bounded in time: looking up a name is not, and an answer may drip.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from types import MappingProxyType
from urllib.parse import urlsplit

from batch_screen import __version__
from batch_screen.config.lineage import LineageServer
from batch_screen.config.parsing import is_loopback
from batch_screen.config.sections import Method, Pings
from batch_screen.notify.closing import Closing, document

_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"


class Caller:
    """The pings of one session; each returns its warnings."""

    def __init__(self, pings: Pings, ca_file: str = "") -> None:
        self._pings = pings
        self._ca_file = ca_file

    def begun(self) -> list[str]:
        """Pings the address for the begin of a session."""
        return self._ping("start", self._pings.start_url.get_secret_value(), "start")

    def ended(self, closing: Closing) -> list[str]:
        """Pings the address for success or failure, and calls the webhook."""
        which = "failure" if closing.exit_code else "finish"
        url = self._pings.failure_url if closing.exit_code else self._pings.finish_url
        words = f"exit code {closing.exit_code}, {closing.status}"
        words += f", run {closing.run_id}" if closing.run_id else ""
        webhook = self._pings.webhook_url.get_secret_value()
        return [
            *self._ping(which, url.get_secret_value(), words),
            *self._call("webhook", webhook, Method.POST, document(closing), _JSON),
        ]

    def send_lineage(self, server: LineageServer, event: bytes) -> list[str]:
        """Sends an OpenLineage event, if there is a server for it."""
        parts = urlsplit(server.url)
        if server.headers and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            return ["OPENLINEAGE_URL must be https://: its key would travel unencrypted"]
        return self._call("OpenLineage", server.url, Method.POST, event, _JSON, server.headers)

    def _ping(self, which: str, url: str, words: str) -> list[str]:
        body = f"batch-screen {__version__}: {words}\n".encode()
        return self._call(which, url, self._pings.method, body, _TEXT)

    def _call(  # noqa: PLR0913, PLR0917 (a request)
        self,
        which: str,
        url: str,
        method: Method,
        body: bytes,
        kind: str,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> list[str]:
        """Sends one request; the warning of a failure names only the host."""
        if not url:
            return []
        failed = ["no answer in time"]  # unless the thread says otherwise before its time is up

        def call() -> None:
            try:
                status = self._status(url, method, body, kind, more)
            except HTTPException as error:
                failed[:] = [type(error).__name__]
            except (OSError, ValueError) as error:
                failed[:] = [getattr(error, "strerror", None) or type(error).__name__]
            else:
                failed[:] = [] if 200 <= status < 300 else [f"it answered with status {status}"]

        # A daemon: a call that hangs must not keep the command from ending.
        thread = threading.Thread(target=call, name=f"ping {which}", daemon=True)
        thread.start()
        thread.join(self._pings.timeout_seconds)
        host = urlsplit(url).hostname  # alone: path and query are the caller's secret
        return [f"the {which} call to {host} failed: {why}; the run goes on" for why in failed]

    def _status(
        self, url: str, method: Method, body: bytes, kind: str, more: Mapping[str, str]
    ) -> int:
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        headers = {"User-Agent": f"batch-screen/{__version__}", "Connection": "close", **more}
        if method is Method.POST:
            headers["Content-Type"] = kind
        host, seconds = parts.hostname or "", self._pings.timeout_seconds
        if parts.scheme == "http":
            connection = HTTPConnection(host, parts.port, timeout=seconds)
        else:
            context = ssl.create_default_context(cafile=self._ca_file or None)
            connection = HTTPSConnection(host, parts.port, timeout=seconds, context=context)
        try:
            sent = body if method is Method.POST else None
            connection.request(method.value.upper(), target, body=sent, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()
