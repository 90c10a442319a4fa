from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xlsxwriter

import batch_screen.commands.export as command
from batch_screen import Job, Settings, export, run
from batch_screen.config.screening import Input, Numbers, Screening
from batch_screen.config.sections import Output
from batch_screen.config.settings import Pacing
from batch_screen.errors import ConfigurationError, InputError, OutputError
from batch_screen.model import Endpoint
from batch_screen.runs.layout import RESULTS, Layout, latest_run, layout_of_run
from batch_screen.runs.state import RETRY_OF, Identity, create_run
from batch_screen.storage import partition
from batch_screen.tables.sheets import write_sheet
from tests.unit.tables.whole_run import ENDPOINTS, WholeRun, new_whole_run

FLAGS = ["risk_sim_recent", "risk_device_recent", "risk_forwarding_active"]
ROWS = [
    "C-01,Ann Bell,+44 20 7946 0022,",
    "C-02,=cmd|' /C calc'!A0,020 7946 00,GB",
    "C-03,,,GB",
    'C-04,"Di, Eder",4.93023E+11,DE',
    "C-05,Ed Fox,020 7946 0066,GB",
    "C-06,Flo Gray,020 7946 0041 / 020 7946 0042,GB",
    "C-07,Gil Hall,0",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    return new_whole_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def whole(made: WholeRun, tmp_path: Path) -> WholeRun:
    return made.copy(tmp_path / "out")


def lines(path: Path) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""))]


def results(whole: WholeRun) -> pl.DataFrame:
    parts = whole.layout.parts(RESULTS)
    return pl.concat([pl.read_parquet(p, hive_partitioning=False) for p in parts])


@pytest.mark.parametrize("range_bytes", [1_000, 1 << 20])
def test_who_deserves_a_look_stands_in_the_order_of_the_list(
    whole: WholeRun, tmp_path: Path, range_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_BYTES", range_bytes)
    told = export(whole.layout.folder, tmp_path / "flagged.csv")
    found, rows = lines(tmp_path / "flagged.csv"), results(whole).sort("row_index")
    flagged = rows.filter(pl.any_horizontal(pl.col(FLAGS).fill_null(value=False)))
    assert [row["e164"] for row in found] == [f"'{number}" for number in flagged["e164"]]
    assert [row["in_id"] for row in found] == flagged["in_id"].to_list()
    assert [int(row["source_row"]) for row in found] == flagged["source_row"].to_list()
    assert all(int(row["line"]) == int(row["source_row"]) + 1 for row in found)
    assert (told.rows, told.of_rows) == (flagged.height, rows.height)
    assert told.counts == {
        "SIM changed": flagged["risk_sim_recent"].sum(),
        "all calls forwarded": flagged["risk_forwarding_active"].sum(),
    }


def test_every_signal_has_its_date_or_its_bound(whole: WholeRun, tmp_path: Path) -> None:
    export(whole.layout.folder, tmp_path / "flagged.csv")
    by_number = {row["e164"]: row for row in lines(tmp_path / "flagged.csv")}
    # Swapped and dated yesterday; swapped by the check alone; and forwarded only.
    assert by_number["'+447700900001"]["why"] == "SIM changed; all calls forwarded"
    assert by_number["'+447700900001"]["since"] == "2026-11-22 00:00 UTC; seen 2026-11-23 00:00 UTC"
    assert by_number["'+447700900011"]["since"].startswith("after 2026-11-21 08:00 UTC; seen ")
    assert by_number["'+447700900009"]["why"] == "all calls forwarded"
    assert by_number["'+447700900009"]["since"] == "seen 2026-11-23 00:00 UTC"


def test_the_unknown_are_counted_and_never_called_safe(whole: WholeRun, tmp_path: Path) -> None:
    path = tmp_path / "flagged.csv"
    without, told = (export(whole.layout.folder, path, unknown=each) for each in (False, True))
    rows = results(whole)
    asked = ["risk_sim_recent", "risk_forwarding_active"]
    is_flagged = pl.any_horizontal(pl.col(asked).fill_null(value=False))
    unknown = rows.filter(~is_flagged, pl.any_horizontal(pl.col(asked).is_null()))
    assert (told.unknown, without.unknown) == (unknown.height, unknown.height)
    assert 0 < told.unanswered < told.unknown
    assert told.rows == without.rows + told.unknown
    said = [row["why"] for row in lines(path) if row["why"].startswith("unknown")]
    assert len(said) == told.unknown
    assert "unknown; sim-swap/check: timeout" in said


def test_masked_sheets_hold_no_whole_number(whole: WholeRun, tmp_path: Path) -> None:
    export(whole.layout.folder, tmp_path / "flagged.csv", masked=True)
    content = (tmp_path / "flagged.csv").read_text("utf-8-sig")
    assert "'+4477••••••" in content
    assert not any(number[1:] in content for number in results(whole)["e164"])


def test_rejects_without_their_list_are_masked_and_said_to_be(
    whole: WholeRun, tmp_path: Path
) -> None:
    told = export(whole.layout.folder, tmp_path / "a.csv", rejected=True)
    assert told.counts == {"not_a_number": 30}
    assert (told.rows, told.of_rows) == (30, 300)
    assert told.note == f"the state of run {whole.layout.run_id} is gone"
    found = lines(tmp_path / "a.csv")
    assert [row["cell"] for row in found] == ["07••• ••••••"] * 30
    assert [int(row["source_row"]) for row in found] == [*range(1, 300, 10)]
    assert "in_id" not in found[0]
    assert not export(whole.layout.folder, tmp_path / "a.csv", rejected=True, masked=True).note


@pytest.mark.parametrize("name", ["summary", "part", "marker"])
def test_a_run_that_is_not_whole_is_refused(whole: WholeRun, tmp_path: Path, name: str) -> None:
    layout = whole.layout
    path = layout.part(RESULTS, 0) if name == "part" else getattr(layout, name)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="is not what was written") as caught:
        export(layout.folder, tmp_path / "a.csv")
    assert caught.value.exit_code == 65
    layout.marker.unlink()
    with pytest.raises(InputError, match="is not complete") as caught:
        export(layout.run, tmp_path / "a.csv")
    assert caught.value.exit_code == 65
    assert not (tmp_path / "a.csv").exists()


def test_what_is_not_there_and_where_nobody_may_write(whole: WholeRun, tmp_path: Path) -> None:
    for folder, run_id in ((tmp_path / "no", None), (whole.layout.folder, "20261123-0000000000")):
        with pytest.raises(InputError) as caught:
            export(folder, tmp_path / "a.csv", run_id)
        assert caught.value.exit_code == 66
    for path in (whole.layout.folder / "a.csv", whole.layout.part(RESULTS, 0)):
        with pytest.raises(ConfigurationError, match="lies in the output folder"):
            export(whole.layout.folder, path)
    with pytest.raises(OutputError, match=r"there is no folder .*; make it first") as refused:
        export(whole.layout.folder, tmp_path / "none" / "a.csv")
    assert refused.value.exit_code == 73
    with pytest.raises(ConfigurationError, match="its name has to end"):
        export(whole.layout.folder, tmp_path / "a.pdf")
    (tmp_path / "list.csv").write_text("the list")
    with pytest.raises(ConfigurationError, match="a list that the run has read"):
        export(whole.layout.folder, tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text() == "the list"


def test_all_answers_of_an_endpoint_alone(tmp_path: Path) -> None:
    one = new_whole_run(tmp_path, endpoints=(Endpoint.SIM_SWAP_CHECK,))
    told = export(one.layout.folder, tmp_path / "a.parquet")
    found = pl.read_parquet(tmp_path / "a.parquet")
    assert found["why"].unique().to_list() == ["SIM changed"]
    assert found["since"].str.starts_with("after ").all()
    assert told.unknown == told.of_rows - told.rows  # nothing rules an older change out
    assert len(ENDPOINTS) == 3


class Screened:
    """A run over a list that lies beside its output."""

    def __init__(self, folder: Path, numbers: Numbers | None = None) -> None:
        self.list, self.out = folder / "list.csv", folder / "out"
        self.list.write_text("\n".join(["id,name,phone,country", *ROWS]), "utf-8")
        self.settings = Settings(
            input=Input(region_column="country", keep_columns=("id", "name")),
            numbers=numbers or Numbers(),
            screening=Screening(endpoints=tuple(Endpoint)),
            pacing=Pacing(rate_per_second=1000),
            output=Output(folder=str(self.out)),
        )
        job = Job((str(self.list),), self.settings, run_date=date(2026, 11, 23), sandbox=True)
        self.summary = run(job).summary

    @property
    def layout(self) -> Layout:
        return layout_of_run(self.out, str(latest_run(self.out)))


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> Screened:
    return Screened(tmp_path_factory.mktemp("screened"))


@pytest.mark.parametrize(
    ("range_bytes", "at_once", "batch_rows"),
    [(1, 3, 2), (1, 20_000, 150_000), (1 << 20, 2, 2), (1 << 20, 2, 3), (1 << 20, 20_000, 2)],
)
def test_rejected_rows_have_the_cells_of_the_list(  # noqa: PLR0917 (a few rows at once)
    screened: Screened,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    range_bytes: int,
    at_once: int,
    batch_rows: int,
) -> None:
    monkeypatch.setattr(partition, "RANGE_BYTES", range_bytes)
    monkeypatch.setattr(command, "_AT_ONCE", at_once)
    monkeypatch.setattr(command, "BATCH_ROWS", batch_rows)
    heights: list[int] = []

    def written(path: Path, title: str, columns: Any, frames: Any, **how: Any) -> None:
        def seen() -> Iterator[pl.DataFrame]:
            for frame in frames:
                heights.append(frame.height)
                yield frame

        write_sheet(path, title, columns, seen(), **how)

    monkeypatch.setattr(command, "write_sheet", written)
    told = export(screened.out, tmp_path / "a.csv", rejected=True)
    found = lines(tmp_path / "a.csv")
    assert max(heights) <= at_once, "no more rows are held, however many the list has"
    assert not told.note
    assert [(row["line"], row["in_id"], row["column"], row["cell"]) for row in found] == [
        ("3", "C-02", "phone", "020 7946 00"),
        ("4", "C-03", "phone", ""),
        ("5", "C-04", "phone", "'4.93023E+11"),
        ("7", "C-06", "phone", "020 7946 0041 / 020 7946 0042"),
        ("8", "C-07", "phone", "0"),
    ]
    assert found[0]["in_name"] == "'=cmd|' /C calc'!A0"
    assert all(row["reason"] and row["remedy"] for row in found)
    assert told.rows == screened.summary.rows.rejected == 5


def test_nothing_more_is_shown_of_who_opted_out(tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("+44 20 7946 0022")
    numbers = Numbers(opt_out_file=str(tmp_path / "out.txt"))
    made = Screened(tmp_path, numbers=numbers)
    export(made.out, tmp_path / "a.csv", rejected=True)
    with pytest.raises(ConfigurationError, match="a list that the run has read"):
        export(made.out, (tmp_path / "out.txt").rename(tmp_path / "out.csv"))
    [row] = [row for row in lines(tmp_path / "a.csv") if row["reason"] == "opted_out"]
    assert (row["line"], row["cell"], row["in_name"]) == ("2", "'+4• •• •••• ••••", "")


def test_a_list_that_has_changed_gives_no_cells(screened: Screened, tmp_path: Path) -> None:
    content = screened.list.read_bytes()
    try:
        screened.list.write_bytes(content.replace(b"C-02", b"X-02"))
        told = export(screened.out, tmp_path / "a.csv", rejected=True)
        assert told.note.endswith("list.csv has changed since; restore it")
        assert lines(tmp_path / "a.csv")[0]["cell"] == "02• •••• ••"
        screened.list.unlink()
        assert "no such file" in export(screened.out, tmp_path / "a.csv", rejected=True).note
    finally:
        screened.list.write_bytes(content)


def test_a_retry_has_the_list_of_the_run_that_it_retries(
    screened: Screened,
) -> None:
    """Its own input is that run."""
    retried = Identity(["0" * 64], "2026-11-23", {RETRY_OF: screened.layout.run_id})
    retry = create_run(screened.out / ".state", retried, ["run"], taken=[])
    found, fault = command._run(retry.run_id, screened.out / ".state")
    assert found is not None
    assert not fault
    assert found.file.inputs == [str(screened.list)]
    odd = Identity(["0" * 64], "2026-11-22", {RETRY_OF: "../../other"})
    retry = create_run(screened.out / ".state", odd, ["run"], taken=[])
    found, fault = command._run(retry.run_id, screened.out / ".state")
    assert (found, fault) == (None, "the state of run ../../other is gone")


def test_a_damaged_state_is_not_called_gone(screened: Screened, tmp_path: Path) -> None:
    state = screened.out / ".state" / "runs" / screened.layout.run_id / "run.json"
    content = state.read_bytes()
    try:
        state.write_bytes(content[:-9])
        note = export(screened.out, tmp_path / "a.csv", rejected=True).note
    finally:
        state.write_bytes(content)
    assert "is missing, incomplete or not as it was written" in note
    assert "restore it from a backup" in note
    assert lines(tmp_path / "a.csv")[0]["cell"] == "02• •••• ••"


def test_the_list_itself_is_never_written_over(screened: Screened, tmp_path: Path) -> None:
    link = tmp_path / "other name.csv"
    link.symlink_to(screened.list)
    for target in (screened.list, link):
        with pytest.raises(ConfigurationError, match="a list that the run has read"):
            export(screened.out, target)
    assert export(screened.layout.run, tmp_path / "list.csv").rows >= 0
    (tmp_path / "list.csv").write_text("another file of that name")
    export(screened.out, tmp_path / "list.csv")  # the state knows which file was the list


@pytest.mark.parametrize(
    ("head", "settings", "first_line"),
    [
        ("phone,country\n", {}, 2),
        ("Customers of November\n\nphone,country\n", {}, 4),
        ("# made by export\nphone,country\n", {"skip_lines": 1}, 3),
        ("sep=,\nphone,country\n", {}, 2),
        ("", {"has_header": False, "phone_column": "column_1"}, 1),
    ],
)
def test_lines_are_counted_as_a_spreadsheet_does(
    tmp_path: Path, head: str, settings: dict[str, Any], first_line: int
) -> None:
    listed, out = tmp_path / "of +447700900123.csv", tmp_path / "out"
    listed.write_text(f"{head}0,GB\n+442079460022,GB\n020 7946 0066,GB\n+44,GB\n", "utf-8")
    made = Settings(
        input=Input(default_region="GB", **settings),
        pacing=Pacing(rate_per_second=1000),
        output=Output(folder=str(out)),
    )
    run(Job((str(listed),), made, run_date=date(2026, 11, 23), sandbox=True))
    export(out, tmp_path / "a.csv", rejected=True)
    assert "447700900123" not in next(out.glob("runs/*/summary.json")).read_text("utf-8")
    found = lines(tmp_path / "a.csv")
    assert [int(row["line"]) for row in found] == [first_line, first_line + 3]
    text = listed.read_text("utf-8").removeprefix("sep=,\n").split("\n")
    assert [text[int(row["line"]) - 1].split(",")[0] for row in found] == ["0", "+44"]


@pytest.mark.parametrize(("top", "has_title"), [(0, False), (0, True), (3, False), (3, True)])
def test_lines_of_a_workbook(tmp_path: Path, top: int, has_title: bool) -> None:
    listed, out = tmp_path / "list.xlsx", tmp_path / "out"
    rows = [["Customers"]] * has_title + [["phone", "country"], ["0", "GB"]]
    rows += [["+442079460022", "GB"], ["+442079460066", "GB"], ["+44", "GB"]]
    with xlsxwriter.Workbook(listed) as book:
        sheet = book.add_worksheet()
        for n, cells in enumerate(rows):
            sheet.write_row(top + n, 0, cells)
    made = Settings(pacing=Pacing(rate_per_second=1000), output=Output(folder=str(out)))
    run(Job((str(listed),), made, run_date=date(2026, 11, 23), sandbox=True))
    export(out, tmp_path / "a.csv", rejected=True)
    found = [(int(row["line"]), row["cell"]) for row in lines(tmp_path / "a.csv")]
    first = top + has_title + 2
    assert found == [(first, "0"), (first + 3, "'+44")]
