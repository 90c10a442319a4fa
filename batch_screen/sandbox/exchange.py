"""Delivers one reply, whole or deliberately broken, and records the result."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web

from batch_screen.sandbox.faults import CORRELATOR, Delivery, SandboxReply
from batch_screen.sandbox.hostile import NOBODYS_CORRELATOR

_DRAIN_SECONDS = 0.002


class Exchange:
    """One request and its reply; ``status`` stays None until a reply has begun."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.correlator = request.headers.get(CORRELATOR)
        self.status: int | None = None
        self.was_sent = False
        self.was_clean = False

    async def deliver(self, reply: SandboxReply) -> web.StreamResponse:
        """Waits for the reply's latency, then sends it as far as its delivery says."""
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        headers = list(reply.headers)
        if self.correlator is not None and CORRELATOR not in dict(headers):
            headers.append((CORRELATOR, self.correlator))
        match reply.delivery:
            case Delivery.WHOLE:
                return await self._send_whole(reply, headers)
            case Delivery.CUT:
                return await self._send_half(reply, headers)
            case Delivery.RESET:
                if transport := self._transport():
                    # Lingering for zero seconds makes the kernel send RST for FIN.
                    transport.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                    transport.abort()
                return web.Response()
            case Delivery.RAW:
                return await self._send_pieces(reply)
            case Delivery.FOLLOWED:
                response = await self._send_whole(reply, headers)
                extra = b"".join(reply.pieces())
                if self.correlator is not None:  # a second answer to the same question
                    extra = extra.replace(NOBODYS_CORRELATOR.encode(), self.correlator.encode())
                # Not awaited: meanwhile the connection may bring the next question.
                asyncio.get_running_loop().call_later(reply.pause_seconds, self._add, extra)
                return response

    async def _send_whole(
        self, reply: SandboxReply, headers: list[tuple[str, str]]
    ) -> web.Response:
        response = web.Response(
            status=reply.status, body=reply.body, content_type=reply.content_type, headers=headers
        )
        await response.prepare(self._request)
        self.status = reply.status
        # aiohttp would do this itself after the handler, but then nobody would know whether
        # the client was still there.
        await response.write_eof()
        self.was_sent = self._transport() is not None
        self.was_clean = self.was_sent and reply.is_clean
        return response

    async def _send_half(
        self, reply: SandboxReply, headers: list[tuple[str, str]]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=headers)
        response.content_type = reply.content_type
        response.content_length = len(reply.body)
        await response.prepare(self._request)
        self.status = reply.status
        await response.write(reply.body[: len(reply.body) // 2])
        if transport := self._transport():
            transport.close()
        return response

    async def _send_pieces(self, reply: SandboxReply) -> web.StreamResponse:
        self.status = reply.status or None
        for piece in reply.pieces():
            self._add(piece)
            await asyncio.sleep(reply.pause_seconds)
            # A transport has no event for its buffer; that of the protocol is aiohttp's own.
            while (transport := self._transport()) and transport.get_write_buffer_size():  # noqa: ASYNC110
                await asyncio.sleep(_DRAIN_SECONDS)
            if transport is None:
                break
        if transport := self._transport():
            transport.close()
        return web.Response()

    def _add(self, raw: bytes) -> None:
        if transport := self._transport():
            transport.write(raw)

    def _transport(self) -> asyncio.Transport | None:
        """The connection, unless it is closed or closing."""
        transport = self._request.transport
        return None if transport is None or transport.is_closing() else transport
