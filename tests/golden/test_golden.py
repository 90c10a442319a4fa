"""What the command does is what it did when that was recorded: see ``make golden``."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.e2e.starting import complete
from tests.thoroughness import IS_FULL

from .compare import RECORDED, Comparison, Words, write_texts
from .scenes import SCENES, UNPLAYED, Scene, played
from .stage import Stage


@pytest.mark.parametrize("name", [n for n, scene in SCENES.items() if IS_FULL or scene.is_quick])
def test_nothing_has_become_different(name: str, tmp_path: Path) -> None:
    comparison = Comparison(Words.read())
    comparison.add_scene(name, played(SCENES[name], tmp_path, complete))
    advice = "If it is meant: make golden-record, and look at what git shows."
    assert not comparison.differing, "".join([*comparison.report(), advice])


def test_nothing_is_recorded_that_is_not_played() -> None:
    assert {path.name for path in RECORDED.iterdir()} == {*SCENES}


class Plant(NamedTuple):
    """What is done to a run before it is looked at, and to what its command ends with."""

    texts: set[str]
    """The texts that have to be told of."""
    harm: Callable[[Path], object] = lambda _: None
    change: Callable[[bytes], bytes] = lambda said: said
    code: int = 0


def _change_a_cell(out: Path) -> None:
    [path] = out.glob("results/*/*.parquet")
    table = pq.read_table(path, partitioning=None)
    rows = table.to_pylist()
    rows[3]["sim_swap_check_swapped"] = not rows[3]["sim_swap_check_swapped"]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path, compression="zstd")


def _change_a_count(out: Path) -> None:
    [path] = out.glob("runs/*/summary.json")
    text = path.read_text("utf-8")
    assert '"read": 42' in text
    path.write_text(text.replace('"read": 42', '"read": 41', 1), "utf-8")


_HEAD_AND_ONE_LINE = 4
"""Two lines that name a text, the line as it was, the line as it is."""
_RUN = "out/20260302-run0000001"
_PLANTS = {
    "nothing": Plant(set()),
    "a changed cell": Plant({f"{_RUN}/results.txt"}, _change_a_cell),
    "another count": Plant({f"{_RUN}/summary.json"}, _change_a_count),
    "another exit code": Plant({"commands.txt"}, code=4),
    "another word": Plant(
        {"commands.txt"}, change=lambda said: said.replace(b"complete", b"completed", 1)
    ),
    "a missing file": Plant(
        {f"{_RUN}/errors.csv", "out/files.txt"},
        lambda out: next(out.glob("runs/*/errors.csv")).unlink(),
    ),
    "a new file": Plant(
        {f"{_RUN}/new.csv", "out/files.txt"},
        lambda out: next(out.glob("runs/*/errors.csv")).with_name("new.csv").touch(),
    ),
    "another mode": Plant(
        {"out/files.txt"}, lambda out: next(out.glob("runs/*/errors.csv")).chmod(0o644)
    ),
}


def _looked_at(plant: Plant, folder: Path) -> dict[str, str]:
    """The texts of a run that something was planted in."""

    def look(stage: Stage) -> None:
        stage.unpack("night")
        plant.harm(stage.folder / "out")
        stage.play("status", "--out", "out")
        stage.keep_runs()

    def end(command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
        done = complete(command, **how)
        said = plant.change(done.stdout)
        return subprocess.CompletedProcess(command, plant.code, said, done.stderr)

    return played(Scene("planted", look), folder, end)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    texts = _looked_at(_PLANTS["nothing"], tmp_path_factory.mktemp("before"))
    write_texts(folder / "planted", texts)
    return folder


@pytest.mark.parametrize("plant", _PLANTS.values(), ids=_PLANTS)
def test_what_is_planted_is_told_and_nothing_else(
    plant: Plant, recorded: Path, tmp_path: Path
) -> None:
    comparison = Comparison(Words())
    comparison.add_scene("planted", _looked_at(plant, tmp_path), recorded)
    assert {*comparison.differing} == {f"planted/{name}" for name in plant.texts}
    for told in comparison.differing.values():
        assert len([line for line in told.splitlines() if line[0] in "-+"]) <= _HEAD_AND_ONE_LINE


def test_a_scene_that_breaks_off_is_told(tmp_path: Path) -> None:
    def break_off(stage: Stage) -> None:
        stage.note("begun")
        raise ValueError("no such thing")

    comparison = Comparison(Words())
    comparison.add_scene("broken", played(Scene("broken", break_off), tmp_path), tmp_path / "none")
    assert f"broken/{UNPLAYED}" in comparison.differing


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
