"""``make golden`` and ``make golden-record``: plays the scenes, compares or records.

``python -m tests.golden --quick`` leaves out what takes long; names of scenes choose among them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .compare import RECORDED, Comparison, Words, write_texts
from .scenes import SCENES, UNPLAYED, Scene, played

_AT_ONCE = (os.cpu_count() or 1) + 1


def main() -> int:
    """Exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help="only these")
    parser.add_argument("--record", action="store_true", help="write anew what is recorded")
    parser.add_argument("--quick", action="store_true", help="without the scenes that take long")
    parser.add_argument("--all", action="store_true", help="show every line that differs")
    parser.add_argument("--times", action="store_true", help="say how long each scene took")
    options = parser.parse_args()
    if unknown := {*options.scenes} - {*SCENES}:
        parser.error(
            f"no scene is called {', '.join(sorted(unknown))}; there are {' '.join(SCENES)}"
        )
    chosen = [
        scene
        for name, scene in SCENES.items()
        if (not options.scenes or name in options.scenes) and (scene.is_quick or not options.quick)
    ]
    comparison = Comparison(Words.read(), shows_all=options.all)
    for scene, texts, seconds in _play(chosen):
        if options.times:
            print(f"{scene.name:14} {seconds:5.1f} s", file=sys.stderr)
        if options.record and UNPLAYED not in texts:
            write_texts(RECORDED / scene.name, texts)
        comparison.add_scene(scene.name, texts)
    sys.stdout.writelines(comparison.report())
    return 1 if comparison.differing else 0


def _play(scenes: list[Scene]) -> Iterator[tuple[Scene, dict[str, str], float]]:
    """Some at a time, for commands wait for answers and for disks."""

    def play(scene: Scene) -> tuple[Scene, dict[str, str], float]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            return scene, played(scene, Path(folder)), time.monotonic() - began

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(play, scenes)


if __name__ == "__main__":
    sys.exit(main())
