"""A bucket on loopback, and a server that fails as servers of buckets do."""

from __future__ import annotations

import logging
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

Respond = Callable[[BaseHTTPRequestHandler], None]


class Bucket:
    """A bucket of its own for each test, and a hand on its objects."""

    def __init__(self, client: Any, name: str) -> None:
        self.client, self.name = client, name
        client.create_bucket(Bucket=name)

    @property
    def address(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes, **how: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=content, **how)

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    @property
    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [item["Key"] for item in found]


@contextmanager
def moto() -> Iterator[str]:
    """The address of a server of buckets in this process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    # Two that create one object at once: both would find none there, and be told that it is theirs.
    put, lock = S3Response._key_response_put, threading.Lock()

    def put_in_turn(response: S3Response, *given: Any) -> Any:
        with lock:
            return put(response, *given)

    with patch.object(S3Response, "_key_response_put", put_in_turn):
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@contextmanager
def moto_apart() -> Iterator[str]:
    """As ``moto``, in a process of its own: beside a sandbox it delays what is counted there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            until = time.monotonic() + 60
            while not _listens(port):
                assert time.monotonic() < until, "moto did not start"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def use(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Sends all requests to buckets of this process, and of those it starts, to the server."""
    for name, value in variables(url).items():
        monkeypatch.setenv(name, value)


def variables(url: str) -> dict[str, str]:
    """The environment variables that send requests to the server."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test-key-id",
        "AWS_SECRET_ACCESS_KEY": "test-secret",
        "AWS_REGION": "us-east-1",
    }


@contextmanager
def scripted(respond: Respond, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that answers every request by the function."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with_request = super().handle_one_request
            try:
                with_request()
            except OSError:  # the client has seen enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            respond(self)

    for verb in ("HEAD", "PUT", "POST", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler.do_GET)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(
    request: BaseHTTPRequestHandler, status: int, content: bytes = b"", **headers: str
) -> None:
    """A whole answer."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(content)


@dataclass
class Faults:
    """How often requests to a bucket go wrong, and how long they take at most."""

    seed: int = 0
    refused: float = 0.0
    """HTTP 503."""
    conflicting: float = 0.0
    """HTTP 409 to an object that is to be created."""
    dropped: float = 0.0
    """The request is carried out, and the connection closed instead of an answer."""
    seconds: float = 0.0
    ignores_conditions: bool = False
    """As servers of old, which write over what is there."""
    is_away: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def delay(self) -> float:
        return self._random.uniform(0, self.seconds)


@contextmanager
def faulty(url: str, faults: Faults) -> Iterator[str]:
    """The address of a proxy before a server of buckets."""
    host = urlsplit(url).netloc

    def respond(request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers.get("Content-Length", 0))
        body = request.rfile.read(size)
        time.sleep(faults.delay())
        faults.counts[request.command] += 1
        is_new = "If-None-Match" in request.headers
        if faults.is_away or faults.chance(faults.refused):
            faults.counts["503"] += 1
            answer(request, 503, b"<Error><Code>SlowDown</Code></Error>")
            return
        if is_new and faults.chance(faults.conflicting):
            faults.counts["409"] += 1
            answer(request, 409, b"<Error><Code>ConditionalRequestConflict</Code></Error>")
            return
        left_out = {"host", "connection", *(["if-none-match"] if faults.ignores_conditions else ())}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in left_out}
        asked = HTTPConnection(host)
        asked.request(request.command, request.path, body, headers)
        said = asked.getresponse()
        content = said.read()
        asked.close()
        if request.command == "PUT" and faults.chance(faults.dropped):
            faults.counts["dropped"] += 1
            request.close_connection = True
            return
        request.send_response_only(said.status)
        for name, value in said.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                request.send_header(name, value)
        if said.getheader("Content-Length") is None:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    with scripted(respond) as address:
        yield address
