"""What to type to start the Python that runs this command, with the libraries it has."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_NAMES = ("python", "python3")


def this_python() -> str:
    """The shortest command, from this folder, that starts the interpreter in use.

    A bare ``python`` only where it is this one: without an activated environment it is another,
    which has none of the libraries, or there is none.
    """
    if not sys.executable:  # of a frozen program
        return _NAMES[-1]
    used = Path(sys.executable)
    named = (name for name in _NAMES if _is_found(used.with_name(name)) and _is_same(used, name))
    return next(named, None) or _from_here(used)


def _is_found(path: Path) -> bool:
    """Whether the shell finds this very path by its name."""
    found = shutil.which(path.name)
    return found is not None and Path(found).absolute() == path


def _is_same(used: Path, name: str) -> bool:
    try:
        return used.with_name(name).samefile(used)
    except OSError:  # one of them has gone
        return False


def _from_here(used: Path) -> str:
    try:
        relative = used.relative_to(Path.cwd())
    except (ValueError, OSError):  # it lies elsewhere, or this folder has gone
        return str(used)
    return str(relative if len(relative.parts) > 1 else used)
