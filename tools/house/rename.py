!/usr/bin/env python3
"""Renames by HOUSE.md's table of words: ``rename.py [--commit] [--dry] REPOSITORY [WORD …]``.

For the tree that move.py has made. Without a WORD all of them, each with ``--commit`` as a
commit of its own. Names are followed by scope: definitions, imports, references, attributes of
modules, mocks, doctests, ``__all__`` and the table of public names; in text only ``Name`` between
backticks, in files that use it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import move
import table
import words as given


def one_word(root: Path, word: str, names: dict[str, str]) -> int:
    table.MODULES, table.SPLITS, table.FOLDERS, table.TESTS = {}, {}, {}, {}
    table.RENAMES = names
    table.LOCAL_NAMES = {**given.LOCAL_NAMES, **given.LOCAL_NAMES_OF.get(word, {})}
    table.UNMERGED, table.UNMERGED_TESTS = set(), set()
    move.REPORT.clear()
    move.ERRORS.clear()
    house = move.House.__new__(move.House)
    house._by_folder = lambda old: old
    house._place_of_test = lambda old: old
    house.__init__(root)
    plan = move.Plan(house)
    writer = move.Writer(house, plan)
    words = move.Words(house, plan)
    renamed = {(move.full_name(k.split(":")[0]), k.split(":")[1]): v for k, v in names.items()}
    texts = {}
    for new in house.parts:
        module = house.modules[house.parts[new][0]]
        if not any(name.encode() in module.source for _, name in renamed):
            continue
        text = writer.written(new)
        if module.name == move.PACKAGE:
            text = public(house, plan, module, text)
        now = text if text is not None else module.source.decode()
        now = move.in_strings(words, now)
        if now != module.source.decode() or uses(house, plan, module, renamed):
            now = in_backticks(now, locals_of(house, plan, module, renamed), "``")
        if now != module.source.decode():
            texts[module.path] = now
    clashes = [t for t in move.REPORT if "clash" in t]
    for problem in [*move.ERRORS, *clashes]:
        print(f"  {word}: {problem}")
    for text in move.REPORT:
        if text not in clashes:
            print(f"  {word}, look: {text}")
    if move.ERRORS or clashes:
        return -1
    plain = {k[1]: v for k, v in renamed.items() if unique(house, k)}
    for path in house.files:
        if path.suffix in (".md", ".toml"):
            old = (root / path).read_text("utf-8")
            now = in_backticks(words.in_code(old), plain, "`")
            if now != old:
                texts[path] = now
    if "--dry" not in sys.argv:
        for path, text in texts.items():
            (root / path).write_text(text, "utf-8")
        tidy(root)
        done = subprocess.run(
            ["git", "diff", "--name-only"], cwd=root, capture_output=True, check=True, text=True
        )
        return len(done.stdout.split())
    return len(texts)


def tidy(root: Path) -> None:
    ruff = str(root / ".venv/bin/ruff")
    for command in (
        ["check", "--select", "I001,RUF022", "--fix", "--quiet", "."],
        ["format", "--quiet", "."],
    ):
        subprocess.run([ruff, *command], cwd=root, check=False)


def unique(house, key: tuple[str, str]) -> bool:
    """Whether the old name means this alone in all of the package."""
    return (
        len(key[1]) > 4
        and sum(key[1] in m.defs for n, m in house.modules.items() if n.startswith(move.PACKAGE)) == 1
    )


def uses(house, plan, module, renamed) -> bool:
    return bool(locals_of(house, plan, module, renamed))


def locals_of(house, plan, module, renamed) -> dict[str, str]:
    """Old name → new one, where a module defines or imports what is renamed."""
    found = {}
    for (where, name), new in renamed.items():
        if where == module.name:
            found[name] = new
        every = [*module.imports.items(), *((k[1], i) for k, i in module.local_imports.items())]
        for local, identity in every:
            if local == name and through(house, plan, identity)[1:] == (where, name):
                found[name] = new
    return found


def through(house, plan, identity):
    identity = plan.canonical(identity)
    if identity[0] == "def":
        module = house.modules[identity[1]]
        if module.is_package and identity[2] in module.imports:
            return through(house, plan, module.imports[identity[2]])
    return identity


def in_backticks(text: str, names: dict[str, str], ticks: str) -> str:
    for old, new in names.items():
        text = re.sub(rf"(?<!`){ticks}{old}(?=[`.(\[])", f"{ticks}{new}", text)
    return text


def public(house, plan, module, text: str | None) -> str | None:
    """``__all__`` and the table of homes."""
    changed = {}
    for local, identity in module.imports.items():
        if identity[0] == "def":
            name = plan.place(plan.canonical(identity))[1]
            if name != identity[2] and local == identity[2]:
                changed[local] = name
    if not changed:
        return text
    text = text if text is not None else module.source.decode()
    for old, new in changed.items():
        text = re.sub(rf'(?m)^(    )"{old}"(?=[:,])', rf'\1"{new}"', text)
    lines, start = text.split("\n"), text.split("\n").index("_HOMES = {")
    end = lines.index("}", start)
    lines[start + 1 : end] = sorted(lines[start + 1 : end])
    return "\n".join(lines)


def phrases(root: Path, pairs: list[tuple[str, str]]) -> int:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, check=True, text=True
    ).stdout.split("\n")
    count = 0
    for name in filter(None, listed):
        path = root / name
        if path.suffix not in (".py", ".md", ".toml", ".jinja") or not path.is_file():
            continue
        if path.name == "test_next_steps.py":
            continue  # lists words that tell somebody to do something
        old = now = path.read_text("utf-8")
        for pattern, new in pairs:
            now = re.sub(pattern, new, now)
        if now != old:
            count += 1
            if "--dry" not in sys.argv:
                path.write_text(now, "utf-8")
    return count


def main() -> None:
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    root, chosen = Path(arguments[0]).resolve(), arguments[1:]
    for word in [*given.WORDS, *given.PHRASES]:
        if chosen and word not in chosen:
            continue
        if word in given.WORDS:
            count = one_word(root, word, dict(given.WORDS[word]))
            what = ", ".join(f"{k.split(':')[1]} → {v}" for k, v in given.WORDS[word].items())
        else:
            count = phrases(root, given.PHRASES[word])
            what = "one word for it in messages and documents"
        print(f"{word}: {what}: {count} files")
        if count > 0 and "--commit" in sys.argv and "--dry" not in sys.argv:
            subprocess.run(["git", "add", "-A"], cwd=root, check=True)
            subprocess.run(
                ["git", "commit", "-q", "-m", f"The word is {word}: {what}"], cwd=root, check=True
            )


if __name__ == "__main__":
    main()
