from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from batch_screen.config.load import parse_settings, variable_names
from batch_screen.config.settings import Settings
from batch_screen.config.template import new_configuration, template
from batch_screen.errors import ConfigurationError

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
