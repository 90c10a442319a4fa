"""What the documents say is what the code does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from polars import Boolean

import batch_screen
from batch_screen.cli.main import DEFAULT_NAME, cli
from batch_screen.cli.options import _SETTINGS
from batch_screen.config.load import load_settings, sections, variable_names
from batch_screen.config.parsing import AMOUNTS, RATES
from batch_screen.config.screening import Ambiguous, Numbers
from batch_screen.config.settings import Settings
from batch_screen.errors import MAY_PASS, WHOLE, ExitCode
from batch_screen.model import UNCHANGED, Endpoint
from batch_screen.numbers.rules import Modifier, RejectReason, Rule
from batch_screen.runs.state import KEEP_COLUMNS
from batch_screen.schema import RISK, endpoint_group
from batch_screen.tables.coverage import Change
from batch_screen.tables.results import BANDS, OLDEST
from benchmarks.page import sizes
from tests.unit.test_layers import FLOOR_OF

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
NUMBERS = (ROOT / "docs" / "numbers.md").read_text("utf-8")
SIGNALS = (ROOT / "docs" / "signals.md").read_text("utf-8")
CONFIG = ROOT / "config.toml"
BY_HAND = sorted(
    [
        *ROOT.glob("*.md"),
        *(d for d in (ROOT / "docs").glob("*.md") if d.stem != "performance"),
        *(
            ROOT / "docs" / "reference" / f"{name}.md"
            for name in ("check-json", "files", "logs-and-metrics", "summary")
        ),
    ]
)
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def commands() -> Iterator[click.Command]:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield command


def test_config_toml_shows_the_defaults() -> None:
    assert load_settings(config=CONFIG) == Settings()


def test_config_toml_is_complete() -> None:
    table = tomllib.loads(CONFIG.read_text("utf-8"))
    documented = {f"{section}.{name}" for section, values in table.items() for name in values}
    assert documented == set(variable_names().values())


def test_config_toml_explains_every_setting() -> None:
    above = ""
    for line in CONFIG.read_text("utf-8").splitlines():
        is_setting = re.match(r"\w+ = |\[\w+\.\w+\]", line)
        assert not is_setting or above.startswith("# "), f"no comment above: {line}"
        above = line


def test_config_toml_marks_what_belongs_to_a_run() -> None:
    text = CONFIG.read_text("utf-8")
    settings = {*Settings().identity()} - {KEEP_COLUMNS}
    for section, model in sections().items():
        for name in model.model_fields:
            heading = f"[{section}.{name}]"
            start = text.index(heading if heading in text else f"\n{name} = ")
            comment = text[:start].rsplit("\n\n", 1)[1]
            assert ("[run identity]" in comment) == (f"{section}.{name}" in settings), name


def test_signals_explains_every_endpoint_change_flag_and_band() -> None:
    endpoints = SIGNALS.split("## The five endpoints")[1].split("\n## ")[0]
    for endpoint in Endpoint:
        [value] = {*endpoint_group(endpoint)} & {"swapped", "active", "latest_change_at"}
        column = endpoint_group(endpoint)[value].name
        [line] = re.findall(rf"^\| `{endpoint}` \|.*$", endpoints, re.MULTILINE)
        assert f"| `{column}` |" in line
        assert ("up to 2,400 minutes" in line) == endpoint.takes_max_age
    changes = SIGNALS.split("## Changes")[1].split("\n## ")[0]
    assert [change for change in Change if f"| `{change}` |" not in changes] == []
    risk = SIGNALS.split("## The risk view")[1].split("\n## ")[0]
    assert f"{', '.join(BANDS)} and {OLDEST}" in " ".join(risk.split())
    assert all(f"| `{c.name}` |" in risk for c in RISK if c.dtype == Boolean())
    sources = SIGNALS.split("## Where values come from")[1].split("\n## ")[0]
    assert [reason for reason in UNCHANGED if f"`{reason}`" not in sources] == []


RULES_OF_OURS = (
    RejectReason.AMBIGUOUS,
    RejectReason.SCIENTIFIC_NOTATION,
    RejectReason.FLOAT_ARTEFACT,
    Modifier.INTEGER_COLUMN,
    Modifier.FLOAT_COLUMN,
    Modifier.EXTENSION_DROPPED,
    RejectReason.VANITY_LETTERS,
    RejectReason.MULTIPLE_NUMBERS,
    RejectReason.TOO_SHORT,
    RejectReason.NOT_VALID,
    RejectReason.NOT_MOBILE,
    RejectReason.DOUBLE_ZERO,
    Rule.TEST_NUMBER,
    RejectReason.REGION_NOT_ALLOWED,
    RejectReason.REGION_DENIED,
    RejectReason.OPTED_OUT,
)


def test_rules_of_ours_and_what_changes_them_are_explained() -> None:
    chapter = NUMBERS.split("## Which numbers are asked about")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", chapter))
    assert named <= {*Rule, *Modifier, *RejectReason, *Ambiguous}
    lines = [line for line in chapter.splitlines() if line.startswith("|")]
    assert [n for n in RULES_OF_OURS if not any(f"`{n}`" in line for line in lines)] == []
    by_flag = {setting: flag for flag, (section, setting) in _SETTINGS.items()}
    for name in Numbers.model_fields:
        flag = by_flag.get(name, "").replace("_", "-")
        assert f"numbers.{name}`" in chapter or (flag and f"--{flag}`" in chapter), name


def test_config_toml_explains_every_figure_of_a_threshold() -> None:
    explained = CONFIG.read_text("utf-8")
    assert [name for name in (*RATES, *AMOUNTS) if name not in explained] == []


def test_readme_groups_every_exit_code_once() -> None:
    table = README.split("| Exit code | Do |")[1].split("\n\n")[0]
    groups = [
        {int(code) for code in row.split(",")}
        for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    ]
    good, findings, passing, writing, final = groups
    assert sum(map(len, groups)) == len(ExitCode)
    assert good | findings == WHOLE
    assert passing | writing == MAY_PASS
    assert writing == {ExitCode.CANNOT_WRITE}
    assert final == {*ExitCode} - WHOLE - MAY_PASS


def prose(text: str) -> list[str]:
    """The lines of a page but for its blocks, tables, comments and headings."""
    text = re.sub(r"^```.*?^```$|<!--.*?-->", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^(?: {4}|\||#|!).*$", "", text, flags=re.MULTILINE).splitlines()


def sentences(text: str) -> Iterator[str]:
    lines = "\n".join(re.sub(r"\]\([^)]*\)", "]", line) for line in prose(text))
    for paragraph in re.split(r"\n\n|\n *(?:-|\d\.) ", lines):
        yield from re.split(r"(?<=[.:;])\**\s", " ".join(paragraph.split()))


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
    assert [line for line in README.splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("document", BY_HAND, ids=lambda p: str(p.relative_to(ROOT)))
def test_documents_have_short_lines_and_sentences(document: Path) -> None:
    text = document.read_text("utf-8")
    assert [line for line in prose(text) if len(line) > 100] == []
    assert [sentence for sentence in sentences(text) if len(sentence.split()) > 30] == []


def test_readme_says_how_to_set_everything_up_on_a_fresh_machine() -> None:
    for target in ("demo", "test"):
        assert re.search(rf"^    make {target} +#", README, re.MULTILINE)
    assert "Python 3.11 or newer and `make`" in README


def test_the_nightly_settings_of_the_readme_are_settings(tmp_path: Path) -> None:
    [text] = re.findall(r"^```toml (?:\S+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    file = tmp_path / DEFAULT_NAME
    file.write_text(text, "utf-8")
    asked = load_settings(config=file).screening.endpoints
    assert {*asked} == {Endpoint.SIM_SWAP_CHECK, Endpoint.SIM_SWAP_DATE}


def test_settings_of_a_user_have_one_name_everywhere() -> None:
    """config.toml is where all of them are explained; nobody is told to copy one to another."""
    others = {"config.toml", "pyproject.toml"}
    recipes = [path for path in (ROOT / "docs" / "recipes").iterdir() if path.is_file()]
    for document in {*DOCUMENTS, *recipes}:
        named = set(re.findall(r"[\w-]+\.toml\b", document.read_text("utf-8")))
        assert named <= {DEFAULT_NAME, *others}, document.name


def test_what_a_list_needs_is_what_was_measured_and_what_doctor_asks_for() -> None:
    assert sizes() in (ROOT / "docs" / "performance.md").read_text("utf-8")


def test_where_state_may_lie_is_said_alike() -> None:
    for path in (ROOT / "README.md", CONFIG, ROOT / "docs" / "recipes" / "cronjob.yaml"):
        text = " ".join(path.read_text("utf-8").replace("#", " ").split())
        assert "block storage" in text, path.name
        assert "NFS, EFS and SMB are not tested" in text, path.name


def test_the_tutorial_is_of_one_recording() -> None:
    """A reader who sees another id takes it for another run."""
    text = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
    by_date: dict[str, set[str]] = {}
    for run_id in re.findall(r"\b\d{8}-[0-9a-f]{10}\b", text):
        by_date.setdefault(run_id[:8], set()).add(run_id)
    assert by_date
    assert [ids for ids in by_date.values() if len(ids) > 1] == []


def test_documents_use_only_options_that_exist() -> None:
    known = {name for c in commands() for p in c.params for name in p.opts} | {
        "--help",
        "--version",
    }
    typed = r"^(?:\$| {3}) batch-screen .*(?:\\\n.*)*"
    blocks = "\n".join(
        found
        for page in DOCUMENTS
        for found in re.findall(typed, page.read_text("utf-8"), re.MULTILINE)
    )
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", blocks))
    assert used
    assert used <= known


def test_public_names_exist_and_are_documented() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    for name in batch_screen.__all__:
        assert getattr(batch_screen, name) is not None
        assert f"`{name}" in page, name


def test_no_room_hides_a_public_name() -> None:
    """An imported module becomes an attribute of its package, whatever stood there."""
    rooms = {path.stem for path in Path(batch_screen.__file__).parent.iterdir()}
    assert rooms.isdisjoint(batch_screen.__all__)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_documents_point_to_what_exists(document: Path) -> None:
    for target in re.findall(r"\]\((?!http)([^)]+)\)", document.read_text("utf-8")):
        name, _, heading = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name} points to {target}"
        assert not heading or heading in anchors(path), f"{document.name} points to {target}"


def anchors(document: Path) -> set[str]:
    """The headings of a document as links name them: lower case, hyphens, no other signs."""
    headings = re.findall(r"^#+ (.*)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_name_make_targets_that_exist_and_contributing_all() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"`make ([a-z-]+)`", document.read_text("utf-8")))
        assert named <= targets, document.name
    listed = set(re.findall(r"^\| `make ([a-z-]+)` \|", CONTRIBUTING, re.MULTILINE))
    assert listed == targets - {"help"}


def test_architecture_names_every_room_and_no_other() -> None:
    """Rooms are the folders of the package and the modules at its root."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    assert len(text.splitlines()) <= 80
    package = Path(batch_screen.__file__).parent
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in package.iterdir()
        if (path / "__init__.py").exists() or path.suffix == ".py"
    }
    floors = re.findall(r"^\| \d+ \| (.*) \|$", text, re.MULTILINE)
    named = [name for floor in floors for name in re.findall(r"`([\w.]+(?:/|\.py))`", floor)]
    assert len(named) == len(set(named))
    assert {*named, "__init__.py"} == rooms
    heights = {name.removesuffix("/").removesuffix(".py"): len(floors) - number
               for number, floor in enumerate(floors)
               for name in re.findall(r"`([\w.]+(?:/|\.py))`", floor)}  # fmt: skip
    assert heights == {room: height + 1 for room, height in FLOOR_OF.items()}


def test_every_decision_names_its_files_and_what_would_reopen_it() -> None:
    text = (ROOT / "docs" / "decisions.md").read_text("utf-8")
    decisions = re.findall(r"^- (\*\*.*(?:\n  .*)*)", text, re.MULTILINE)
    assert decisions
    for decision in decisions:
        files = re.findall(r"`(batch_screen/[\w/]+\.py)`", decision)
        assert files, decision
        assert [file for file in files if not (ROOT / file).exists()] == [], decision
        assert "*Reopen*:" in " ".join(decision.split()), decision


def test_type_checkers_see_the_public_names() -> None:
    """The imports for type checkers are those of the table that Python uses."""
    source = (ROOT / "batch_screen" / "__init__.py").read_text("utf-8")
    imported = re.findall(r"from batch_screen\.(\S+) import (\w+) as \2\b", source)
    assert {name: module for module, name in imported} == batch_screen._HOMES


def test_documents_have_none_of_the_words_that_are_given_up() -> None:
    given_up = re.compile(r"\b(whoever|but for|leaves? with|mends?)\b")
    found = {d.name: given_up.findall(" ".join(d.read_text("utf-8").split())) for d in DOCUMENTS}
    assert {name: words for name, words in found.items() if words} == {}


def test_documents_name_tests_that_exist() -> None:
    for document in DOCUMENTS:
        named = re.findall(r"\btests/[\w/]+(?:\.py)?", document.read_text("utf-8"))
        assert [name for name in named if not (ROOT / name).exists()] == [], document.name


def test_architecture_names_files_of_the_state_that_are_written() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8").split("## State")[1].split("\n\n")[1]
    drawn = re.sub(r"<\w+>-?", "", text)
    names = {*re.findall(r"(?<=[\s/])(?:\w*\.\w+|\w+(?=/\s))", drawn)}
    assert {"holder.json", "run.json", "plan", "sealed", ".seal", "previous.json"} <= names
    package = Path(batch_screen.__file__).parent
    written = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    assert [name for name in sorted(names) if f'{name}"' not in written] == []
