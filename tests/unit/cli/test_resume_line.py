from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from batch_screen.cli.resume_line import resuming
from batch_screen.config.load import load_settings
from batch_screen.config.settings import Settings
from batch_screen.standing import RunStanding, State

OUT = {"output": {"folder": "my out"}}


def of(changed: dict[str, Any], inputs: list[str] | None = None) -> RunStanding:
    settings = Settings().identity() | changed
    named = inputs or ["/lists/my list.csv"]
    return RunStanding("r", "2026-03-02", State.RESUMABLE, named, settings=settings)


def test_what_is_as_here_is_not_repeated() -> None:
    found = resuming(of({}), load_settings(OUT), Path("c.toml"))
    assert shlex.split(found.command) == [
        *("batch-screen", "run", "/lists/my list.csv", "--config", "c.toml"),
        *("--out", "my out", "--run-date", "2026-03-02"),
    ]
    assert found.besides == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("screening.endpoints", ["sim-swap/check", "device-swap/check"], ["--endpoints"]),
        ("input.phone_column", "my phone", ["--phone-column", "my phone"]),
        ("input.has_header", False, ["--no-header"]),
        ("api.base_url", "sandbox", ["--sandbox"]),
        ("api.base_url", "http://127.0.0.1:1/v1", ["--base-url", "http://127.0.0.1:1/v1"]),
    ],
)
def test_what_differs_is_a_flag(name: str, value: object, words: list[str]) -> None:
    found = shlex.split(resuming(of({name: value}), load_settings(OUT), None).command)
    assert [word for word in found if word in words] == words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("numbers.ambiguous", "national"),
        ("numbers.vanity_letters", True),
        ("output.shard_lookups", 1_000),
        ("api.paths", {"sim-swap/check": "/v2"}),
    ],
)
def test_what_has_no_flag_is_a_variable(name: str, value: object) -> None:
    run = of({name: value})
    words = shlex.split(resuming(run, load_settings(OUT), None).command)
    variable, _, text = words[0].partition("=")
    assert words[1] == "batch-screen"
    assert load_settings(OUT, environment={variable: text}).identity() == run.settings


def test_a_default_outweighs_what_is_set_here() -> None:
    here = load_settings(
        {**OUT, "numbers": {"allowed_regions": ["DE"]}, "input": {"phone_column": "x"}}
    )
    words = shlex.split(resuming(of({}), here, None).command)
    assert words[0] == "BATCH_SCREEN_NUMBERS__ALLOWED_REGIONS="
    assert words[words.index("--phone-column") + 1] == ""


def test_what_cannot_be_typed_is_said() -> None:
    hidden = {"numbers.test_numbers": ["+491713920012"], "numbers.opt_out_file": "ab" * 32}
    found = resuming(of(hidden, ["stdin"]), load_settings(OUT), None)
    assert found.besides == "with the same --opt-out list; with the same numbers.test_numbers"
    assert "+491713920012" not in found.command
    assert shlex.split(found.command)[:3] == ["batch-screen", "run", "-"]
