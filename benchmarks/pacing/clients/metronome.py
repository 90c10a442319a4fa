"""Sends evenly, as exactly as a busy loop can; shows what the judge and the machine add.

No event loop and no parser: bytes made beforehand, over as many connections as needed. Prints
the most requests it sent within any second.

    python metronome.py URL RATE SECONDS
"""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from urllib.parse import urlsplit

from benchmarks.pacing.figures import last_second

CONNECTIONS = 256
"""So many that the answer is there when a connection's turn comes again, up to 6,000/s."""
BODY = b'{"phoneNumber":"+447700900000","maxAge":2400}'


def main(url: str, rate: int, seconds: float) -> None:
    parts = urlsplit(url)
    head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(BODY)}"
    question = head.encode() + b"\r\nContent-Type: application/json\r\n\r\n" + BODY
    address = (str(parts.hostname), int(parts.port or 80))
    connections = [socket.create_connection(address) for _ in range(CONNECTIONS)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(0)
    sent: list[float] = []
    due = time.monotonic() + 0.5
    end = due + seconds
    while due < end:
        connection = connections[len(sent) % CONNECTIONS]
        with suppress(BlockingIOError):
            connection.recv(65536)
        while (now := time.monotonic()) < due:
            pass
        connection.sendall(question)
        sent.append(now)
        # Counted from now, not from when it was due: it never catches up.
        due = now + 1 / rate
    time.sleep(0.5)
    print(max(last_second(sent)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
