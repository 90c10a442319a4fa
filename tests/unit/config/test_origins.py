from __future__ import annotations

from pathlib import Path

import pytest

from batch_screen.config.origins import Origin, Origins, Source, line_of

TEXT = """\
[pacing]
headroom = 0.1
rate_per_second = 3
[api.paths]
"sim-swap/check" = "/v2"
"""
SHORT = {"BATCH_SCREEN_API_KEY_FILE": "api.key_file"}


def origins(**environment: str) -> Origins:
    flags = {"pacing": {"rate_per_second": 1}}
    return Origins(flags, environment, SHORT, Path("my.toml"), TEXT)


def test_the_strongest_place_counts() -> None:
    name = "BATCH_SCREEN_PACING__HEADROOM"
    assert origins().of("pacing", "rate_per_second") == Origin(Source.FLAG)
    assert origins().of("pacing", "headroom") == Origin(Source.FILE, "my.toml, line 2")
    assert origins(**{name: "1"}).of("pacing", "headroom") == Origin(Source.VARIABLE, name)
    assert origins(**{name.lower(): "1"}).of("pacing", "headroom").place == name.lower()
    assert origins().of("api", "paths") == Origin(Source.FILE, "my.toml, line 4")
    assert origins().of("api", "proxy") == Origin(Source.DEFAULT)


def test_a_short_variable_outweighs_the_long_one() -> None:
    both = {"BATCH_SCREEN_API_KEY_FILE": "a", "BATCH_SCREEN_API__KEY_FILE": "b"}
    assert origins(**both).of("api", "key_file").place == "BATCH_SCREEN_API_KEY_FILE"


@pytest.mark.parametrize(
    ("section", "name", "prefix"),
    [
        ("pacing", "rate_per_second", "command line: "),
        ("pacing", "headroom", "my.toml, line 2: "),
        ("api", "proxy", ""),
    ],
)
def test_what_an_error_begins_with(section: str, name: str, prefix: str) -> None:
    assert origins().prefix(section, name) == prefix
    assert origins(BATCH_SCREEN_API__PROXY="x").prefix("api", "proxy") == (
        "environment variable BATCH_SCREEN_API__PROXY: "
    )


@pytest.mark.parametrize(
    ("section", "name", "line"), [("pacing", "", 1), ("api", "paths", 4), ("zzz", "x", None)]
)
def test_lines(section: str, name: str, line: int | None) -> None:
    assert line_of(TEXT, section, name) == line
