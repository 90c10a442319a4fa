from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.config.screening import Input
from batch_screen.errors import InputError
from batch_screen.input.columns import FoundBy, choose, found_by, look_alike, named_phones
from batch_screen.input.detect import sniff
from batch_screen.input.layout import ChosenColumns, InputColumn


def _choose(
    folder: Path, text: str, first: ChosenColumns | None = None, **settings: object
) -> ChosenColumns:
    path = folder / "x.csv"
    path.write_text(text, encoding="utf-8")
    chosen = Input.model_validate(settings)
    return choose(sniff(path, "x.csv", chosen), chosen, first)


@pytest.mark.parametrize(
    "name",
    ["phone", "Phone Number", "MSISDN", "Telefon-Nr.", "Téléphone", "TELÉFONO", "handy", "e.164"],
)
def test_a_column_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    assert _choose(tmp_path, f"id,{name}\n12345678,491713920012\n").phones[0].name == name


@pytest.mark.parametrize(
    "cell", ["4.91713E+11", "491713920012.0", "1713920012", "+33 6 39 98 12 34"]
)
def test_a_named_column_may_be_damaged(tmp_path: Path, cell: str) -> None:
    assert _choose(tmp_path, f"id,phone\n1,{cell}\n").phones[0].name == "phone"


@pytest.mark.parametrize(
    "text",
    [
        "id,who\n12345678,+491713920012\n12345679,+33 6 39 98 12 34\n",
        "born,who\n01.02.1990,0171 3920012\n03.04.1991,0171 3920013\n",
        "amount,who\n0.1234567,tel:+1-202-555-0123\n",
        "who\n491713920012\n",
        "who\n555-0123\n",
    ],
)
def test_a_column_is_known_by_its_content(tmp_path: Path, text: str) -> None:
    assert _choose(tmp_path, text).phones[0].name == "who"


@pytest.mark.parametrize(
    "text",
    [
        "phone,mobile\n01713920012,01713920013\n",  # two by name
        "a,b\n+491713920012,+491713920013\n",  # two by content
        "id,who\n00012345,491713920012\n",  # padded identifiers must not win
        "id,phone\n1,yes\n2,no\n",  # the name alone is not enough
        "a,b\nx,y\n",
        "who\nBob\n",
    ],
)
def test_what_is_not_certain_is_asked(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="--phone-column") as caught:
        _choose(tmp_path, text)
    assert "392001" not in str(caught.value)
    assert caught.value.exit_code == 65


def test_names_are_taken_exactly_then_in_any_case(tmp_path: Path) -> None:
    text = "Who,who\n01713920012,01713920013\n"
    assert _choose(tmp_path, text, phone_column="who").phones[0].position == 1
    with pytest.raises(InputError, match="more than one column"):
        _choose(tmp_path, text, phone_column="WHO")
    assert _choose(tmp_path, "Who,b\n1,2\n", phone_column="wHO").phones[0].name == "Who"


def test_a_missing_column_is_named_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"Did you mean 'Telefon'.* Name one that it has: id, Telefon"
    ):
        _choose(tmp_path, "id,Telefon\n1,01713920012\n", phone_column="telefn")
    with pytest.raises(InputError, match="no region column 'land'"):
        _choose(tmp_path, "id,phone\n1,01713920012\n", region_column="land")
    with pytest.raises(InputError, match="no kept column 'x'"):
        _choose(tmp_path, "id,phone\n1,01713920012\n", keep_columns="x")


@pytest.mark.parametrize("settings", [{}, {"phone_column": "phone"}])
@pytest.mark.parametrize("cell", ["+491713920012", "0171 3920012", "491713920012", "4.91713E+11"])
def test_a_header_of_data_is_told_apart(
    tmp_path: Path, cell: str, settings: dict[str, str]
) -> None:
    with pytest.raises(InputError, match="--no-header") as caught:
        _choose(tmp_path, f"1,{cell}\n2,+491713920013\n", **settings)
    assert cell not in str(caught.value)


def test_without_header_columns_go_by_number(tmp_path: Path) -> None:
    text = "1,01713920012\n2,01713920013\n"
    for name in ("2", "column_2", ""):
        assert _choose(tmp_path, text, has_header=False, phone_column=name).phones[0].position == 1


def test_a_duplicate_name_is_an_error_only_where_it_is_chosen(tmp_path: Path) -> None:
    text = "phone,a,a,b\n01713920012,1,2,3\n"
    assert _choose(tmp_path, text, keep_columns="b").kept.keys() == {"b"}
    for settings in ({"keep_columns": "a"}, {"keep_columns": "all"}, {"region_column": "a"}):
        with pytest.raises(InputError, match="more than one column is called 'a'"):
            _choose(tmp_path, text, **settings)
    with pytest.raises(InputError, match="more than one column is called 'phone'"):
        _choose(tmp_path, "phone,phone\n01713920012,1\n", phone_column="phone")


def test_all_keeps_every_column(tmp_path: Path) -> None:
    kept = _choose(tmp_path, "phone,a,b\n01713920012,1,2\n", keep_columns="all").kept
    assert list(kept) == ["phone", "a", "b"]
    with pytest.raises(InputError, match="upper and lower case"):
        _choose(tmp_path, "phone,a,A\n01713920012,1,2\n", keep_columns="all")


def test_other_files_repeat_the_first_ones_choice(tmp_path: Path) -> None:
    first = _choose(tmp_path, "id,phone\n1,01713920012\n", keep_columns="all")
    other = _choose(tmp_path, "PHONE,id\n01713920013,2\n", first, keep_columns="all")
    assert other.phones[0].position == 0
    assert {name: c.position for name, c in other.kept.items()} == {"id": 1, "phone": 0}
    with pytest.raises(InputError, match="no phone column 'phone'"):
        _choose(tmp_path, "id,mobile\n1,01713920012\n", first)
    with pytest.raises(InputError, match="more columns than the first"):
        _choose(tmp_path, "id,phone,b\n1,01713920012,2\n", first, keep_columns="all")


def test_the_region_column_is_found(tmp_path: Path) -> None:
    region = _choose(tmp_path, "phone,land\n01713920012,DE\n", region_column="Land").region
    assert isinstance(region, InputColumn)
    assert region.position == 1


def test_too_many_columns_to_keep(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    names = ",".join(f"c{n}" for n in range(1_000))
    path.write_text(f"phone,{names}\n0171 3920012\n")
    settings = Input(keep_columns=("all",), phone_column="phone", delimiter=",")
    with pytest.raises(InputError, match="1,001 columns are too many to keep, at most 1,000"):
        choose(sniff(path, "x.csv", settings), settings)


def test_long_names_do_not_make_a_long_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",".join(chr(97 + n) * 500 for n in range(26)) + "\n" + "," * 25 + "\n")
    with pytest.raises(InputError) as caught:
        choose(sniff(path, "x.csv", Input()), Input())
    assert len(str(caught.value)) <= 400


@pytest.mark.parametrize(
    ("text", "settings", "by"),
    [
        ("id,Telefon\n1,0171 3920012\n", {}, FoundBy.NAME),
        ("id,Telefon\n1,0171 3920012\n", {"phone_column": "id"}, FoundBy.OPTION),
        ("id,who\n1,+491713920012\n", {}, FoundBy.CONTENT),
        ("who\n+491713920012\n", {}, FoundBy.ONLY_COLUMN),
    ],
)
def test_how_a_column_was_found(
    tmp_path: Path, text: str, settings: dict[str, str], by: FoundBy
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    chosen = Input.model_validate(settings)
    layout = sniff(path, "x.csv", chosen)
    assert found_by(layout, chosen, choose(layout, chosen).phones[0]) is by


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("mobile,home\n+1 202 555 0101,+1 202 555 0102\n", ["home"]),
        ("mobile,home,work\n2025550101,2025550102,(202) 555-0103\n", ["home", "work"]),
        ("mobile,second\n+12025550101,202-555-0102\n", ["second"]),
        ("mobile,phone 2\n+12025550101,\n+12025550101,2025550102\n", ["phone 2"]),
        ("mobile,who\n+12025550101,00442079460000\n", ["who"]),
        ("mobile,fax,telefax\n+12025550101,+12025550102,+12025550103\n", []),
        ("mobile,id,ssn\n+12025550101,0012345678,123-45-6789\n", []),
        ("mobile,born,home\n+12025550101,1970-01-31,London\n", []),
        ("mobile,workorder\n+12025550101,12345678\n", []),
    ],
)
def test_columns_that_look_like_numbers_too(tmp_path: Path, text: str, others: list[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    layout = sniff(path, "x.csv", Input())
    assert [c.name for c in look_alike(layout, choose(layout, Input()), Input())] == others
    named = Input(phone_column="mobile")
    assert look_alike(layout, choose(layout, named), named) == []


def test_a_duplicate_is_called_as_the_file_calls_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="more than one column is called 'contact'"):
        _choose(tmp_path, "contact,contact\n1,+491713920012\n2,+491713920013\n")


@pytest.mark.parametrize("name", [" phone", "phone ", "\tPhone\u00a0"])
def test_blanks_around_a_name_do_not_matter(tmp_path: Path, name: str) -> None:
    found = _choose(tmp_path, "id, phone\n1,01713920012\n", phone_column=name)
    assert found.phones[0].position == 1


def test_named_columns_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a,b,"a,b","c, d"\n1,2,3,4\n', encoding="utf-8")
    layout = sniff(path, "x.csv", Input())
    for text, names in {
        "a": ["a"],
        "b,a": ["b", "a"],
        "a,b": ["a,b"],  # the name that there is
        "A , B,c,d": ["A , B", "c,d"],
        "c,a": ["c", "a"],  # choose says that there is no c
        "": [],
        ",a,": ["a"],
    }.items():
        assert named_phones(layout, text) == names


@pytest.mark.parametrize("named", ["mobile,hone", "hone,mobile"])
def test_a_name_that_is_missing_among_several(tmp_path: Path, named: str) -> None:
    with pytest.raises(InputError, match=r"there is no phone column 'hone'\. Did you mean 'home'"):
        _choose(tmp_path, "mobile,home\n+12025550101,\n", phone_column=named)
