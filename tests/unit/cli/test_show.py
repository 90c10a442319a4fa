from __future__ import annotations

import io
import sys

import pytest

from batch_screen.cli.show import Stderr, open_missing, settle, show, tell

ERRORS = [BrokenPipeError(32, "gone"), OSError(28, "full"), ValueError("closed")]


class Dead(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _: str, /) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


def test_what_is_shown_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    show("figures")
    tell("progress")
    Stderr().write("bar")
    settle()
    assert capsys.readouterr() == ("figures\n", "progress\nbar")


@pytest.mark.parametrize("error", ERRORS)
def test_nothing_fails_for_want_of_a_reader(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Dead(error))
    show("figures")
    tell("progress")
    Stderr().write("bar")
    Stderr().flush()
    settle()
    for stream in (sys.stdout, sys.stderr):
        print("now it is silent", file=stream, flush=True)
        stream.close()


def test_missing_streams_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    open_missing()
    assert sys.stdin.buffer.read() == b""
    show("figures")
    tell("progress")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
