"""Completes the list of a release's components (SBOM) and holds it against the lock.

``python -m release.sbom SBOM LOCK`` adds the package's own version, which the generator cannot
read from pyproject.toml, and ends with an error where list and lock differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import batch_screen
from release.lock import PACKAGE, pins


def completed(sbom: dict[str, Any], lock: str) -> dict[str, Any]:
    """The list with the package's version. ValueError for what only one of the two names."""
    listed = {(canonicalize_name(c["name"]), c["version"]) for c in sbom["components"]}
    locked = {
        (name, str(Requirement(block.split("\\")[0]).specifier).removeprefix("=="))
        for name, block in pins(lock).items()
    }
    if differing := sorted(listed ^ locked):
        raise ValueError(f"only in the list of components or only in the lock: {differing}")
    version = batch_screen.__version__
    of_its_own = {"version": version, "purl": f"pkg:pypi/{PACKAGE}@{version}"}
    described = {**sbom["metadata"]["component"], **of_its_own}
    return {**sbom, "metadata": {**sbom["metadata"], "component": described}}


def main() -> None:
    """Writes the completed list over the given one."""
    path, lock = map(Path, sys.argv[1:])
    sbom = completed(json.loads(path.read_text("utf-8")), lock.read_text("utf-8"))
    path.write_text(json.dumps(sbom, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
