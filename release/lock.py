"""The lock of a release: what the package needs to run, as pinned in requirements.txt.

``python -m release.lock`` prints what the plain package needs, with ``--extras`` what any of its
extras for users needs too. Versions and hashes are those the tests ran with. pip installs
it with ``--require-hashes``, pip-audit reads it with ``--require-hashes --disable-pip``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = "batch-screen"
# Ray's lock is requirements-ray.txt.
NOT_FOR_USERS = frozenset({"ray", "bench", "dev", "peers"})
PINNED = Path(__file__).parents[1] / "requirements.txt"


def pins(text: str) -> dict[str, str]:
    r"""The lines of each package in a file of pinned requirements, by its name.

    >>> pins("Foo==1 --hash=sha256:a\nbar==2 --hash=sha256:b\n")
    {'foo': 'Foo==1 --hash=sha256:a\n', 'bar': 'bar==2 --hash=sha256:b\n'}
    """
    blocks = re.findall(r"^[A-Za-z0-9].*\n(?:[ \t].*\n)*", text, re.MULTILINE)
    return {
        canonicalize_name(re.split(r"[=; \[]", block, maxsplit=1)[0]): block for block in blocks
    }


def needed(
    package: str,
    extras: Collection[str],
    requirements_of: Callable[[str], list[str] | None] = requires,
) -> set[str]:
    """Names of everything the package needs here with these extras, itself left out."""
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(package), extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, requirements_of(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needs = canonicalize_name(requirement.name)
                waiting += [(needs, each) for each in ("", *requirement.extras)]
    return {name for name, _ in seen} - {canonicalize_name(package)}


def lock(names: Collection[str], pinned: Mapping[str, str]) -> str:
    """The pins of these packages. KeyError if one is not pinned."""
    return "".join(pinned[name] for name in sorted(names))


def main() -> None:
    """Prints the lock."""
    every = metadata(PACKAGE).get_all("Provides-Extra") or []
    extras = set(every) - NOT_FOR_USERS if "--extras" in sys.argv else set()
    sys.stdout.write(lock(needed(PACKAGE, extras), pins(PINNED.read_text("utf-8"))))


if __name__ == "__main__":
    main()
