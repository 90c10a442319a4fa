"""What the command does is what it did when that was recorded: see ``make golden``."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.starting import complete
from tests.thoroughness import IS_FULL

from .compare import RECORDED, Comparison, Words
from .scenes import SCENES, played


@pytest.mark.parametrize("name", [n for n, scene in SCENES.items() if IS_FULL or scene.is_quick])
def test_nothing_has_become_different(name: str, tmp_path: Path) -> None:
    def start(command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        return complete(command, **how)

    comparison = Comparison(Words.read())
    comparison.add_scene(name, played(SCENES[name], tmp_path, start))
    advice = "If it is meant: make golden-record, and look at what git shows."
    assert not comparison.differing, "".join([*comparison.report(), advice])


def test_nothing_is_recorded_that_is_not_played() -> None:
    assert {path.name for path in RECORDED.iterdir()} == {*SCENES}


def test_a_missing_a_new_and_another_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    for name, text in {"a": "old line\nlast\n", "b": "gone\n", "c": "same\n"}.items():
        (tmp_path / "scene" / name).write_text(text, "utf-8")
    comparison = Comparison(Words())
    now = {"a": "new line\nlast\n", "c": "same\n", "d": "new\n"}
    comparison.add_scene("scene", now, tmp_path)
    assert set(comparison.differing) == {"scene/a", "scene/b", "scene/d"}
    assert "-old line\n+new line\n" in comparison.differing["scene/a"]
    assert [*comparison.report()][-1] == "golden: 4 texts, 3 differ\n"


def test_renamed_words_may_move_line_ends() -> None:
    comparison = Comparison(Words(phrases={"to mend": "to be fixed"}))
    comparison.add("a", "what is\nto mend here\n", "what is to\nbe fixed here\n")
    comparison.add("b", "what is\nhere\n", "what\nis here\n")
    assert comparison.rewrapped == ["a"]
    assert set(comparison.differing) == {"b"}
