"""The scenes: what is played, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.golden.stage import Complete, Stage, cold

from . import commands, inputs, mistakes, nights, runs, trouble


class Scene(NamedTuple):
    """Fixed commands in a folder of their own."""

    name: str
    play: Callable[[Stage], None]
    is_quick: bool = True
    """Whether it is played on every change."""


_ALL = (
    Scene("help", commands.help_of_all),
    Scene("pages", commands.pages),
    Scene("settings", commands.settings),
    Scene("doctor", commands.doctor, is_quick=False),
    Scene("folders", commands.folders, is_quick=False),
    Scene("everything", runs.everything),
    Scene("sample", runs.sample, is_quick=False),
    Scene("dialect", runs.dialect, is_quick=False),
    Scene("told", runs.told),
    Scene("inputs", inputs.inputs, is_quick=False),
    Scene("rejects", inputs.rejects),
    Scene("written-again", nights.written_again),
    Scene("next-night", nights.next_night),
    Scene("planner", nights.planner),
    Scene("changes", nights.changes),
    Scene("budget", trouble.budget),
    Scene("killed", trouble.killed),
    Scene("patchy", trouble.patchy),
    Scene("malformed", trouble.malformed, is_quick=False),
    Scene("single-odd", trouble.single_odd, is_quick=False),
    Scene("stops", trouble.stops, is_quick=False),
    Scene("mistakes", mistakes.mistakes),
    Scene("damage", mistakes.damage, is_quick=False),
)
SCENES = {scene.name: scene for scene in _ALL}


def played(scene: Scene, folder: Path, complete: Complete = cold) -> dict[str, str]:
    """The texts that a scene comes to, played in an empty folder."""
    stage = Stage(scene.name, folder, complete)
    scene.play(stage)
    return stage.close()
