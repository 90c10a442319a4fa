from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from batch_screen import RunEvents, Settings
from batch_screen.config.screening import Input
from batch_screen.erasure.people import People, read_people
from batch_screen.errors import ConfigurationError, InputError
from batch_screen.privacy.ids import NumberIds

SETTINGS = Settings(input=Input(default_region="GB"))
NUMBER = "+442079460007"


def people(*numbers: str) -> People:
    return People(pl.Series(numbers or (NUMBER,)))


def read(source: Path | str) -> People:
    return read_people(str(source), SETTINGS, RunEvents())


@pytest.mark.parametrize(
    "content", ["+44 20 7946 0007\n", "phone\n020 7946 0007\n", "00442079460007"]
)
def test_numbers_are_read_as_an_opt_out_list_is(tmp_path: Path, content: str) -> None:
    (tmp_path / "list").write_text(content)
    assert read(tmp_path / "list").e164.to_list() == [NUMBER]


def test_numbers_come_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"+442079460007\n")))
    assert read("-").masked == ["+4420••••••07"]


def test_a_cell_that_is_no_number_is_refused_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("phone\n020 7946 0007\n020 7946 ABC\n")
    with pytest.raises(InputError, match=r"row 2 .* nothing was changed") as caught:
        read(tmp_path / "list")
    assert "7946" not in str(caught.value)


def test_no_number_at_all(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("phone\n\n")
    with pytest.raises(InputError):
        read(tmp_path / "list")


WRITTEN = [
    "+442079460007",
    "0044 20 7946-0007",
    "020 7946 0007",
    "+44 (0)20 7946 0007",
    "2079460007",
    "2079460007.0",
    "home 020 7946 0007, office 020 7946 0008",
]


def test_kept_cells_hold_a_number_however_it_is_written() -> None:
    cells = [*WRITTEN, "020 7946 0008", "C-0007", None, ""]
    frame = pl.DataFrame({"in_mobile": cells, "e164": cells, "in_name": ["x"] * len(cells)})
    found = people().in_cells(frame)
    assert [*found] == ["in_mobile"]
    assert found["in_mobile"].to_list() == [True] * len(WRITTEN) + [False] * 4


def test_kept_integers_hold_numbers_too() -> None:
    frame = pl.DataFrame({"in_n": [442079460007, 7], "in_f": [1.0, None], "in_b": [True, None]})
    assert people().in_cells(frame)["in_n"].to_list() == [True, False]


def test_a_short_number_must_be_the_whole_cell() -> None:
    short = people("+24740123")  # Saint Helena
    frame = pl.DataFrame({"in_a": ["40123", "040123", "9940123", None]})
    assert short.in_cells(frame)["in_a"].to_list() == [True, True, False, False]


def test_runs_with_ids_need_their_key() -> None:
    ids = NumberIds(bytes(32))
    assert people().keys(None).to_list() == [NUMBER]
    assert People(pl.Series([NUMBER]), ids).keys(ids.key_id).to_list() == [
        *ids.of(pl.Series([NUMBER]))
    ]
    for each in (people(), People(pl.Series([NUMBER]), NumberIds(b"1" * 32))):
        with pytest.raises(ConfigurationError, match="--id-key-file"):
            each.keys(ids.key_id)
