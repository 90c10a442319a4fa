"""Servers that answer a client as a test wants, on a socket of this machine."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

from batch_screen.api.client import Client
from batch_screen.config.sections import Api
from batch_screen.model import Answer, Endpoint, Lookup

KEY = "s3cret-api-key"
OK = b"HTTP/1.1 200 OK\r\n"
TRUE, FALSE = b'{"swapped":true}', b'{"swapped":false}'
PEAK_BYTES = 24 * 2**20

Exchange = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def whole(body: bytes, *headers: bytes, head: bytes = OK) -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return head + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def lookup(number: int = 0) -> Lookup:
    return Lookup(f"+4930231250{number:02}", Endpoint.SIM_SWAP_CHECK, 2400)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def asked(exchange: Exchange, ask: Callable[[Client], Awaitable[Any]], **api: Any) -> Any:
    """What asking brings back from a server that talks so on each of its connections."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await exchange(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has hung up
        finally:
            writer.close()

    async def run() -> Any:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            async with Client(Api(base_url=url, **api), KEY, max_connections=8) as client:
                async with asyncio.timeout(30):  # a failure, not a test without end
                    return await ask(client)
        finally:
            server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for other in others:
                other.cancel()
            await asyncio.wait(others or {asyncio.ensure_future(asyncio.sleep(0))})

    return asyncio.run(run())


def one_by_one(count: int, pause: float = 0.0) -> Callable[[Client], Awaitable[list[Answer]]]:
    async def ask(client: Client) -> list[Answer]:
        answers = []
        for number in range(count):
            answers.append(await client.ask(lookup(number), f"correlator-{number}"))
            await asyncio.sleep(pause)
        return answers

    return ask
