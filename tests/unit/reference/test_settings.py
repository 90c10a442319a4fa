from __future__ import annotations

import re
from typing import Any

import pytest

from batch_screen.cli.options import _SETTINGS
from batch_screen.config.load import variable_names
from batch_screen.config.settings import Settings
from batch_screen.runs.state import KEEP_COLUMNS
from docs.generate.settings import (
    CONFIG,
    Written,
    flags_of_settings,
    read_config,
    settings_page,
    type_of,
)


def test_every_setting_has_its_variable_and_says_whether_it_is_identity() -> None:
    row = re.compile(r"^\| .* \| .* \| .* \| (`BATCH_.*`) \| (yes|no) \|$", re.MULTILINE)
    identity = {*Settings().identity()} - {KEEP_COLUMNS}
    listed = {
        variables.split("`")[-2]: said == "yes" for variables, said in row.findall(settings_page())
    }
    assert listed == {name: dotted in identity for name, dotted in variable_names().items()}


def test_flags_are_those_of_the_options() -> None:
    flags = flags_of_settings()
    assert flags["pacing.rate_per_second"] == ["--rate"]
    assert flags["input.has_header"] == ["--no-header"]
    assert {".".join(place) for place in _SETTINGS.values()} <= set(flags)
    assert set(flags) <= set(variable_names().values())


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "number", "exclusiveMinimum": 0}, "number above 0"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number from 0 below 1"),
        ({"$ref": "#/$defs/Kind"}, "one of `a`, `b`"),
        ({"type": "array", "items": {"type": "string"}}, "list of: text"),
        (
            {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/Kind"},
                "additionalProperties": {"type": "boolean"},
            },
            "table of: one of `a`, `b` = true or false",
        ),
    ],
)
def test_types_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema, {"Kind": {"enum": ["a", "b"], "type": "string"}}) == words


TEXT = """\
# In front.

[pacing]
# How fast.
# Twice as fast. [run identity]
rate = 10.0

# Its content is part of the [run identity].
file = ""
other = 1

# By endpoint.
[pacing.by_endpoint]
# "a/b" = 5
"""


def test_what_stands_above_a_setting() -> None:
    assert read_config(TEXT) == {
        "pacing.rate": Written("How fast. Twice as fast.", "10.0"),
        "pacing.file": Written("Its content is part of the run's identity.", '""'),
        "pacing.other": Written("Its content is part of the run's identity.", "1"),
        "pacing.by_endpoint": Written("By endpoint.", "", '"a/b" = 5'),
    }


def test_the_file_of_the_repository_explains_every_setting() -> None:
    found = read_config(CONFIG.read_text("utf-8"))
    assert set(found) == set(variable_names().values())
    assert [name for name, written in found.items() if not written.comment] == []
    assert not any("[run identity]" in written.comment for written in found.values())
