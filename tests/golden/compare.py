"""What differs between recorded texts and those of now, apart from words that were renamed."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from pathlib import Path

WORDS = Path(__file__).with_name("words.toml")
RECORDED = Path(__file__).with_name("recorded")

_MOST_LINES = 60
"""Lines of difference that are shown of a text, unless all are asked for."""


@dataclass(frozen=True)
class Words:
    """Intended renames, old → new.

    ``fields`` are names in front of a value: of JSON, of columns. ``phrases`` are any words.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    phrases: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = WORDS) -> Words:
        return cls(**tomllib.loads(path.read_text("utf-8")))

    def applied(self, text: str) -> tuple[str, Counter[str]]:
        """The text in the new words, and how often each old one stood there.

        >>> words = Words({"asked": "sent"}, {"to mend": "to fix"})
        >>> words.applied('"asked": 3, asked to mend, to mended')
        ('"sent": 3, asked to fix, to mended', Counter({'asked': 1, 'to mend': 1}))
        """
        used = Counter[str]()
        patterns = [(old, new, rf'{re.escape(old)}(?="?\s?:)') for old, new in self.fields.items()]
        patterns += [(old, new, _phrase(old)) for old, new in self.phrases.items()]
        for old, new, pattern in patterns:
            # A name goes on with letters, digits, underscores and hyphens.
            text, count = re.subn(rf"(?<![\w-]){pattern}(?![\w-])", lambda _, n=new: n, text)
            if count:
                used[old] += count
        return text, used


def _phrase(old: str) -> str:
    """A phrase may be broken into lines where a text is fitted to a width."""
    return r"\s+".join(map(re.escape, old.split()))


@dataclass
class Comparison:
    """What became of the recorded texts."""

    words: Words
    shows_all: bool = False
    compared: int = 0
    differing: dict[str, str] = field(default_factory=dict)
    """Name → the lines that differ."""
    rewrapped: list[str] = field(default_factory=list)
    """Texts with renamed words that differ in where lines end and columns begin."""
    used: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, recorded: str | None, now: str | None) -> None:
        """Compares one text; None: there is none."""
        self.compared += 1
        if recorded is None or now is None:
            what = "was not recorded" if recorded is None else "is no longer there"
            self.differing[name] = f"{name} {what}\n"
            return
        expected, used = self.words.applied(recorded)
        self.used += used
        if expected == now:
            return
        if used and expected.split() == now.split():
            self.rewrapped.append(name)
            return
        lines = [*unified_diff(*_lines(expected, now), f"{name} recorded", f"{name} now", n=2)]
        self.differing[name] = "".join(self._shown(lines))

    def add_scene(self, scene: str, texts: Mapping[str, str], folder: Path = RECORDED) -> None:
        """Compares all that a scene's play came to."""
        recorded = dict(read_texts(folder / scene))
        for name in sorted({*recorded, *texts}):
            self.add(f"{scene}/{name}", recorded.get(name), texts.get(name))

    def report(self) -> Iterator[str]:
        """The differences, and a line on how many there are."""
        yield from self.differing.values()
        if self.used:
            counts = ", ".join(f"{old!r} {count}" for old, count in self.used.most_common())
            yield f"renamed as words.toml says: {counts}\n"
        if self.rewrapped:
            yield f"with other line ends, because of renamed words: {', '.join(self.rewrapped)}\n"
        said = f"{len(self.differing)} differ" if self.differing else "nothing differs"
        yield f"golden: {self.compared} texts, {said}\n"

    def _shown(self, lines: list[str]) -> Iterable[str]:
        if self.shows_all or len(lines) <= _MOST_LINES:
            return lines
        return [*lines[:_MOST_LINES], f"… {len(lines) - _MOST_LINES} more lines, shown by --all\n"]


def _lines(*texts: str) -> Iterator[list[str]]:
    for text in texts:
        yield [f"{line}\n" for line in text.splitlines()]


def read_texts(folder: Path) -> Iterator[tuple[str, str]]:
    """The recorded texts of a scene by their names."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_text("utf-8")


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Replaces what is recorded of a scene."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")
