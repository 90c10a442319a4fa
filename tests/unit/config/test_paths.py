from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from batch_screen.config.load import load_settings
from batch_screen.config.paths import (
    is_address,
    local_file,
    local_folder,
    local_input,
    refuse_address,
    refuse_input_address,
    shown_address,
)
from batch_screen.errors import ConfigurationError, ExitCode, InputError

ADDRESSES = [
    "s3://bucket/screened",
    "S3://bucket",
    "s3a://bucket/x/",
    "gs://bucket/screened",
    "az://container/screened",
    "abfss://container@account.dfs.core.windows.net/screened",
    "https://host/list.csv",
    "ftp://host/list.csv",
    "sftp://me@host/list.csv",
    "hdfs://nodes/screened",
    "hdfs:/screened",
    "dbfs:/mnt/screened",
    "file:///mnt/screened",
    "file:/mnt/screened",
    "unheard-of+scheme://x",
]
PATHS = [
    "screened",
    "nightly:2026",
    "nightly:2026/second",
    "a:b",
    "C:/lists/customers.csv",
    "C:\\lists\\customers.csv",
    "c://lists",
    "./s3://bucket",
    "/srv/s3://bucket",
    "~/screened",
    "//server/share",
    "\\\\server\\share",
    "profile:/screened",
    "user@host:screened",
    "2026-03-02T10:00:00/screened",
    "",
]


def test_what_an_address_is() -> None:
    assert [path for path in ADDRESSES if not is_address(path)] == []
    assert [path for path in PATHS if is_address(path)] == []
    # A path that was put together by a program has one slash.
    assert is_address(Path("s3://bucket/screened"))


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("output", "folder"),
        ("output", "state_folder"),
        ("output", "summary_file"),
        ("metrics", "file"),
        ("numbers", "opt_out_file"),
        ("api", "key_file"),
        ("api", "ca_file"),
    ],
)
def test_no_setting_is_an_address(section: str, name: str) -> None:
    for address in ADDRESSES:
        with pytest.raises(ConfigurationError, match=rf"^command line: {section}\.{name}: .*addr"):
            load_settings({section: {name: address}})
    for path in PATHS:
        settings = load_settings({section: {name: path}})
        assert getattr(getattr(settings, section), name) == path


def test_the_variable_that_holds_an_address_is_named() -> None:
    with pytest.raises(ConfigurationError, match="environment variable BATCH_SCREEN_OUTPUT__F"):
        load_settings(environment={"BATCH_SCREEN_OUTPUT__FOLDER": "s3://bucket/x"})


def said(refused: Callable[[str], object], address: str) -> str:
    with pytest.raises((ValueError, InputError, ConfigurationError)) as caught:
        refused(address)
    return str(caught.value)


def test_what_to_do_instead() -> None:
    for scheme in ("s3", "gs", "az"):
        address = f"{scheme}://bucket/nightly"
        text = said(local_folder, address)
        assert "a bucket has no lock, and no run that was stopped could go on there" in text
        line = f"batch-screen run … --out nightly && batch-screen upload nightly --to {address}"
        assert text.endswith(f"such as nightly, then upload it: {line}")
    assert said(local_folder, "hdfs://nodes/nightly").endswith("such as nightly, then upload it")
    assert said(local_file, "s3://bucket/x/last.json").endswith(
        "aws s3 cp last.json s3://bucket/x/last.json"
    )
    assert said(local_file, "gs://bucket").endswith("gcloud storage cp screened gs://bucket")
    assert said(local_file, "https://host/x").endswith("such as x, then upload it")
    assert said(local_folder, "file:///mnt/out%202").endswith("the path alone: '/mnt/out 2'")
    assert said(local_input, "file://localhost/a.csv").endswith("name the path alone: /a.csv")
    assert "download it first, or mount it" in said(refuse_input_address, "s3://bucket/a.csv")
    with pytest.raises(ConfigurationError, match="--write must be a local path"):
        refuse_address(Path("s3://bucket/a.parquet"), "--write")
    with pytest.raises(InputError) as caught:
        refuse_input_address(Path("s3://bucket/a.parquet"))
    assert caught.value.exit_code == ExitCode.NO_INPUT


def test_no_secret_and_no_number_is_shown() -> None:
    for address in (
        "https://me:s3cret@host/list.csv?sig=s3cret#s3cret",
        "s3://bucket/+447700900123.csv",
        "s3://bucket/a b;rm -rf",
        "file:///lists/447700900123.csv",
    ):
        for refused in (local_file, local_folder, local_input, refuse_input_address):
            text = said(refused, address)
            assert "s3cret" not in text
            assert "7700900123" not in text
        assert "s3cret" not in shown_address(address)
    azure = "container@account.dfs.core.windows.net/screened"
    assert shown_address(f"abfss://{azure}") == f"abfss://{azure}"
    assert shown_address("abfss://me:s3cret@host/x") == "abfss://host/x"
