"""Servers on this machine that answer one way only, and a proxy before them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from time import time

LOOPBACK = "127.0.0.1"
_HEAD_ENDS = b"\r\n\r\n"

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(status: str = "405 Method Not Allowed", *, skew_seconds: float = 0.0) -> bytes:
    """The head of an answer whose Date is that far ahead of this machine's."""
    date = formatdate(time() + skew_seconds, usegmt=True)
    return f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode()


@contextmanager
def server(
    answer: bytes, context: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    """Its port, and the heads of what it is asked; it gives everybody the same answer."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(_HEAD_ENDS))
        writer.write(answer)
        await writer.drain()

    with _listening(talk, context) as port:
        yield port, asked


@contextmanager
def proxy(target_port: int, status: str = "200 OK") -> Iterator[tuple[int, list[bytes]]]:
    """A proxy that connects to that port, whatever it is asked for, or refuses."""
    asked: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(_HEAD_ENDS))
        writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
        if status.startswith("200"):
            onward, back = await asyncio.open_connection(LOOPBACK, target_port)
            await asyncio.gather(pump(reader, back), pump(onward, writer))

    with _listening(talk, None) as port:
        yield port, asked


@contextmanager
def _listening(talk: Talk, context: ssl.SSLContext | None) -> Iterator[int]:
    ports: list[int] = []
    ends: list[Callable[[], object]] = []
    is_up = threading.Event()

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(
                OSError, asyncio.IncompleteReadError
            ):  # who does not trust it closes the connection
                await asyncio.wait_for(talk(reader, writer), 5)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), 1)

    async def serve() -> None:
        listening = await asyncio.start_server(guarded, LOOPBACK, 0, ssl=context)
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        ports.append(listening.sockets[0].getsockname()[1])
        ends.append(lambda: loop.call_soon_threadsafe(end.set))
        is_up.set()
        async with listening:
            await end.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:  # a connection is closed by who talks on it
            await asyncio.wait(others, timeout=6)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_up.wait(10)
    try:
        yield ports[0]
    finally:
        ends[0]()
        thread.join(10)
