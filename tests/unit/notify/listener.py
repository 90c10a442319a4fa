"""A server on this machine that keeps what it is called with."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    kind: str
    body: bytes


@dataclass
class Listener:
    """The requests received, and how they are answered."""

    status: int = 200
    wait_seconds: float = 0.0
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]


@contextmanager
def listening(**how: object) -> Iterator[Listener]:
    listener = Listener(**how)  # type: ignore[arg-type]

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            kind = self.headers.get("Content-Type", "")
            body = self.rfile.read(length)
            listener.calls.append(Call(self.command, self.path, kind, body))
            time.sleep(listener.wait_seconds)
            self.send_response(listener.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = _answer  # noqa: N815 (as the library calls them)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    listener.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
