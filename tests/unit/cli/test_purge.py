from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from batch_screen.cli.main import cli
from batch_screen.cli.purge import _lines
from batch_screen.commands.purge import Purge, PurgeItem

OLD = PurgeItem(
    "20250105-0123456789",
    "2025-01-05",
    tuple(map(Path, "abcdef")),
    (Path("g"),),
    5_000_000,
    ("runs/x/notes.txt",),
)


def test_what_would_go() -> None:
    found = Purge("2025-06-01", (OLD,), ("20250104-0123456789",), "20260301-0123456789", 2)
    lines = [*_lines(found)]
    assert lines == [
        "purge: 1 run dated before 2025-06-01, 7 files, 4.8 MiB",
        "",
        "  20250105-0123456789  6 files of output, 1 of state, 4.8 MiB",
        "  stays ........ not batch-screen's: runs/x/notes.txt",
        "  leftovers .... 2 states of a purge that was killed",
        "  unfinished ... left as they are, --unfinished takes them: 20250104-0123456789",
        "  latest.json .. will name run 20260301-0123456789",
    ]
    assert max(map(len, lines)) <= 80
    *_, last = _lines(Purge("2025-06-01", (OLD,), (), ""))
    assert last.endswith("will be removed: no complete run is left")
    assert next(_lines(Purge("2025-06-01", (), ()))).startswith("purge: 0 runs dated before")


@pytest.mark.parametrize("days", [0, 90, 99_999])
def test_days(days: int) -> None:
    context = cli.commands["purge"].make_context("purge", ["--older-than", f"{days}d"])
    assert context.params["older_than"] == datetime.now(UTC).date() - timedelta(days=days)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing option '--older-than'"),
        (["--older-than", "90"], "must be a number of days such as 90d"),
        (["--older-than", "-1d"], "must be a number of days such as 90d"),
        (["--older-than", "9d", "--state-only", "--outputs-only"], "exclude each other"),
    ],
)
def test_what_cannot_be_meant(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(cli, ["purge", *arguments])
    assert done.exit_code == 2
    assert words in done.output
