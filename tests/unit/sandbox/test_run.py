from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.model import Endpoint
from batch_screen.sandbox.config import DEFAULT_KEY, SandboxConfig
from batch_screen.sandbox.run import SandboxThread, serve, serve_forever

from .conftest import NOW, Client

NUMBER = "+46701740605"


def ask(base_url: str) -> object:
    request = urllib.request.Request(
        f"{base_url}/{Endpoint.SIM_SWAP_CHECK}",
        data=json.dumps({"phoneNumber": NUMBER}).encode(),
        headers={"Content-Type": "application/json", "apiKey": DEFAULT_KEY},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)


def test_a_thread_serves_at_a_loopback_base_url_until_its_block_ends() -> None:
    with SandboxThread(SandboxConfig()) as sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert sandbox.url.endswith("/network-signal/v1")
        assert ask(sandbox.url) == {"swapped": True}
    with pytest.raises(OSError, match="refused"):
        ask(sandbox.url)


def test_two_sandboxes_live_side_by_side() -> None:
    with SandboxThread(SandboxConfig()) as one, SandboxThread(SandboxConfig()) as two:
        assert one.url != two.url
        assert ask(one.url) == ask(two.url)


def test_statistics_outlive_the_thread() -> None:
    with SandboxThread(SandboxConfig()) as sandbox:
        ask(sandbox.url)
        during = sandbox.statistics()
    assert sandbox.statistics() == during
    assert during["requests"] == 1


def test_an_open_hang_does_not_keep_the_thread_from_ending() -> None:
    with SandboxThread(SandboxConfig(now=NOW)) as sandbox:
        with pytest.raises(TimeoutError):
            Client(sandbox).ask(Endpoint.SIM_SWAP_CHECK, "+46701740611", timeout=0.01)
        # A second one stays open while the block ends.
        connection = _hang(sandbox)
    connection.close()
    assert sandbox.statistics()["open_requests"] == 0


def _hang(sandbox: SandboxThread) -> object:
    import socket
    from urllib.parse import urlsplit

    parts = urlsplit(sandbox.origin)
    connection = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5)
    body = b'{"phoneNumber":"+46701740611"}'
    connection.sendall(
        b"POST /network-signal/v1/sim-swap/check HTTP/1.1\r\nHost: x\r\n"
        b"Content-Type: application/json\r\napiKey: sandbox-key\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    while sandbox.statistics()["open_requests"] == 0:
        pass
    return connection


def test_a_port_in_use_is_a_setting_to_change() -> None:
    with SandboxThread(SandboxConfig()) as sandbox:
        port = int(sandbox.origin.split(":")[2])
        with (
            pytest.raises(ConfigurationError, match="Choose another port"),
            SandboxThread(SandboxConfig(), port=port),
        ):
            pass


def test_serve_runs_in_the_loop_at_hand() -> None:
    async def use() -> object:
        sandbox = await serve(SandboxConfig(now=NOW))
        try:
            answer = await asyncio.to_thread(ask, sandbox.url)
            assert sandbox.server.statistics()["requests"] == 1
            assert sandbox.server.world.now == NOW
            return answer
        finally:
            await sandbox.close()

    assert asyncio.run(use()) == {"swapped": True}


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_serve_forever_ends_with_a_signal(signal_number: signal.Signals) -> None:
    urls = []

    def stop(sandbox: object) -> None:
        urls.append(sandbox.url)  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal_number)

    assert serve_forever(SandboxConfig(), on_ready=stop)["requests"] == 0
    assert urls


def test_a_whole_process_ends_cleanly_with_warnings_as_errors(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from batch_screen.sandbox.config import SandboxConfig\n"
        "from batch_screen.sandbox.run import serve_forever\n"
        f"config = SandboxConfig(journal_path=Path({str(log)!r}))\n"
        "serve_forever(config, on_ready=lambda s: print(s.url, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert ask(process.stdout.readline().strip()) == {"swapped": True}
        process.terminate()
        out, errors = process.communicate(timeout=10)
    assert (process.returncode, out, errors) == (0, "", "")
    assert len(log.read_text().splitlines()) == 1


def test_nothing_is_logged_about_a_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), SandboxThread(SandboxConfig()) as sandbox:
        ask(sandbox.url)
    assert NUMBER not in caplog.text
    assert DEFAULT_KEY not in caplog.text
