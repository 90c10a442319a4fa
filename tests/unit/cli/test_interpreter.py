from __future__ import annotations

import sys
from pathlib import Path

import pytest

from batch_screen.cli.interpreter import this_python


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The interpreter in use: that of an environment below this folder, not activated."""
    used = environment(tmp_path / ".venv")
    monkeypatch.setattr(sys, "executable", str(used))
    monkeypatch.setenv("PATH", str(environment(tmp_path / "system").parent))
    monkeypatch.chdir(tmp_path)
    return used


def environment(folder: Path) -> Path:
    """An environment's Python: two names for the system's."""
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (folder / "bin" / name).symlink_to(sys.executable)
    return folder / "bin" / "python3"


@pytest.mark.usefixtures("python")
def test_another_python_is_not_this_one() -> None:
    assert this_python() == ".venv/bin/python3"


def test_the_name_is_enough_in_an_activated_environment(
    python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin")
    assert this_python() == "python"
    (python.parent / "python").unlink()
    assert this_python() == "python3"


def test_from_another_folder_it_is_the_whole_path(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "system")
    assert this_python() == str(python)
    monkeypatch.chdir(python.parent)  # where the bare name would be looked for elsewhere
    assert this_python() == str(python)


def test_a_program_that_has_no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert this_python() == "python3"
