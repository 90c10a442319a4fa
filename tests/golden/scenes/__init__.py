"""The scenes: what is played, in the order in which it is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.golden.stage import Complete, Stage, cold

from . import commands, inputs, mistakes, nights, runs, trouble

UNPLAYED = "could_not_be_played.txt"


class Scene(NamedTuple):
    """Fixed commands in a folder of their own."""

    name: str
    play: Callable[[Stage], None]
    is_quick: bool = True
    """Whether it is played on every change."""


_ALL = (
    Scene("help", commands.help_of_all, is_quick=False),
    Scene("settings", commands.settings),
    Scene("doctor", commands.doctor, is_quick=False),
    Scene("folders", commands.folders, is_quick=False),
    Scene("everything", runs.everything),
    Scene("sample", runs.sample, is_quick=False),
    Scene("dialect", runs.dialect, is_quick=False),
    Scene("told", runs.told),
    Scene("inputs", inputs.inputs, is_quick=False),
    Scene("rejects", inputs.rejects, is_quick=False),
    Scene("written-again", nights.written_again),
    Scene("next-night", nights.next_night, is_quick=False),
    Scene("planner", nights.planner),
    Scene("changes", nights.changes, is_quick=False),
    Scene("budget", trouble.budget),
    Scene("killed", trouble.killed, is_quick=False),
    Scene("patchy", trouble.patchy, is_quick=False),
    Scene("malformed", trouble.malformed, is_quick=False),
    Scene("single-odd", trouble.single_odd, is_quick=False),
    Scene("stops", trouble.stops, is_quick=False),
    Scene("mistakes", mistakes.mistakes, is_quick=False),
    Scene("damage", mistakes.damage, is_quick=False),
)
SCENES = {scene.name: scene for scene in _ALL}


def played(scene: Scene, folder: Path, complete: Complete = cold) -> dict[str, str]:
    """The texts that a scene comes to, played in an empty folder.

    Where it cannot be played to its end, one of them says why.
    """
    stage = Stage(scene.name, folder, complete)
    try:
        scene.play(stage)
    except Exception:  # noqa: BLE001 (the other scenes are played all the same)
        stage.keep(UNPLAYED, traceback.format_exc())
    return stage.close()
