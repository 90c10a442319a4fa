"""Runs a sandbox: in the current event loop, in a thread, or until a signal."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Self, TypeVar

from aiohttp import web

from batch_screen.errors import ConfigurationError
from batch_screen.sandbox.answers import World
from batch_screen.sandbox.config import BASE_PATH, SandboxConfig
from batch_screen.sandbox.server import SandboxServer

LOOPBACK = "127.0.0.1"

_Result = TypeVar("_Result")

_BACKLOG = 4096  # with aiohttp's 128, connections of a client's first burst wait for a second SYN
_CLOSE_SECONDS = 0.05  # those who hang on purpose would hang for ever


class RunningSandbox:
    """A listening sandbox; belongs to the event loop it was started in."""

    def __init__(
        self,
        server: SandboxServer,
        listener: web.Server,
        runner: web.ServerRunner,
        site: web.TCPSite,
    ) -> None:
        self.server = server
        self.loop = asyncio.get_running_loop()
        self._listener = listener
        self._runner = runner
        self._site: web.TCPSite | None = site
        self._absence: asyncio.Task[None] | None = None
        server.go_offline = self._offline_for
        self._address = host, port = runner.addresses[0][:2]
        self.origin = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.url = self.origin + BASE_PATH

    async def go_offline(self) -> None:
        """Stops listening, and drops open connections."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
            for connection in self._listener.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    async def go_online(self) -> None:
        """Listens again at the same address. ConfigurationError if the port is taken."""
        if self._site is None:
            self._site = await _listen(self._runner, *self._address)

    def _offline_for(self, seconds: float) -> None:
        async def absence() -> None:
            await self.go_offline()
            await asyncio.sleep(seconds)
            await self.go_online()

        # Requests that meet the outage while it is on do not prolong it.
        if self._absence is None or self._absence.done():
            self._absence = asyncio.create_task(absence())

    async def close(self) -> None:
        """Stops listening and drops open connections."""
        if self._absence is not None:
            self._absence.cancel()
            with suppress(asyncio.CancelledError):
                await self._absence
        await self._runner.cleanup()
        self.server.close()


async def serve(config: SandboxConfig, host: str = LOOPBACK, port: int = 0) -> RunningSandbox:
    """Starts a sandbox; port 0 takes a free one. ConfigurationError if that fails."""
    server = SandboxServer(config)
    # A client that goes away ends its request: that is how a hang ends.
    low_level = web.Server(server.handle, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(low_level, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        site = await _listen(runner, host, port)
    except ConfigurationError:
        await runner.cleanup()
        server.close()
        raise
    return RunningSandbox(server, low_level, runner, site)


async def _listen(runner: web.ServerRunner, host: str, port: int) -> web.TCPSite:
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    try:
        await site.start()
    except OSError as error:
        await site.stop()  # or the runner would count it
        raise ConfigurationError(
            f"the sandbox cannot listen at {host}:{port}: {error.strerror or error}. "
            "Choose another port, or 0 for any that is free."
        ) from error
    return site


class SandboxThread:
    """A sandbox in a thread with its own event loop; use as a context manager."""

    def __init__(self, config: SandboxConfig, host: str = LOOPBACK, port: int = 0) -> None:
        self._config, self._host, self._port = config, host, port
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve_until_stopped()), name="sandbox", daemon=True
        )
        self._started: Future[RunningSandbox] = Future()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        """Returns once the sandbox listens, or raises the error that prevented it."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._started.result().loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL to configure a client with."""
        return self._started.result().url

    @property
    def origin(self) -> str:
        """Scheme, host and port, for the pages below /_sandbox/."""
        return self._started.result().origin

    @property
    def world(self) -> World:
        """The facts behind its answers, for ``answers.truth``."""
        return self._started.result().server.world

    def statistics(self, *, detail: bool = False) -> dict[str, Any]:
        """The counts, taken between two requests; after the end, the final ones."""
        server = self._started.result().server

        async def take() -> dict[str, Any]:
            return server.statistics(detail=detail)

        if not self._thread.is_alive():
            return server.statistics(detail=detail)
        return self._in_the_loop(take())

    def change(self, **settings: Any) -> None:
        """Changes settings between two requests: ``change(profiles=("all-503",))``.

        Names as in ``SandboxConfig``; what is not named stays. Outages count afresh.
        """
        server = self._started.result().server

        async def change() -> None:
            server.change(**settings)

        self._in_the_loop(change())

    def go_offline(self) -> None:
        """Refuses connections until ``go_online``, and drops open ones."""
        self._in_the_loop(self._started.result().go_offline())

    def go_online(self) -> None:
        """Listens again at the same address; counts and settings are kept."""
        self._in_the_loop(self._started.result().go_online())

    def _in_the_loop(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("SandboxThread is used outside its context")
        return asyncio.run_coroutine_threadsafe(work, self._started.result().loop).result()

    async def _serve_until_stopped(self) -> None:
        try:
            running = await serve(self._config, self._host, self._port)
        except BaseException as error:  # noqa: BLE001 (raised again where the thread was started)
            self._started.set_exception(error)
            return
        self._started.set_result(running)
        await self._stop.wait()
        await running.close()


def serve_forever(
    config: SandboxConfig,
    host: str = LOOPBACK,
    port: int = 0,
    on_ready: Callable[[RunningSandbox], None] = lambda _: None,
) -> dict[str, Any]:
    """Serves until SIGINT or SIGTERM; returns the final statistics. Main thread only."""

    async def until_signalled() -> dict[str, Any]:
        stop = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        sandbox = await serve(config, host, port)
        try:
            on_ready(sandbox)
            await stop.wait()
            return sandbox.server.statistics()
        finally:
            await sandbox.close()

    return asyncio.run(until_signalled())
