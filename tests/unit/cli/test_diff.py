from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from batch_screen.cli.diff import _lines, change_totals, cohort_words
from batch_screen.commands.diff import Diff, Example
from batch_screen.tables.coverage import Change, Changes, Cohort

MOVED = Cohort("block", "+491511…", 400, 340, 0.85, 0.012)


def changes(**counts: dict[str, int]) -> Changes:
    endpoints = {name.replace("__", "/").replace("_", "-"): found for name, found in counts.items()}
    return Changes("20261122-0123456789", "2026-11-22", endpoints, 20, 1_000, 980, [])


MUCH = changes(
    sim_swap__check={"newly_positive": 1_200, "became_unknown": 3, "date_moved": 0},
    device_swap__check={"newly_positive": 34},
    sim_swap__retrieve_date={"newly_positive": 5, "date_moved": 7},
    call_forwarding__check={"newly_positive": 2, "newly_negative": 1, "became_known": 4},
)


def test_totals_in_words() -> None:
    assert change_totals(MUCH) == (
        "1,234 newly swapped, 5 newly dated, 2 newly forwarding, 7 dates moved, "
        "1 no longer positive, 3 became unknown, 4 became known"
    )
    assert change_totals(changes(sim_swap__check=dict.fromkeys(Change, 0))) == "nothing changed"


def test_the_fullest_cohorts_are_named() -> None:
    assert cohort_words([MOVED]) == "+491511… 340 of 400 (1.2% elsewhere)"
    many = [msgspec.structs.replace(MOVED, name=f"B{n}", newly_positive=n) for n in range(6)]
    assert cohort_words(many).startswith("B5 5 of 400")
    assert cohort_words(many).endswith("B2 2 of 400 (1.2% elsewhere), 2 more")


def compared(**more: Any) -> Diff:
    plain = Diff("20261123-0123456789", "2026-11-23", MUCH, [], {})
    return msgspec.structs.replace(plain, **more)


def test_the_block() -> None:
    example = Example("+4477••••••01", "sim-swap/check")
    found = compared(
        changes=msgspec.structs.replace(MUCH, cohorts=[MOVED]),
        not_compared=["device-swap/retrieve-date"],
        examples={"newly_positive": [example, example]},
    )
    lines = list(_lines(found, Path("feed.parquet")))
    assert lines[0] == "run 20261123-0123456789 since run 20261122-0123456789 of 2026-11-22"
    assert lines[2] == "  numbers ...... 980 compared, 20 new and 1,000 gone"
    assert "    device-swap/check       34 newly_positive" in lines
    assert "    call-forwarding/check   2 newly_positive, 1 newly_negative, 4 became_known" in lines
    shown = "\n".join(lines)
    assert "left out ..... device-swap/retrieve-date: asked by one of the two only" in shown
    assert "likely ....... an operator's migration: +491511… 340 of 400" in shown
    assert "+4477••••••01 sim-swap/check, +4477••••••01 sim-swap/check" in shown
    assert lines[-1] == "  written ...... feed.parquet"


def test_what_is_not_there_has_no_line() -> None:
    shown = "\n".join(_lines(compared(), None))
    for label in ("left out", "likely", "such as", "written"):
        assert label not in shown


@pytest.mark.parametrize("arguments", [["a", "b", "--write", "x.csv"], ["a"]])
def test_wrong_usage(arguments: list[str]) -> None:
    from click.testing import CliRunner

    from batch_screen.cli.main import cli

    done = CliRunner().invoke(cli, ["diff", *arguments])
    assert done.exit_code == 2
