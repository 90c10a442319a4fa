from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.config.load import load_traced, parse_settings
from batch_screen.config.origins import Source
from batch_screen.config.settings import Settings
from batch_screen.config.shown import Setting, as_toml, shown_settings

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
