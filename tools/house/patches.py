"""What no table of modules can say: single places that name the old house."""

from __future__ import annotations

import ast
import re
from pprint import pformat

import table

# file (of the new tree) → old text → new text; a missing text is reported and nothing more.
TEXTS: dict[str, list[tuple[str, str]]] = {
    "batch_screen/report/page.py": [
        ('PackageLoader("batch_screen", "webpage")', 'PackageLoader("batch_screen", "report")')
    ],
    "batch_screen/tables/integrity.py": [
        ("business of ``recount``", "business of ``verify``"),
    ],
    "batch_screen/numbers/columnar/clean.py": [("as in ``digits.py``", "as ``value_of`` gives them")],
    "batch_screen/numbers/columnar/intervals.py": [("as in ``digits.py``", "as in ``clean.py``")],
    "batch_screen/numbers/columnar/parse.py": [
        ("``readings.read`` for whole", "``numbers.parse.read`` for whole"),
        ("as in ``digits.py``", "as in ``clean.py``"),
    ],
    "batch_screen/cli/log.py": [("(``watching``)", "(``progress``)")],
    "batch_screen/commands/run.py": [("see ``under_way``", "see ``run.heartbeat``")],
    "batch_screen/input/table.py": [("next to ``inputs``", "next to ``files``")],
    "batch_screen/numbers/rules.py": [("``readings`` and ``normalise``", "``parse`` and ``normalise``")],
    "batch_screen/tables/breakdown.py": [("the names of ``bands``", "``results.NAMES``")],
    "batch_screen/tables/results.py": [
        ("# Where an age comes from, ``tables.results`` says;", "# Where an age comes from is said below;"),
    ],
    "tests/making.py": [("the columns ``plan.history.KNOWN``", "the columns ``history.KNOWN``")],
    "batch_screen/verify/checks.py": [("# As in ``agreement``: one line", "# As above: one line")],
    "batch_screen/verify/recount.py": [("``sums`` holds the totals", "``totals`` holds the totals")],
    "tests/unit/test_errors.py": [
        (
            "if c.__module__ == errors.__name__",
            "if issubclass(c, Exception) and c.__module__ == errors.__name__",
        ),
        ('path.name != "exit_codes.py"', 'path.name != "errors.py"'),
        ("take it from exit_codes.ExitCode", "take it from errors.ExitCode"),
    ],
    "tests/unit/cli/test_session.py": [("KeyError at test_start.py", "KeyError at test_session.py")],
    "benchmarks/engine/sampling.py": [
        (
            '    >>> part_of(iter(["json.decoder", "batch_screen.api.answers", "batch_screen.engine.dispatcher"]))\n',
            '    >>> modules = ["json.decoder", "batch_screen.api.answers", "batch_screen.engine.dispatcher"]\n'
            "    >>> part_of(iter(modules))\n",
        )
    ],
    "ARCHITECTURE.md": [
        (
            "rooms on one floor do not know each other; `tests/unit/test_layers.py`\nenforces both,",
            "rooms on one floor do not know each other; inside a room\nno modules import each other in a circle. `tests/unit/test_layers.py` enforces it,",
        )
    ],
}

CIRCLES = """

def test_no_modules_import_each_other_in_a_circle() -> None:
    imports = {module_of(path): imported_modules(path) for path in SOURCES}
    graph = {module: found & imports.keys() - {module} for module, found in imports.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")
"""


def apply(root, report, wrong) -> None:
    for name, changes in TEXTS.items():
        path = root / name
        if not path.exists():
            report(f"patches.py: no {name}")
            continue
        text = path.read_text("utf-8")
        for old, new in changes:
            if old not in text:
                report(f"patches.py: {name} no longer says {old[:50]!r}")
            text = text.replace(old, new)
        path.write_text(text, "utf-8")
    _layers(root / "tests/unit/test_layers.py", report)
    _architecture(root / "ARCHITECTURE.md", report)
    for folder in ("batch_screen", "benchmarks", "tests"):
        for path in (root / folder).rglob("*.py"):
            _same_keys(path, wrong)


def _layers(path, report) -> None:
    text = path.read_text("utf-8")
    floors = "FLOORS = (\n"
    for rooms in table.FLOORS:
        floors += "    {" + ", ".join(f'"{room}"' for room in sorted(rooms)) + "},\n"
    text, found = re.subn(r"FLOORS = \(\n.*?\n\)\n", floors + ")\n", text, flags=re.DOTALL)
    start, end = text.index("HOMES = {"), text.index("\n}\n", text.index("HOMES = {"))
    homes = text[start:end]
    for old, new in table.ROOMS.items():
        homes = homes.replace(f'{{"{old}"', f'{{"{new}"').replace(f', "{old}"', f', "{new}"')
    text = text[:start] + homes + text[end:]
    if "TopologicalSorter" not in text:
        text = text.replace(
            "import ast\nfrom pathlib", "import ast\nfrom graphlib import TopologicalSorter\nfrom pathlib"
        )
        mark = "\n\n@pytest.mark.parametrize(\"path\", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))\ndef test_libraries_stay"
        if mark not in text:
            report("patches.py: test_layers.py looks otherwise; no test of circles was added")
        text = text.replace(mark, CIRCLES + mark)
        text = text.replace(
            "imports go down, never up, and rooms of one floor stay apart.",
            "imports go down, never up, in no circle; rooms of a floor stay apart.",
        )
    path.write_text(text, "utf-8")


def _architecture(path, report) -> None:
    text = path.read_text("utf-8")
    text, found = re.subn(r"\| Floor \| Rooms \|\n(?:\|.*\n)+", lambda _: table.ARCHITECTURE, text)
    if not found:
        report("patches.py: ARCHITECTURE.md has no table of floors")
    path.write_text(text, "utf-8")


def _same_keys(path, wrong) -> None:
    """Keys of a dictionary that became the same: one is kept, if both say the same."""
    text = path.read_text("utf-8")
    if '"batch_screen.' not in text:
        return
    lines = text.split("\n")
    gone = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            seen = {}
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    said = ast.unparse(value)
                    if seen.setdefault(key.value, said) != said:
                        wrong(f"{path}: {key.value} twice, with {said} and {seen[key.value]}")
                    elif (key.value, "x") in seen:
                        gone.add(key.lineno - 1)
                    seen[key.value, "x"] = 1
    if gone:
        path.write_text("\n".join(l for n, l in enumerate(lines) if n not in gone), "utf-8")
