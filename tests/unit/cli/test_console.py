from __future__ import annotations

import io
import sys
from errno import ENOSPC
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.cli.console import (
    Stderr,
    fitted,
    lost_output,
    open_missing,
    print_json,
    print_stderr,
    print_text,
    settle,
)

BLOCK = """\
batch-screen 0.1.0 · run 20261125-3d6b96fb7d · complete · sandbox answers, not real ones

  rows ......... 3,010 = 2,425 accepted and 585 rejected
    rejected ... ambiguous 100, not_valid 78, empty 70, float_artefact 60, not_a_number 48 and 169
    sim-swap/check             success 2,058, not_found 46, bad_response 1 | ms p50=0.7 p95=1.5
  ok           summary          10,525  lookups and rows add up to the figures of summary.json
  hint: 5 requests were refused for the rate: the contract may allow less than 500/s; lower --rate
    results/run_date=2026-11-25/20261125-3d6b96fb7d-00000.parquet
  look ......... python -c 'import polars as pl; print(pl.read_parquet("demo_out/x.parquet"))'"""


def test_a_block_at_80_columns() -> None:
    lines = fitted(BLOCK, 80).split("\n")
    whole = BLOCK.rsplit("\n", maxsplit=1)[-1]
    assert [line for line in lines if len(line) > 80] == [whole], "it is to be copied"
    assert "    rejected ... ambiguous 100, not_valid 78, empty 70, float_artefact 60," in lines
    assert "                 not_a_number 48 and 169" in lines
    assert "                               p50=0.7 p95=1.5" in lines
    assert "                                        of summary.json" in lines
    assert "    500/s; lower --rate" in lines


def test_a_block_at_200_columns_is_as_it_was() -> None:
    assert fitted(BLOCK, 200) == BLOCK


@pytest.mark.parametrize(
    "line",
    [
        f"  resume ....... batch-screen run {'a' * 90}.csv --out screened",
        f"    results/run_date=2026-11-25/{'a' * 90} b",
        "x" * 120,
    ],
)
def test_what_is_to_be_copied_stays_whole(line: str) -> None:
    assert fitted(line, 80) == line


@given(st.lists(st.text("ab.,=", min_size=1, max_size=30), min_size=1), st.integers(40, 120))
def test_no_word_is_lost(words: list[str], columns: int) -> None:
    text = "  " + " ".join(words)
    lines = fitted(text, columns).split("\n")
    assert " ".join(lines).split() == words
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)


ERRORS = [BrokenPipeError(32, "gone"), OSError(28, "full"), ValueError("closed")]


class Dead(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self._error = error

    def write(self, _: str, /) -> int:
        raise self._error

    def flush(self) -> None:
        raise self._error


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_text("figures")
    print_json({"file": Path("x", "+447700900123")}, indent=0)
    print_stderr("progress")
    Stderr().write("bar")
    settle()
    json_line = '{"file": "x/+4477••••••23"}'
    assert capsys.readouterr() == (f"figures\n{json_line}\n", "progress\nbar")


@pytest.mark.parametrize("is_spare", [False, True])
@pytest.mark.parametrize("error", ERRORS)
def test_nothing_fails_for_want_of_a_reader(
    monkeypatch: pytest.MonkeyPatch, error: Exception, is_spare: bool
) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Dead(error))
    print_text("figures", is_spare=is_spare)
    is_lost = error.args[0] == ENOSPC and not is_spare
    assert bool(lost_output()) == is_lost
    assert not lost_output(), "it is asked once"
    print_stderr("progress")
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
    print_text("figures")
    print_stderr("progress")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        stream.close()
