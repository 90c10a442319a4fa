"""Pages of docs/ work as they are written, and their commands print what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.thoroughness import in_full

from .likeness import is_like, lasting
from .pages import PAGES, READERS, Block, Played, Player, blocks, follow, rewritten

SIMILAR = {"signals", "fewer-requests", "lists"}
"""Their commands are much like those of the tutorial."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=in_full) if name in SIMILAR else name
        for name in PAGES
        if name not in READERS
    ],
)
def test_a_page_works_and_shows_what_is_printed(name: str, tmp_path: Path) -> None:
    follow(name, tmp_path)


def test_what_differs_from_run_to_run_is_no_difference() -> None:
    shown, printed = (
        f"""\
batch-screen 0.1.0 · run 20260302-{digest} · complete
  sim-swap/check             success 7, not_found 1 | swapped 3 | ms p50={ms} p95=18.1 p99={ms}
  rate ......... {rate}/s over 1.4 s, 100/s allowed
  pace ......... {pace}
  files ........ screened
"""
        for digest, ms, rate, pace in (
            ("8151e2cbf5", 1.3, 27.9, "▆▄\n        a column is 1 s"),
            ("0940467baa", 14, 101.2, "▆"),
        )
    )
    assert is_like(shown, printed)
    for word, other in ("success 7", "success 6"), ("swapped 3", "swapped"), ("screened", "out"):
        assert not is_like(shown, printed.replace(word, other))


def test_lines_that_are_left_out() -> None:
    assert is_like("a\n…\nd\n", "a\nb\nc\nd\n")
    assert is_like("a\n…\nd\n", "a\nd\n")
    assert not is_like("a\n…\nd\n", "a\nb\nc\n")
    assert not is_like("a\n…\nd\n", "b\nd\n")
    assert lasting('="…"') == '="…"'


def test_blocks_are_found_and_written_anew() -> None:
    page = "One\n\n```console\n$ a\nold\n```\n\n```csv x.csv\n1\n```\n\n```text\nold\n…\n```\n"
    found = blocks(page)
    assert [(b.language, b.name, b.text) for b in found] == [
        ("console", None, "$ a\nold\n"),
        ("csv", "x.csv", "1\n"),
        ("text", None, "old\n…\n"),
    ]
    assert all(page[b.start : b.end] == b.text for b in found)
    played = [Played(found[0], "$ a\nnew\n"), Played(found[2], "new\n")]
    assert rewritten(page, played) == page.replace("$ a\nold", "$ a\nnew")


def test_runs_have_their_ids_of_now_also_where_lines_are_left_out() -> None:
    page = "```console\n$ a\nrun 20260302-0123456789\n…\nsince 20260301-0123456789\n```\n"
    [block] = blocks(page)
    now = "$ a\nrun 20260302-fedcba9876\nmore\nsince 20260301-aaaaaaaaaa\n"
    shown = page.replace("20260302-0123456789", "20260302-fedcba9876")
    shown = shown.replace("20260301-0123456789", "20260301-aaaaaaaaaa")
    assert rewritten(page, [Played(block, now)]) == shown


def test_a_star_stands_for_paths_as_in_a_shell(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).touch()
    page = "```console\n$ echo *.txt '2 * 3'\n```\n"
    with Player(tmp_path) as player:
        ((_, now),) = player.play(page)
    assert now == "$ echo *.txt '2 * 3'\na.txt b.txt 2 * 3\n"


def test_a_page_that_shows_something_else_is_noticed(tmp_path: Path) -> None:
    page = (
        "```console\n$ batch-screen --version\nbatch-screen, version 0.0.0-no\n$ echo $?\n1\n```\n"
    )
    with Player(tmp_path) as player:
        ((block, now),) = player.play(page)
    assert isinstance(block, Block)
    assert now.endswith("$ echo $?\n0\n")
    assert not is_like(block.text, now)
