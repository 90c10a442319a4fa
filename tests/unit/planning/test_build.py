from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Input, Numbers, Strictness
from batch_screen.config.sections import Output
from batch_screen.config.settings import Settings
from batch_screen.errors import InputError, Stopped
from batch_screen.input.files import Stdin, digest
from batch_screen.model import Plan
from batch_screen.planning.build import InputFile, on_disk, plan_inputs
from batch_screen.planning.shards import read_plan, rejects_path, shard_rows_path
from batch_screen.runs.events import CancelToken, RunEvents, Silent
from batch_screen.runs.state import Identity
from tests.thoroughness import examples

SETTINGS = Settings(
    input=Input(default_region="GB", keep_columns=("id",)),
    numbers=Numbers(strictness=Strictness.POSSIBLE),
)


def csv(path: Path, rows: list[str], header: str = "id,phone") -> InputFile:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return InputFile(path)


def planned(sources: list[InputFile], folder: Path, settings: Settings = SETTINGS) -> Plan:
    return plan_inputs(sources, settings, folder, RunEvents())


def test_rows_of_all_sources_in_one_plan(tmp_path: Path) -> None:
    sources = [
        csv(tmp_path / "a.csv", ["1,07700 900001", "2,"]),
        csv(tmp_path / "b.csv", ["3,+447700900002", "4,no"]),
    ]
    plan = planned(sources, tmp_path / "plan")
    assert (plan.rows, plan.accepted) == (4, 2)
    assert sum(plan.rejected.values()) == 2
    assert plan.kept == ["in_id"]
    assert plan.facts["phone_column"] == "phone"
    assert plan.facts["number_metadata"]
    rows = pl.read_parquet(shard_rows_path(tmp_path / "plan", 0))
    assert rows.select("in_id", "row_index", "source_file", "source_row", "e164").rows() == [
        ("1", 0, "a.csv", 1, "+447700900001"),
        ("3", 2, "b.csv", 1, "+447700900002"),
    ]
    assert read_plan(tmp_path / "plan") == plan


class _Pipe:
    """Standard input that fails, or asks for the end, as soon as its copy has begun."""

    def __init__(self, fail: Callable[[], None]) -> None:
        self.buffer = self
        self._fail = fail

    def read(self, _: int) -> bytes:
        self._fail()
        return b""


def _broken() -> None:
    raise OSError(5, "Input/output error")


def test_nothing_of_stdin_is_left_where_reading_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = RunEvents()
    for fail, error in ((_broken, InputError), (lambda: events.stop.request(2), Stopped)):
        monkeypatch.setattr("sys.stdin", _Pipe(fail))
        with pytest.raises(error), on_disk([Stdin()], tmp_path, events):
            pytest.fail("it was not copied")
        assert list(tmp_path.iterdir()) == []


def test_nothing_of_stdin_is_left_where_the_signal_comes_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, real = RunEvents(), os.open

    def opened(name: str, flags: int, mode: int = 0o777) -> int:
        descriptor = real(name, flags, mode)
        if "stdin-" in str(name):
            os.close(descriptor)
            events.stop.request(2)
        return descriptor

    monkeypatch.setattr(os, "open", opened)
    with pytest.raises(Stopped), on_disk([Stdin()], tmp_path, events):
        pytest.fail("it was not copied")
    assert list(tmp_path.iterdir()) == []


def test_a_source_can_have_another_name_than_its_file(tmp_path: Path) -> None:
    source = csv(tmp_path / "spooled.tmp", ["1,07700 900001"])
    planned([source._replace(name="stdin")], tmp_path / "plan")
    rows = pl.read_parquet(shard_rows_path(tmp_path / "plan", 0))
    assert rows["source_file"].to_list() == ["stdin"]


def test_a_row_with_too_many_cells_is_turned_down_whatever_its_number(tmp_path: Path) -> None:
    rows = ["1,07700 900001", "2,07700 900002,surplus", "3,bad,surplus", *["4,07700 900004"] * 3]
    plan = planned([csv(tmp_path / "a.csv", rows)], tmp_path / "plan")
    assert plan.rejected == {"ragged_row": 2}
    rejects = pl.read_parquet(rejects_path(tmp_path / "plan"))
    assert rejects["source_row"].to_list() == [2, 3]
    assert rejects["detail"].to_list() == [None, None]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no rows"),
        (["1,", "2,"], r"none of the 2 rows .* column 'phone' \(empty 2\)"),
        (["1,nonsense", "2,", "3,"], r"none of the 3 rows .*empty 2, .* 1\); Fill in"),
    ],
)
def test_nothing_usable_is_an_error_and_leaves_no_plan(
    tmp_path: Path, rows: list[str], words: str
) -> None:
    source = csv(tmp_path / "a.csv", rows)
    settings = SETTINGS.model_copy(update={"input": Input(phone_column="phone")})
    with pytest.raises(InputError, match=words):
        planned([source], tmp_path / "plan", settings)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_wish_to_stop_ends_planning_between_two_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = csv(tmp_path / "a.csv", [f"{i},07700 900{i:03d}" for i in range(100)])
    stop = CancelToken()

    class Counting(Silent):
        def advance(self, count: int) -> None:
            assert count == 100
            stop.request(signal.SIGTERM)

    with pytest.raises(Stopped):
        plan_inputs([source], SETTINGS, tmp_path / "plan", RunEvents(Counting(), stop))
    assert read_plan(tmp_path / "plan") is None
    assert planned([source], tmp_path / "plan").accepted == 100


def test_planning_twice_gives_the_same_files(tmp_path: Path) -> None:
    rows = [f"{i},07700 900{i * 37 % 1000:03d}" for i in range(2500)]
    source = csv(tmp_path / "a.csv", rows)
    settings = SETTINGS.model_copy(update={"output": Output(shard_lookups=1000)})
    plans = [planned([source], tmp_path / name, settings) for name in ("one", "two")]
    assert plans[0] == plans[1]
    assert len(plans[0].shards) == 4
    files = sorted(path.name for path in (tmp_path / "one").glob("*.parquet"))
    assert files == sorted(path.name for path in (tmp_path / "two").glob("*.parquet"))
    for name in files:
        one, two = (pl.read_parquet(tmp_path / folder / name) for folder in ("one", "two"))
        assert one.equals(two)


def test_a_list_that_changes_meanwhile_makes_no_plan(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,+442079460001"])
    identity = Identity([digest(source.path)], "2026-11-23", SETTINGS.identity())
    csv(source.path, ["1,+442079460002"])
    with pytest.raises(InputError, match=r"a\.csv: it changed while it was read"):
        plan_inputs([source], SETTINGS, tmp_path / "plan", RunEvents(), identity)
    assert read_plan(tmp_path / "plan") is None


def objected(folder: Path, content: str, **numbers: object) -> Settings:
    path = folder / "no.txt"
    path.write_text(content, encoding="utf-8")
    how = {**SETTINGS.numbers.model_dump(), "opt_out_file": str(path), **numbers}
    return SETTINGS.model_copy(update={"numbers": Numbers.model_validate(how)})


def test_who_objected_is_in_no_plan(tmp_path: Path) -> None:
    source = csv(
        tmp_path / "a.csv",
        ["1,07700 900001", "2,+447700900002", "3,0044 7700 900003", "4,07700 900002", "5,no"],
    )
    plan = planned([source], tmp_path / "plan", objected(tmp_path, "07700 900 002\n+447700900003"))
    assert plan.rejected == {"opted_out": 3, "not_a_number": 1}
    rows = pl.read_parquet(shard_rows_path(tmp_path / "plan", 0))
    assert rows["e164"].to_list() == ["+447700900001"]
    rejects = pl.read_parquet(rejects_path(tmp_path / "plan"))
    assert rejects["raw_masked"][0] == "+4•••••••••••"
    assert rejects["detail"][0] is None
    files = [path.read_bytes() for path in (tmp_path / "plan").iterdir()]
    assert not [file for file in files if b"900002" in file or b"900003" in file]


def test_regions_decide_who_is_in_the_plan(tmp_path: Path) -> None:
    rows = ["1,+442079460001", "2,+493023125001", "3,+33199000001", "4,+12025550101"]
    source = csv(tmp_path / "a.csv", rows)
    numbers = Numbers(allowed_regions=("DE", "GB"), denied_regions=("US",))
    settings = SETTINGS.model_copy(update={"numbers": numbers})
    plan = planned([source], tmp_path / "plan", settings)
    assert plan.accepted == 2
    assert plan.rejected == {"region_denied": 1, "region_not_allowed": 1}


def test_a_shifted_row_is_ragged_whoever_it_names(tmp_path: Path) -> None:
    rows = ["1,07700 900001,surplus", "2,07700 900002", "3,07700 900003"]
    settings = objected(tmp_path, "07700 900001")
    plan = planned([csv(tmp_path / "a.csv", rows)], tmp_path / "plan", settings)
    assert plan.rejected == {"ragged_row": 1}


def test_a_list_of_which_a_line_cannot_be_read_makes_no_plan(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,07700 900001"])
    settings = objected(tmp_path, "07700 900002\n07700 900003 privat\n")
    with pytest.raises(InputError, match=r"opt-out list .*no\.txt: row 2 \(07") as caught:
        planned([source], tmp_path / "plan", settings)
    assert "900003" not in str(caught.value)
    assert read_plan(tmp_path / "plan") is None


def test_an_opt_out_list_that_changes_meanwhile_makes_no_plan(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,07700 900001"])
    settings = objected(tmp_path, "07700 900002")
    begun = {**settings.identity(), "numbers.opt_out_file": digest(tmp_path / "no.txt")}
    identity = Identity([digest(source.path)], "2026-11-23", begun)
    assert plan_inputs([source], settings, tmp_path / "plan", RunEvents(), identity).accepted == 1
    objected(tmp_path, "07700 900003")
    with pytest.raises(InputError, match=r"opt-out list .*no\.txt: it changed while it was read"):
        plan_inputs([source], settings, tmp_path / "other", RunEvents(), identity)
    assert read_plan(tmp_path / "other") is None


def test_a_wish_to_stop_is_heard_while_the_opt_out_list_is_read(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,07700 900001"])
    stop = CancelToken()

    class Stages(Silent):
        def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
            assert name == "opting out"
            stop.request(signal.SIGTERM)

    settings = objected(tmp_path, "07700 900002")
    with pytest.raises(Stopped):
        plan_inputs([source], settings, tmp_path / "plan", RunEvents(Stages(), stop))


def test_nobody_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,07700 900001"])
    with pytest.raises(InputError, match=r"\(opted_out 1\); Leave the row out"):
        planned([source], tmp_path / "plan", objected(tmp_path, "07700 900001"))


GIVEN = (
    "+4420 7946 0{:03}",
    "004420 7946 0{:03}",
    "020 7946 0{:03}",
    "'+442079460{:03}",
    "(020) 7946-0{:03}",
    "tel:+44-20-7946-0{:03}",
    "442079460{:03}",
)
WRITTEN = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(GIVEN)), min_size=1, max_size=12)


@given(WRITTEN, WRITTEN, st.sampled_from([Strictness.POSSIBLE, Strictness.VALID]))
@examples(40)
def test_no_opted_out_number_is_ever_in_a_plan_however_it_is_written(
    people: list[tuple[int, str]], gone: list[tuple[int, str]], strictness: Strictness
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = [f"1,{spelling.format(who)}" for who, spelling in people]
        source = csv(folder / "a.csv", [*rows, "2,020 7946 0999"])
        lines = "\n".join(spelling.format(who) for who, spelling in gone)
        planned([source], folder / "plan", objected(folder, lines, strictness=strictness))
        left = {who for who, _ in people} - {who for who, _ in gone}
        accepted = pl.read_parquet(shard_rows_path(folder / "plan", 0))
        assert {*accepted["e164"]} == {f"+442079460{who:03}" for who in {*left, 999}}


# Several phone columns: each is read as it is stored and written.


def test_each_phone_column_has_its_own_kind_and_convention(tmp_path: Path) -> None:
    mobiles = [f"49171392{i:04}" for i in range(250)]
    homes = [f"30231{i:05}.0" if i % 2 else "" for i in range(250)]
    source = csv(
        tmp_path / "a.csv",
        [f"{i},{m},{h}" for i, (m, h) in enumerate(zip(mobiles, homes, strict=True))],
        header="id,mobile,home",
    )
    settings = Settings(input=Input(default_region="DE", phone_column="mobile,home"))
    plan = planned([source], tmp_path / "plan", settings)
    columns = {name: (c.read, c.accepted, c.empty) for name, c in plan.phone_columns.items()}
    assert columns == {"mobile": (250, 250, 0), "home": (250, 125, 125)}
    assert (plan.rows, plan.rejected) == (500, {"empty": 125})
    assert plan.facts["phone_column"] == "mobile, home"
    rows = pl.read_parquet(shard_rows_path(tmp_path / "plan", 0))
    assert rows["row_index"].is_sorted()
    assert {rule.split("+")[-1] for rule in rows.filter(phone_column="home")["rule"]} == {
        "float_column"
    }
    rejects = pl.read_parquet(rejects_path(tmp_path / "plan"))
    assert rejects["row_index"].to_list() == [4 * i + 1 for i in range(125)]
    assert rejects["phone_column"].unique().to_list() == ["home"]


def test_what_a_first_reading_has_found_never_counts_as_the_plan(tmp_path: Path) -> None:
    """A start that was killed before the second one would take it for whole."""
    folder, there = tmp_path / "plan", dict[str, bool]()

    class Looking(Silent):
        def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
            del total, done
            there[name] = folder.exists()

    rows = [f"{i},171392{i:04}" for i in range(300)]
    source = csv(tmp_path / "a.csv", [*rows, "300,15123003456"])
    settings = Settings(input=Input(default_region="DE"))
    plan = plan_inputs([source], settings, folder, RunEvents(progress=Looking()))
    assert there["reading again"] is False
    assert read_plan(folder) == plan
    assert plan.facts["conventions"] == "DE national"


def test_a_column_is_not_read_by_what_another_one_shows(tmp_path: Path) -> None:
    doubtful = "15123003456"  # a German mobile without its zero, or a number of the US
    shown = [f"171392{i:04}" for i in range(300)]
    lines = [f"{i},{cell}," for i, cell in enumerate(shown)]
    source = csv(tmp_path / "a.csv", [*lines, f"300,,{doubtful}"], header="id,mobile,home")
    settings = Settings(input=Input(default_region="DE", phone_column="mobile,home"))
    both = planned([source], tmp_path / "both", settings)
    alone = planned(
        [csv(tmp_path / "b.csv", [f"1,{doubtful}", "2,+493023125001"], header="id,home")],
        tmp_path / "alone",
        Settings(input=Input(default_region="DE", phone_column="home")),
    )
    assert both.rejected["ambiguous"] == alone.rejected["ambiguous"] == 1
    assert both.phone_columns["mobile"].accepted == 300


def test_an_opt_out_list_is_read_in_all_columns_that_it_shares(tmp_path: Path) -> None:
    source = csv(tmp_path / "a.csv", ["1,+12025550100,+12025550101"], header="id,mobile,home")
    (tmp_path / "no.csv").write_text("mobile,home\n+12025550199,+12025550101\n")
    settings = Settings(
        input=Input(phone_column="mobile,home"),
        numbers=Numbers(opt_out_file=str(tmp_path / "no.csv")),
    )
    plan = planned([source], tmp_path / "plan", settings)
    assert (plan.accepted, plan.rejected) == (1, {"opted_out": 1})


def test_columns_that_are_left_out_are_named(tmp_path: Path) -> None:
    class Notes(Silent):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, message: str) -> None:
            self.notes.append(message)

    source = csv(tmp_path / "a.csv", ["1,+12025550100,+12025550101"], header="id,mobile,home")
    said = Notes()
    plan_inputs([source], Settings(), tmp_path / "one", RunEvents(said))
    assert said.notes == [
        "column mobile is read; home looks like phone numbers, too: name them with --phone-column"
    ]
    named = Settings(input=Input(phone_column="mobile"))
    plan_inputs([source], named, tmp_path / "two", RunEvents(said))
    assert len(said.notes) == 1
