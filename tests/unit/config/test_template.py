from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.load import Source, load_traced, parse_settings, variable_names
from batch_screen.config.settings import Settings
from batch_screen.config.template import (
    Setting,
    as_toml,
    new_configuration,
    shown_settings,
    template,
    toml_lines,
)
from batch_screen.errors import ConfigurationError

NUMBER = "+491713920012"


def shown(**flags: dict[str, object]) -> list[Setting]:
    return shown_settings(load_traced(flags))


def test_the_defaults_are_a_file_of_the_defaults() -> None:
    text = as_toml(shown())
    assert parse_settings(text, Path("x")) == Settings()
    assert text.count("# default") == len(shown())


def test_what_is_set_is_read_back() -> None:
    flags: dict[str, dict[str, object]] = {
        "api": {"paths": {"sim-swap/check": '/"v2"'}, "ca_file": "ä \\ b"},
        "input": {"keep_columns": ["a", "b\tc"], "delimiter": "tab"},
        "schedule": {"rate_per_second_by_hour": {"22-06": 5}},
        "prices": {"per_request": {"sim-swap/check": 0.01}, "currency": "USD"},
        "budget": {"max_duration_seconds": "6h"},
    }
    traced = load_traced(flags)
    assert parse_settings(as_toml(shown_settings(traced)), Path("x")) == traced.settings


@pytest.mark.parametrize(
    ("section", "name", "value", "secret"),
    [
        ("api", "proxy", "http://me:s3cret@proxy.example:1", "s3cret"),
        ("numbers", "test_numbers", [NUMBER], NUMBER[1:]),
        ("output", "folder", f"out/{NUMBER}", NUMBER[1:]),
        ("input", "keep_columns", [NUMBER], NUMBER[1:]),
    ],
)
def test_what_may_not_be_shown_is_a_masked_comment(
    section: str, name: str, value: object, secret: str
) -> None:
    found = shown(**{section: {name: value}})
    [own] = [each for each in found if each.name == f"{section}.{name}"]
    assert own.is_masked
    assert own.source is Source.FLAG
    text = as_toml(found)
    assert secret not in text
    assert f"# not shown in full: {name} = " in text
    assert parse_settings(text, Path("x")) == Settings()


ROOT = Path(__file__).parents[3]
NAME = Path("my.toml")


def test_the_template_is_the_file_at_the_root() -> None:
    assert template() == (ROOT / "config.toml").read_text("utf-8")


def test_an_installed_package_holds_it(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as packed:
        assert packed.read("batch_screen/config.toml").decode() == template()


def test_nothing_chosen_sets_nothing() -> None:
    text = new_configuration({}, NAME)
    assert parse_settings(text, NAME) == Settings()
    assert not any(values for t in tomllib.loads(text).values() for values in t.values() if values)
    explained = set(re.findall(r"^#(\w+) = ", text, re.MULTILINE))
    tables = {name for name in variable_names().values() if f"[{name}]" in text}
    assert explained | {n.split(".")[1] for n in tables} == {
        name.split(".")[1] for name in variable_names().values()
    }


def test_all_settings_uncommented_are_the_defaults() -> None:
    text = re.sub(r"^#(\w+ = )", r"\1", new_configuration({}, NAME), flags=re.MULTILINE)
    assert parse_settings(text, NAME) == Settings()


def test_what_is_chosen_is_set() -> None:
    chosen = {
        "pacing": {"rate_per_second": 5.0},
        "screening": {"endpoints": ["sim-swap/check", "device-swap/check"]},
        "prices": {"per_request": {"sim-swap/check": 0.01}},
        "input": {"phone_column": 'a "b"'},
    }
    text = new_configuration(chosen, NAME)
    assert tomllib.loads(text)["pacing"]["rate_per_second"] == 5.0
    assert parse_settings(text, NAME) == Settings(**chosen)


def test_what_cannot_be_meant_is_refused_by_the_files_name() -> None:
    with pytest.raises(ConfigurationError, match=r"my\.toml, line \d+: pacing\.rate_per_second"):
        new_configuration({"pacing": {"rate_per_second": 0}}, NAME)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.lists(TEXTS, max_size=3)
)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_what_is_written_is_read_back(table: dict[str, Any]) -> None:
    read = tomllib.loads("\n".join(toml_lines(table)))
    assert read == table
    assert {k: type(v) for k, v in read.items()} == {k: type(v) for k, v in table.items()}
