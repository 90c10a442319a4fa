from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from batch_screen.planning.shards import MAX_SHARDS, shard_of
from batch_screen.runs.layout import ERRORS, LOOKUPS, RESULTS, TABLES
from batch_screen.tables.reader import Part
from batch_screen.verify.recount import Placing
from tests.unit.tables.frames import number
from tests.unit.tables.whole_run import WholeRun, differing, digests, new_whole_run

NUMBERS = [number(i) for i in range(600)]


def parts(shards: int, numbers: list[str]) -> dict[int, pl.DataFrame]:
    frame = pl.DataFrame({"e164": numbers}, schema={"e164": pl.String})
    placed = frame.with_columns(part=shard_of(pl.col("e164"), shards).cast(pl.Int64))
    split = placed.partition_by("part", as_dict=True, include_key=False)
    return {int(key[0]): frame for key, frame in sorted(split.items())}


def strays(frames: dict[int, pl.DataFrame], shards: int) -> Iterator[str]:
    placing = Placing(shard_of, shards)
    for part, frame in frames.items():
        names = dict.fromkeys((RESULTS, LOOKUPS, ERRORS), f"part {part}")
        for found in placing.misplaced(Part(part, frame, frame, frame, names)):
            yield f"{found.where}: {found.what}"


@pytest.mark.parametrize("shards", [1, 2, 3, 20, MAX_SHARDS])
def test_numbers_lie_where_the_plan_puts_them(shards: int) -> None:
    assert list(strays(parts(shards, NUMBERS), shards)) == []


def test_the_last_shards_may_be_empty() -> None:
    frames = parts(20, NUMBERS)
    assert list(strays({part: frames[part] for part in range(17)}, 20)) == []


def test_a_number_in_another_part() -> None:
    frames = parts(3, NUMBERS)
    frames[0] = pl.concat([frames[0], frames[2].head(2)])
    assert list(strays(frames, 3)) == ["part 0: 2 rows whose number belongs to another part"]


def test_parts_that_changed_names() -> None:
    frames = parts(3, NUMBERS)
    frames[0], frames[1] = frames[1], frames[0]
    assert [line[:7] for line in strays(frames, 3)] == ["part 0:", "part 1:"]


def test_another_count_than_the_manifest_says() -> None:
    assert list(strays(parts(3, NUMBERS), 4)) != []


def test_what_is_no_number_is_left_to_others() -> None:
    frames = {0: pl.DataFrame({"e164": ["", "+", "+44abc", None, "0"]})}
    assert list(strays(frames, 2)) == []


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(original: WholeRun, tmp_path: Path) -> WholeRun:
    return original.copy(tmp_path / "out")


def first_row(name: str, value: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Another value of the column in the first row."""
    is_first = pl.int_range(pl.len()) == 0
    return lambda frame: frame.with_columns(
        pl.when(is_first).then(value).otherwise(name).alias(name)
    )


def first_where(claim: pl.Expr, **values: pl.Expr) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Other values in the first row of which the claim is true."""
    is_first = claim & (claim.cum_sum() == 1)
    changed = {
        name: pl.when(is_first).then(value).otherwise(name) for name, value in values.items()
    }
    return lambda frame: frame.with_columns(**changed)


CHECK = pl.col("endpoint") == "sim-swap/check"
DATE = pl.col("endpoint") == "sim-swap/retrieve-date"
SUCCESS = pl.col("outcome") == "success"
FAILURE = pl.col("kind") == "failure"
REJECT = pl.col("kind") == "reject"


def test_a_part_that_is_no_parquet_though_its_digest_fits(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    content = run.manifest()
    path.write_bytes(b"PAR1 +447700900123 PAR1")
    [entry] = [e for e in content["files"] if e["path"].endswith(str(path.name))][1:2]
    entry |= digests(path)
    run.write_manifest(content)
    found = differing(run.validate())
    assert set(found) == {"files"}
    assert f"{path.name}: cannot be read: it is no whole Parquet file" in found["files"]
    assert "900123" not in found["files"]


def test_pages_that_are_damaged_though_digest_and_footer_fit(run: WholeRun) -> None:
    path = run.layout.part(LOOKUPS, 1)
    content = run.manifest()
    held = path.read_bytes()
    path.write_bytes(held[:4] + b"\xff" * 400 + held[404:])
    [entry] = [e for e in content["files"] if e["path"] == str(path.relative_to(run.layout.folder))]
    entry |= digests(path)
    run.write_manifest(content)
    found = run.validate()
    assert set(differing(found)) == {"readable"}
    assert f"lookups/run_date=2026-11-23/{path.name}" in differing(found)["readable"]
    assert "1 of 3 parts" in found.checks[-1].unchecked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop("rule"), "column rule is missing"),
        (lambda f: f.with_columns(more=pl.lit(1)), "column more should not be there"),
        (lambda f: f.cast({"row_index": pl.Int32}), "column row_index is Int32, Int64 is right"),
        (lambda f: f.select(*reversed(f.columns)), "in another order"),
        (lambda f: f.drop("in_id"), "column in_id is missing"),
    ],
)
def test_schema_of_a_part(
    run: WholeRun, change: Callable[[pl.DataFrame], pl.DataFrame], message: str
) -> None:
    run.rewrite(RESULTS, change, number=1)
    found = differing(run.validate())
    assert set(found) == {"schema"}
    assert message in found["schema"]


@pytest.mark.parametrize(
    ("key", "value"), [("name", "other"), ("type", "Binary"), ("required", False)]
)
@pytest.mark.parametrize("table", TABLES)
def test_schema_json(run: WholeRun, table: str, key: str, value: object) -> None:
    def change(content: dict[str, Any]) -> None:
        [column] = [c for c in content["tables"][table] if c["name"] == "run_id"]
        column[key] = value

    run.rewrite_json(run.layout.schema, change)
    found = differing(run.validate())
    assert set(found) == {"schema"}
    assert f"the columns of {table} are described otherwise" in found["schema"]


def test_schema_json_of_another_version(run: WholeRun) -> None:
    run.rewrite_json(run.layout.schema, lambda content: content.update(schema_version=999))
    assert set(differing(run.validate())) == {"schema"}


def test_schema_json_that_is_none(run: WholeRun) -> None:
    run.layout.schema.write_bytes(b"[]")
    run.relist()
    assert differing(run.validate())["schema"].endswith("schema.json: it cannot be read")


NOBODY = pl.lit(None)
CONTENT: dict[str, tuple[str, Callable[[pl.DataFrame], pl.DataFrame], set[str], str]] = {
    "no rule": (RESULTS, first_row("rule", NOBODY), {"required"}, "1 rows without rule"),
    "another run": (RESULTS, first_row("run_id", pl.lit("x")), {"required"}, "name another run"),
    "no remedy": (ERRORS, first_row("remedy", NOBODY), {"required"}, "1 rows without remedy"),
    "a refusal too many": (
        LOOKUPS,
        first_where(SUCCESS, refusals=pl.lit(5, pl.Int32)),
        {"values", "summary"},
        "more refusals than attempts",
    ),
    "a guess": (
        LOOKUPS,
        first_where(~SUCCESS, latest_change=pl.lit("none_reported")),
        {"values"},
        "1 lookups have a value though they are no success",
    ),
    "a success without a date": (
        LOOKUPS,
        first_where(pl.col("latest_change") == "none_reported", latest_change=NOBODY),
        {"values", "conflicts", "enrichment"},
        "1 lookups have success and no value",
    ),
    "a window where none is taken": (
        LOOKUPS,
        first_where(DATE, max_age_minutes=pl.lit(1, pl.Int32)),
        {"values"},
        "a window though none is taken",
    ),
    "another answer in results": (
        RESULTS,
        first_where(
            pl.col("sim_swap_check_swapped").is_not_null(),
            sim_swap_check_swapped=~pl.col("sim_swap_check_swapped"),
        ),
        {"enrichment", "risk"},
        "sim_swap_check_swapped differs from lookups in 1 rows",
    ),
    "unknown made safe": (
        RESULTS,
        first_where(
            pl.col("sim_swap_check_swapped").is_null(), sim_swap_check_swapped=pl.lit(value=False)
        ),
        {"enrichment"},
        "sim_swap_check_swapped differs from lookups in 1 rows",
    ),
    "an endpoint not asked": (
        RESULTS,
        first_row("device_swap_check_outcome", pl.lit("success")),
        {"enrichment"},
        "device_swap_check_outcome differs from lookups in 1 rows",
    ),
    "another reason": (
        ERRORS,
        first_where(FAILURE, reason=pl.lit("unreachable")),
        {"failures"},
        "1 failed lookups are not listed",
    ),
    "a failure twice": (
        ERRORS,
        lambda f: pl.concat([f, f.filter(FAILURE).head(1)]),
        {"failures", "accounting", "errors.csv"},
        "1 failures stand there twice",
    ),
    "neither reject nor failure": (
        ERRORS,
        first_where(REJECT, row_index=NOBODY),
        {"failures", "rows"},
        "1 rows are neither a reject nor a failure",
    ),
    "a reject of another reason": (
        ERRORS,
        first_where(REJECT, reason=pl.lit("empty")),
        {"accounting"},
        "rejected rows by reason",
    ),
    "an index twice": (
        RESULTS,
        lambda f: first_row("row_index", pl.lit(int(f["row_index"][1]), pl.Int64))(f),
        {"rows"},
        "1 row indexes stand there twice, the first is",
    ),
    "an index outside": (
        RESULTS,
        first_row("row_index", pl.lit(-1, pl.Int64)),
        {"rows"},
        "1 row indexes lie outside 0 to 299",
    ),
    "a row lost": (
        ERRORS,
        lambda f: f.filter(~(REJECT & (REJECT.cum_sum() == 2))),
        {"rows", "accounting", "errors.csv"},
        "1 row indexes are missing, the first is 10",
    ),
    "a lookup lost": (
        LOOKUPS,
        lambda f: f.filter(~((CHECK & SUCCESS) & ((CHECK & SUCCESS).cum_sum() == 1))),
        {"lookups", "enrichment", "accounting", "summary"},
        "1 numbers of results lack a lookup of sim-swap/check",
    ),
    "a lookup twice": (
        LOOKUPS,
        lambda f: pl.concat([f, f.filter(SUCCESS).head(1)]),
        {"lookups", "accounting", "summary"},
        "1 lookups stand there twice",
    ),
    "a lookup of nobody": (
        LOOKUPS,
        lambda f: pl.concat(
            [f, first_row("e164", pl.lit("+447700999999"))(f.filter(SUCCESS).head(1))]
        ),
        {"lookups", "conflicts", "accounting", "summary"},
        "1 lookups of sim-swap/check for numbers not in results",
    ),
    "another latency": (
        LOOKUPS,
        lambda f: f.with_columns(pl.col("latency_ms") * 2),
        {"summary"},
        "sim-swap/check latency_ms",
    ),
    "another number of attempts": (
        LOOKUPS,
        first_where(SUCCESS, attempts=pl.lit(7, pl.Int32)),
        {"summary"},
        "attempts:",
    ),
}


@pytest.mark.parametrize("damage", CONTENT)
def test_content(run: WholeRun, damage: str) -> None:
    table, change, names, message = CONTENT[damage]
    before = run.frame(table)
    run.rewrite(table, change)
    assert not run.frame(table).equals(before)
    found = differing(run.validate())
    assert set(found) == names, found
    assert message in "; ".join(found.values())


def test_a_kept_column_that_cannot_be_read(run: WholeRun) -> None:
    """It is compared with nothing, but whoever loads the run will read it."""
    path = run.layout.part(RESULTS, 1)
    with pq.ParquetFile(path) as file:
        kept = file.metadata.row_group(0).column(file.schema_arrow.names.index("in_id"))
    begin = kept.dictionary_page_offset or kept.data_page_offset
    held = path.read_bytes()
    path.write_bytes(held[:begin] + b"\xff" * 30 + held[begin + 30 :])
    run.relist()
    found = differing(run.validate())
    assert set(found) == {"readable"}
    assert f"{path.name}: it is no whole Parquet file" in found["readable"]


def test_what_is_found_names_no_number(run: WholeRun) -> None:
    for table, change, _, _ in CONTENT.values():
        run.rewrite(table, change)
    text = "; ".join(differing(run.validate()).values())
    assert not re.search(r"\+\d{4}", text)


def test_a_number_in_two_parts(run: WholeRun) -> None:
    """Each part is sound by itself, and all sums are right: only the place is wrong."""
    moved = run.frame(RESULTS, 1)["e164"].unique()[0]
    left = run.frame(RESULTS, 0)["e164"].unique()[0]

    def swap(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(pl.col("e164").replace(left, moved))

    for table in TABLES:
        run.rewrite(table, swap)
    found = differing(run.validate())
    assert set(found) == {"placing"}
    assert "whose number belongs to another part" in found["placing"]


def test_an_outcome_nobody_knows(run: WholeRun) -> None:
    kind = pl.lit("teapot")
    run.rewrite(LOOKUPS, first_where(~SUCCESS, outcome=kind))
    found = differing(run.validate())
    assert "1 lookups have an outcome nobody knows" in found["values"]


def test_a_number_that_is_none(run: WholeRun) -> None:
    moved = run.frame(RESULTS)["e164"][0]
    for table in TABLES:
        run.rewrite(table, lambda f: f.with_columns(pl.col("e164").replace(moved, "07700")))
    found = differing(run.validate())
    assert set(found) == {"values"}
    assert "a number that is not E.164" in found["values"]


@pytest.mark.parametrize(
    ("section", "name", "names"),
    [
        ("rows", "read", {"accounting"}),
        ("rows", "accepted", {"accounting"}),
        ("rows", "rejected", {"accounting"}),
        ("rows", "duplicates", {"accounting"}),
        ("rows", "unique_numbers", {"accounting"}),
        ("sim-swap/check", "total", {"accounting", "summary"}),
        ("sim-swap/check", "positives", {"summary"}),
        ("sim-swap/check", "attempts", {"summary"}),
        ("sim-swap/check", "refusals", {"summary"}),
        ("sim-swap/check", "cost", {"summary"}),
        (None, "cost", {"summary"}),
    ],
)
def test_figures_of_the_summary(
    run: WholeRun, section: str | None, name: str, names: set[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        figures = content if section is None else content.get(section)
        figures = content["endpoints"][section] if figures is None else figures
        figures[name] += 1

    run.rewrite_json(run.layout.summary, change)
    found = differing(run.validate())
    assert set(found) == names
    assert "in summary.json" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("name", "value"), [("run_id", "x"), ("run_date", "2026-11-24"), ("status", "stopped")]
)
def test_words_of_the_summary(run: WholeRun, name: str, value: str) -> None:
    run.rewrite_json(run.layout.summary, lambda content: content.update({name: value}))
    assert set(differing(run.validate())) == {"summary"}


def test_a_summary_that_is_none(run: WholeRun) -> None:
    run.layout.summary.write_bytes(b"\xff")
    run.relist()
    found = differing(run.validate())
    assert set(found) == {"accounting", "summary"}
    assert "cannot be read" in found["summary"]


def test_lines_of_errors_csv(run: WholeRun) -> None:
    path = run.layout.errors_csv
    lines = path.read_bytes().splitlines(keepends=True)
    for changed, message in (
        (lines[:-1], "lines, "),
        ([*lines, lines[-1]], "lines, "),
        ([lines[1], *lines[1:]], "its header does not name"),
        ([b'"'], "it cannot be read"),
        ([b"\xff"], "it cannot be read"),
    ):
        path.write_bytes(b"".join(changed))
        run.relist()
        found = differing(run.validate())
        assert set(found) == {"errors.csv"}
        assert message in found["errors.csv"]
