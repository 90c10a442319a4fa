"""What the README shows is what its commands print, on the sample of the repository."""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import Path

import duckdb
import polars as pl

from .conftest import run_command
from .likeness import is_like
from .pages import Player, blocks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
KEYS = {
    "results": ("run_id", "row_index"),
    "lookups": ("run_id", "e164", "endpoint"),
    "errors": ("run_id", "row_index", "e164", "endpoint"),
}


def typed(pattern: str) -> list[str]:
    [command] = re.findall(
        rf"^\s*(?:\$ )?(\S*batch-screen {pattern}(?:.*\\\n)*.*)$", README, re.MULTILINE
    )
    return shlex.split(command.replace("\\\n", ""))[1:]


def typed_within(pattern: str) -> list[str]:
    """The arguments of a command that stands within a sentence."""
    [command] = re.findall(rf"`batch-screen ({pattern}[^`]*)`", README)
    return shlex.split(command)


def test_the_readme_shows_what_is_printed(tmp_path: Path) -> None:
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    page = README.replace("--rate 500", "--rate 3000")  # which takes a third of the time
    with Player(tmp_path) as player:
        played = list(player.play(page))
    assert len(played) == README.count("```console")
    for block, now in played:
        assert is_like(block.text, now), now

    [sql] = re.findall(r"^ {4}(SELECT (?:.*\n {4})*.*)$", README, re.MULTILINE)
    done = run_command(*typed_within("runs demo_out"), cwd=tmp_path)
    assert done.out.startswith("1 complete run\n")
    with contextlib.chdir(tmp_path):
        found = duckdb.sql(sql).pl()
    results = pl.read_parquet(tmp_path / "demo_out/results/*/*.parquet")
    recent = results.filter("risk_sim_recent")
    assert found["in_customer_id"].sort().equals(recent["in_customer_id"].sort())
    assert 0 < found.height < results.height
    for table, key in KEYS.items():
        rows = pl.read_parquet(tmp_path / f"demo_out/{table}/*/*.parquet")
        assert rows.select(key).is_unique().all(), table


def test_make_demo_runs_the_command_that_the_readme_shows() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [command] = re.findall(r"\$\(BIN\)/batch-screen (run (?:.*\\\n)*.*)", makefile)
    assert typed("run sample_data/") == shlex.split(command.replace("\\\n", ""))


def test_pages_that_name_the_list_of_the_tutorial_have_that_list() -> None:
    lists = {
        block.text
        for name in ("tutorial", "signals", "fewer-requests")
        for block in blocks((ROOT / "docs" / f"{name}.md").read_text("utf-8"))
        if block.name == "customers.csv"
    }
    assert len(lists) == 1
