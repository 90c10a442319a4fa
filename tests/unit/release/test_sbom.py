from __future__ import annotations

import pytest

import batch_screen
from release.sbom import completed

LOCK = r"""Py_YAML==6.0 \
    --hash=sha256:a
uvloop==0.23 ; sys_platform != "win32" \
    --hash=sha256:b
"""
SBOM = {
    "metadata": {"component": {"name": "batch-screen"}, "tools": []},
    "components": [{"name": "py-yaml", "version": "6.0"}, {"name": "uvloop", "version": "0.23"}],
}


def test_the_package_gets_its_version() -> None:
    version = batch_screen.__version__
    assert completed(SBOM, LOCK)["metadata"] == {
        "tools": [],
        "component": {
            "name": "batch-screen",
            "version": version,
            "purl": f"pkg:pypi/batch-screen@{version}",
        },
    }


@pytest.mark.parametrize("lock", [LOCK.replace("6.0", "6.1"), LOCK + "more==1\n", ""])
def test_list_and_lock_must_name_the_same(lock: str) -> None:
    with pytest.raises(ValueError, match=r"py-yaml|more"):
        completed(SBOM, lock)
