from __future__ import annotations

import csv
import io
import os
import stat
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from batch_screen.errors import InputError, OutputError
from batch_screen.input.files import (
    Stdin,
    digest,
    expand,
    partitions,
    refuse_changed,
    spool,
    translated,
)

NUMBER = "+491713920012"
Panic = type("PanicException", (BaseException,), {})


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (pa.ArrowInvalid(NUMBER), 65),
        (pa.ArrowNotImplementedError(NUMBER), 65),
        (pl.exceptions.ComputeError(NUMBER), 65),
        (Panic(NUMBER), 65),
        (csv.Error(NUMBER), 65),
        (UnicodeDecodeError("utf-8", NUMBER.encode(), 0, 1, NUMBER), 65),
        (OSError(NUMBER), 65),
        (MemoryError(NUMBER), 65),
        (OSError(5, "Input/output error", NUMBER), 66),
        (FileNotFoundError(2, NUMBER), 66),
        (PermissionError(13, NUMBER), 66),
    ],
)
def test_every_foreign_error_becomes_one_masked_line(error: BaseException, exit_code: int) -> None:
    with pytest.raises(InputError, match=r"^x\.csv: ") as caught, translated("x.csv"):
        raise error
    assert caught.value.exit_code == exit_code
    assert NUMBER not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [InputError("ours"), KeyboardInterrupt(), ZeroDivisionError()])
def test_ours_and_bugs_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translated("x.csv"):
        raise error
    assert caught.value is error


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"phone\n")


def test_a_digest_is_taken_of_a_regular_file_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InputError, match=r"^the list: it is not a regular file") as caught:
            digest(tmp_path / name, "the list")
        assert caught.value.exit_code == 66
    with pytest.raises(InputError, match=r"^the list: there is no such file"):
        digest(tmp_path / "nowhere", "the list")


def test_files_stay_as_given_and_dash_is_stdin(tmp_path: Path) -> None:
    _touch(tmp_path, "b.csv", "a.csv")
    given = [str(tmp_path / "b.csv"), "-", str(tmp_path / "a.csv")]
    assert expand(given) == [tmp_path / "b.csv", Stdin(), tmp_path / "a.csv"]


def test_a_folder_means_its_lists_sorted_without_hidden_files(tmp_path: Path) -> None:
    _touch(tmp_path, "b.CSV", "a.txt.gz", "c.parquet", ".hidden.csv", "README.md", "d.csv.zst")
    (tmp_path / ".git").mkdir()
    names = [Path(str(p)).name for p in expand([str(tmp_path)])]
    assert names == ["a.txt.gz", "b.CSV", "c.parquet", "d.csv.zst"]


def test_a_glob_is_sorted(tmp_path: Path) -> None:
    _touch(tmp_path, "b.csv", "a.csv", "c.txt")
    assert expand([str(tmp_path / "*.csv")]) == [tmp_path / "a.csv", tmp_path / "b.csv"]


def test_a_name_with_brackets_is_a_file_if_it_exists(tmp_path: Path) -> None:
    _touch(tmp_path, "a[1].csv")
    assert expand([str(tmp_path / "a[1].csv")]) == [tmp_path / "a[1].csv"]


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("missing.csv", "there is no such file"),
        ("*.nothing", "no file matches"),
        ("empty", "no input in this folder"),
        ("deep", "holds another folder"),
        ("*", "it is a folder"),
        ("pipe", "not a regular file"),
    ],
)
def test_what_means_nothing_is_named(tmp_path: Path, argument: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "deep" / "inner").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=says) as caught:
        expand([str(tmp_path / argument)])
    assert caught.value.exit_code == 66
    assert argument.strip("*") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_and_twice_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv")
    with pytest.raises(InputError, match="no input"):
        expand([])
    with pytest.raises(InputError, match="named twice"):
        expand([str(tmp_path), str(tmp_path / "a.csv")])
    with pytest.raises(InputError, match="stdin: it is named twice"):
        expand(["-", "-"])


def test_missing_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, "a.csv")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="may not read") as caught:
        expand([str(tmp_path / "a.csv")])
    assert caught.value.exit_code == 66


def test_spool_copies_to_a_private_file(tmp_path: Path) -> None:
    content = b"phone\n" + b"+491713920012\n" * 200_000
    path = tmp_path / "copy"
    spool(io.BytesIO(content), path)
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_spool_takes_the_place_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path / "missing" / "copy"):
        with pytest.raises(OutputError, match="cannot be copied"):
            spool(io.BytesIO(b"x"), path)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest(tmp_path / "a").startswith("ba7816bf8f01cfea")
    with pytest.raises(InputError, match="no such file"):
        digest(tmp_path / "b")


def _screened(folder: Path) -> list[Path]:
    """The excluded paths, after a run that left its output in the folder."""
    out = folder / "screened"
    (out / "results").mkdir(parents=True)
    _touch(folder, "a.csv")
    _touch(out / "results", "part.csv")
    return [out, out / ".state"]


def test_a_list_that_lies_apart_is_no_input_unless_it_is_named(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv", "no.csv")
    excluded = [tmp_path / "no.csv"]
    assert expand([str(tmp_path)], excluded=excluded) == [tmp_path / "a.csv"]
    assert expand([str(tmp_path / "*.csv")], excluded=excluded) == [tmp_path / "a.csv"]
    assert expand([str(excluded[0])], excluded=excluded) == excluded


def test_our_own_output_is_no_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    excluded = _screened(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert expand(["."], excluded=excluded) == [Path("a.csv")]
    assert expand(["**/*.csv"], excluded=excluded) == [Path("a.csv")]
    assert expand(["*"], excluded=[Path("screened")]) == [Path("a.csv")]
    with pytest.raises(InputError, match="holds another folder"):
        expand(["."])


def test_a_folder_around_the_output_counts_for_what_else_it_holds(tmp_path: Path) -> None:
    excluded = [path / "deep" for path in _screened(tmp_path)]
    with pytest.raises(InputError, match="holds another folder"):  # with another list in it
        expand([str(tmp_path)], excluded=excluded)
    excluded = [tmp_path / "screened" / "results" / "today"]
    (tmp_path / "screened" / "results" / "part.csv").unlink()
    excluded[0].mkdir()
    assert expand([str(tmp_path)], excluded=excluded) == [tmp_path / "a.csv"]


def test_what_is_named_inside_the_output_is_meant(tmp_path: Path) -> None:
    excluded = _screened(tmp_path)
    part = excluded[0] / "results" / "part.csv"
    for argument in (part, part.parent, part.parent / "*.csv"):
        assert expand([str(argument)], excluded=excluded) == [part]
    assert expand([str(tmp_path / "*.csv")], excluded=[tmp_path]) == [tmp_path / "a.csv"]


def test_the_suggested_pattern_finds_something(tmp_path: Path) -> None:
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    _touch(tmp_path / "deep", "README.md")
    _touch(tmp_path / "deep" / "deeper", "a.CSV.gz")
    with pytest.raises(InputError, match=r"/\*\*/\*\.CSV\.gz'"):
        expand([str(tmp_path)])


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv")
    before = digest(tmp_path / "a.csv")
    refuse_changed(tmp_path / "a.csv", before)
    (tmp_path / "a.csv").write_bytes(b"phone\n1")
    with pytest.raises(InputError, match="it changed while it was read"):
        refuse_changed(tmp_path / "a.csv", before)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """Two of them double the paths at each of forty levels."""
    work = tmp_path / "work"
    (work / "out").mkdir(parents=True)
    for name in ("a", "b"):
        (work / name).symlink_to(work)
    with pytest.raises(InputError, match="it holds another folder"):
        expand([str(tmp_path)], excluded=[work / "out"])


MARKERS = ("_SUCCESS", "_metadata", "_committed_1", ".part-0.csv.crc", "part-0.crc", "~$a.csv")


def test_files_of_a_folder_that_are_not_read_are_named(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv", "list.docx", "Käufer \u2028.bak", *MARKERS, ".DS_Store", "Thumbs.db")
    notes: list[str] = []
    assert expand([str(tmp_path)], note=notes.append) == [tmp_path / "a.csv"]
    assert notes == [f"{tmp_path}: not read, as no list: Käufer \u2028.bak, list.docx"]
    _touch(tmp_path, *(f"{n}.bin" for n in range(9)))
    expand([str(tmp_path)], note=notes.append)
    assert notes[1].endswith("0.bin, 1.bin, 2.bin, 3.bin, 4.bin and 6 more")


def test_markers_match_no_pattern(tmp_path: Path) -> None:
    _touch(tmp_path, "a.csv", *MARKERS)
    assert expand([str(tmp_path / "*")]) == [tmp_path / "a.csv"]


def test_values_of_partitions_are_decoded() -> None:
    paths = [Path("x=1/city=K%C3%B6ln/a.csv"), Path("city=__HIVE_DEFAULT_PARTITION__/b=/a.csv")]
    assert partitions(paths) == [{"city": "Köln"}, {"city": None}]
    assert partitions([Path("a=1.csv")]) == [{}]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta Lake table"),
        (".hoodie/hoodie.properties", "an Apache Hudi table"),
        ("metadata/v1.metadata.json", "an Apache Iceberg table"),
        ("metadata/version-hint.text", "an Apache Iceberg table"),
    ],
)
def test_files_of_a_table_format_are_refused(tmp_path: Path, made: str, kind: str) -> None:
    """They hold rows that were deleted from the table."""
    lake = tmp_path / "lake"
    (lake / made).parent.mkdir(parents=True)
    (lake / made).touch()
    (lake / "data").mkdir()
    _touch(lake, "part-0.csv")
    _touch(lake / "data", "part-1.csv")
    for argument in ("", "part-0.csv", "*.csv", "data", "data/part-1.csv", "**/*.csv"):
        with pytest.raises(InputError, match=f"it is {kind}") as caught:
            expand([str(lake / argument)])
        assert caught.value.exit_code == 65
