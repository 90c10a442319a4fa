"""What Python would print by itself, and that nothing dumps the memory."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from batch_screen.cli.hooks import described
from tests.discretion import secrets_in

KEY = "distinctive-5up3r-s3cret"
NUMBER = "+442079460123"
BEGIN = f"""
import asyncio, faulthandler, gc, logging, os, sys, threading, warnings
from batch_screen.cli.hooks import install_hooks
from batch_screen.masking import hide
key, number = {KEY!r}, {NUMBER!r}
hide(key)
install_hooks()
text = f"{{key}} {{number}} \\x1b[2J"
"""
SCENES = {
    "uncaught": ("raise ValueError(text)", "Error: this is a bug, please"),
    "thread": (
        (
            "def work(): raise ValueError(text)\n"
            "thread = threading.Thread(target=work); thread.start(); thread.join()"
        ),
        "Error: this is a bug in a thread",
    ),
    "unraisable": (
        "class Odd:\n    def __del__(self): raise ValueError(text)\nOdd(); gc.collect()",
        "Error: this is a bug while cleaning up",
    ),
    "uncaught-and-no-words": (
        (
            "from batch_screen.cli import log\n"
            "def give_out(*_): raise SystemError('error return without exception set')\n"
            "log.print_stderr = give_out\n"
            "raise ValueError(text)"
        ),
        "Error: a system resource ran out",
    ),
    "uncaught-and-no-words-for-a-program": (
        (
            "from batch_screen.cli import log\n"
            "def give_out(*_): raise SystemError('error return without exception set')\n"
            "log.choose(log.JSON); log.print_stderr = give_out\n"
            "raise ValueError(text)"
        ),
        '{"level": "error", "event": "error", "message": "a system resource ran out',
    ),
    "uncaught-and-no-place": (
        (
            "def give_out(*_): raise SystemError('error return without exception set')\n"
            "import traceback; traceback.extract_tb = give_out\n"
            "raise ValueError(text)"
        ),
        "Error: this is a bug, please report it: ValueError: ",
    ),
    "warning": ("warnings.warn(text)", "warning: UserWarning"),
    "task": (
        (
            "async def fail(): raise ValueError(text)\n"
            "async def main():\n"
            "    task = asyncio.create_task(fail(), name=text)\n"
            "    await asyncio.sleep(0); await asyncio.sleep(0); del task; gc.collect()\n"
            "asyncio.run(main())"
        ),
        "error: Task exception was never retrieved",
    ),
    "log": (
        (
            "try: raise ValueError(text)\n"
            "except ValueError: logging.getLogger('other').exception('lost %s', {key: [number]},"
            " stack_info=True)"
        ),
        "error: lost {'[key]': ['+4420",
    ),
    "log-that-does-not-fit": ("logging.error('%d', text)", "error: a log line of root"),
}


@pytest.mark.parametrize("scene", SCENES)
def test_one_masked_line(scene: str) -> None:
    code, words = SCENES[scene]
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", BEGIN + code],
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stderr.decode()
    assert said.startswith(words)
    assert said.count("\n") == 1, said
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert secrets_in(said, KEY, [NUMBER]) == set()
    assert done.stdout == b""


def test_nothing_is_dumped() -> None:
    code = "import resource; print(*resource.getrlimit(resource.RLIMIT_CORE))"
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=60, check=True
    )
    # 0: where it was forbidden before, and may not be raised.
    assert done.stdout in ("1 1\n", "0 0\n")


def test_a_crash_in_native_code_tells_its_place_where_that_is_asked_for() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", BEGIN + "faulthandler._sigsegv()"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGSEGV
    assert "most recent call first" in done.stderr
    assert secrets_in(done.stderr, KEY, [NUMBER]) == set()


class Unspeakable(Exception):  # noqa: N818 (a double)
    def __str__(self) -> str:
        raise KeyError


def test_what_cannot_be_described() -> None:
    assert described(Unspeakable()) == "Unspeakable: it cannot be shown"
    assert described(None) == "NoneType: None"
