from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from batch_screen.errors import BatchScreenError, ConfigurationError, InputError, OutputError
from batch_screen.input import remote
from batch_screen.input.files import expand
from batch_screen.input.remote import RemoteFile, copy_remote, find_remote
from tests.buckets import Bucket

SECRET = "signature-that-nobody-may-see"


@pytest.fixture
def lists(bucket: Bucket) -> Bucket:
    """Lists as a warehouse leaves them, with what it leaves beside them."""
    for key in (
        "crm/march/b.CSV",
        "crm/march/a.txt.gz",
        "crm/march/c.parquet",
        "crm/march/.hidden.csv",
        "crm/march/_SUCCESS",
        "crm/march/README.md",
        "crm/april/country=DE/a.csv",
        "crm/april/country=AT/a.csv",
        "crm/[1].csv",
        "crm-of-others/x.csv",
    ):
        bucket.put(key, f"phone\n{key}\n".encode())
    return bucket


def found(bucket: Bucket, key: str, notes: list[str] | None = None) -> list[str]:
    note = (notes if notes is not None else []).append
    return [each.key for each in find_remote(f"{bucket.address}/{key}", note)]


def test_a_key_is_its_object(lists: Bucket) -> None:
    [each] = find_remote(f"{lists.address}/crm/march/c.parquet", print)
    assert (each.key, each.bytes) == ("crm/march/c.parquet", 26)
    assert each.address == f"{lists.address}/crm/march/c.parquet"
    assert found(lists, "crm/[1].csv") == ["crm/[1].csv"]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_prefix_means_its_lists_sorted_without_hidden_ones(lists: Bucket, end: str) -> None:
    notes: list[str] = []
    assert found(lists, f"crm/march{end}", notes) == [
        "crm/march/a.txt.gz",
        "crm/march/b.CSV",
        "crm/march/c.parquet",
    ]
    assert notes == [f"{lists.address}/crm/march: not read, as no list: README.md"]


def test_patterns_match_as_they_do_on_disk(lists: Bucket, tmp_path: Path) -> None:
    for key in lists.keys:
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).touch()
    for pattern in ("crm/march/*", "crm/**/*.csv", "*/*/a*", "crm/march/[ab].*", "**/*.csv"):
        there = [
            str(p.relative_to(tmp_path))
            for p in map(Path, map(str, expand([f"{tmp_path}/{pattern}"])))
        ]
        assert found(lists, pattern) == there


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("none.csv", "there is no such object, and none below; check the address"),
        ("crm/*.xlsx", "no object matches; check the pattern"),
        ("crm/april", "it holds another folder, country=AT, and folders are not searched inside"),
    ],
)
def test_what_means_nothing_is_named(lists: Bucket, key: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        find_remote(f"{lists.address}/{key}", print)
    assert str(error.value).startswith(f"{lists.address}/{key}: {says}")
    assert error.value.exit_code == 66


def test_a_prefix_of_folders_gives_the_pattern_to_type(lists: Bucket) -> None:
    with pytest.raises(InputError) as error:
        find_remote(f"{lists.address}/crm/april", print)
    pattern = f"{lists.address}/crm/april/**/*.csv"
    assert f"'{pattern}'" in str(error.value)
    assert [each.place.parent.name for each in find_remote(pattern, print)] == [
        "country=AT",
        "country=DE",
    ]


def test_a_prefix_without_a_list_is_refused(bucket: Bucket) -> None:
    bucket.put("crm/README.md", b"x")
    with pytest.raises(InputError, match="crm: no input in this folder; put"):
        find_remote(f"{bucket.address}/crm", print)


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ("_delta_log/00000000000000000000.json", "a Delta Lake"),
        (".hoodie/hoodie.properties", "an Apache Hudi"),
        ("metadata/v1.metadata.json", "an Apache Iceberg"),
    ],
)
@pytest.mark.parametrize("argument", ["crm/day=1/a.parquet", "crm/*/*.parquet", "crm/day=1"])
def test_files_of_tables_are_refused(bucket: Bucket, mark: str, kind: str, argument: str) -> None:
    bucket.put("crm/day=1/a.parquet", b"x")
    assert len(found(bucket, argument)) == 1
    bucket.put(f"crm/{mark}", b"{}")
    with pytest.raises(InputError, match=f"crm: it is {kind} table") as error:
        found(bucket, argument)
    assert error.value.exit_code == 65


def test_twice_is_refused(lists: Bucket) -> None:
    key = f"{lists.address}/crm/march/c.parquet"
    with pytest.raises(InputError, match=r"c\.parquet: it is named twice"):
        expand([key, f"{lists.address}/crm/march/*.parquet"])


def copied(files: list[RemoteFile], folder: Path) -> list[tuple[Path, str]]:
    return copy_remote(files, folder / "copies", lambda _: None)


def test_copies_are_private_and_have_their_digests_and_names(lists: Bucket, tmp_path: Path) -> None:
    files = find_remote(f"{lists.address}/crm/**/a.*", print)
    for file, (path, digest) in zip(files, copied(files, tmp_path), strict=True):
        content = lists.get(file.key)
        assert path.read_bytes() == content
        assert digest == hashlib.sha256(content).hexdigest()
        assert path.name == file.place.name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_an_object_that_changed_since_it_was_found_is_refused(
    lists: Bucket, tmp_path: Path
) -> None:
    files = find_remote(f"{lists.address}/crm/march/c.parquet", print)
    lists.put("crm/march/c.parquet", b"another")
    with pytest.raises(InputError, match=r"c\.parquet: it changed while it was read") as error:
        copied(files, tmp_path)
    assert error.value.exit_code == 65
    lists.delete("crm/march/c.parquet")
    with pytest.raises(InputError, match="no such bucket or object"):
        copy_remote(files, tmp_path / "again", print)


def test_a_name_longer_than_a_files_can_be_keeps_its_end(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put(f"{'ü' * 400}.csv", b"x")
    [(path, _)] = copied(find_remote(f"{bucket.address}/*.csv", print), tmp_path)
    assert path.suffix == ".csv"


def test_a_disk_without_room_is_said_before_anything_is_copied(
    lists: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 25})
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match="has room for 25; free space, or name a folder"):
        copied(find_remote(f"{lists.address}/crm/march/c.parquet", print), tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_disk_that_fills_is_said(
    lists: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = find_remote(f"{lists.address}/crm/march/c.parquet", print)
    real = os.open

    def full(path: object, flags: int, mode: int = 0o777, **how: int) -> int:
        if str(path).endswith("c.parquet"):
            path, flags = "/dev/full", os.O_WRONLY
        return real(str(path), flags, mode, **how)

    monkeypatch.setattr(remote.os, "open", full)
    with pytest.raises(OutputError) as error:
        copied(files, tmp_path)
    assert str(error.value) == (
        f"the list cannot be copied to {tmp_path}: No space left on device; free space, or name a "
        "folder on another disk by --state-dir, for check and plan by TMPDIR"
    )


def test_a_signature_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"HTTPS://127.0.0.1:1/lists/march%201.csv?X-Date=20261128T120000Z&sig={SECRET}"
    [file] = find_remote(address, print)
    assert file.address == "https://127.0.0.1:1/lists/march 1.csv"
    assert file.place.name == "march 1.csv"
    assert SECRET not in repr(file)
    monkeypatch.setattr(file.store, "_raising", InputError)
    with pytest.raises(BatchScreenError) as error:
        file.size()
    assert str(error.value).startswith("https://127.0.0.1:1/lists/march%201.csv: its server cannot")
    assert error.value.exit_code == 69


@pytest.mark.parametrize("scheme", ["https", "s3", "ftp"])
def test_a_password_in_an_address_is_refused_without_being_said(scheme: str) -> None:
    with pytest.raises(ConfigurationError, match="a password in an address") as error:
        expand([f"{scheme}://me:{SECRET}@host/list.csv"])
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("argument", ["list.csv", "./s3://bucket/a", "ftp://host/a", "http://h/a"])
def test_other_arguments_are_not_its_business(argument: str) -> None:
    assert find_remote(argument, print) == []
    with pytest.raises(InputError) as error:
        expand([argument])
    is_elsewhere = "lists are read from s3://, gs://, az:// and https:// only; name a local file: "
    assert error.value.exit_code == 66
    assert (is_elsewhere in str(error.value)) == (argument[1:4] in ("tp:", "ttp"))


def test_without_the_extra_the_line_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from batch_screen.storage import objects

    monkeypatch.setattr(objects, "find_spec", lambda _: None)
    for argument in ("s3://bucket/a.csv", "https://host/a.csv", "gs://b/*.csv", "az://c/a"):
        with pytest.raises(ConfigurationError, match="pip install") as error:
            expand([argument])
        assert error.value.exit_code == 2
