"""The guides are plain; troubleshooting quotes what is printed, and gives commands that exist."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

import batch_screen
from batch_screen.cli.main import cli

ROOT = Path(__file__).parents[2]
GUIDES = [
    "alarms",
    "audit",
    "loading",
    "nightly",
    "numbers",
    "privacy",
    "troubleshooting",
    "tutorial",
]
ROWS = re.findall(
    r"^\| `(.*?)`(?: \(DIFFERS\))? \| (.*?) \| (.*) \|$",
    (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"),
    re.MULTILINE,
)


def test_guides_have_short_lines_and_sentences() -> None:
    found = []
    for name in GUIDES:
        text = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
        text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        lines = [line for line in text.splitlines() if not line.startswith("|")]
        found += [line for line in lines if len(line) > 100 and not line.startswith("    ")]
        cells = [
            cell for line in text.splitlines() if line.startswith("|") for cell in line.split("|")
        ]
        told = "\n".join(line for line in lines if not line.startswith(("    ", "#")))
        paragraphs = re.split(r"\n\n|\n *(?:-|\d+\.) ", re.sub(r"\]\([^)]*\)", "]", told))
        for paragraph in [*paragraphs, *cells]:
            sentences = re.split(r"(?<=[.:;!?])[\"*]*\s", " ".join(paragraph.split()))
            found += [sentence for sentence in sentences if len(sentence.split()) > 30]
    assert found == []


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Every text in the code; of a formatted one, what stands between its values."""
    trees = (
        ast.parse(path.read_text("utf-8"))
        for path in Path(batch_screen.__file__).parent.rglob("*.py")
    )
    nodes = (node for tree in trees for node in ast.walk(tree))
    return [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def test_messages_are_those_of_the_code(texts: list[str]) -> None:
    assert len(ROWS) >= 20
    for message, _, _ in ROWS:
        pieces = [piece.strip() for piece in message.split("…")]
        for piece in (each for each in pieces if len(each) > 3):
            assert any(piece in text for text in texts), f"{piece!r} of {message!r}"


def test_commands_exist() -> None:
    commands = [c for _, _, do in ROWS for c in re.findall(r"`batch-screen ([^`]*)`", do)]
    assert commands
    for name, *words in map(shlex.split, commands):
        command = cli.get_command(click.Context(cli), name)
        assert command, name
        known = {option for each in command.params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, name


def test_options_exist() -> None:
    run = cli.get_command(click.Context(cli), "run")
    assert run
    known = {option for each in run.params for option in each.opts}
    named = {o for _, _, do in ROWS for o in re.findall(r"`(--[a-z-]+)", do)}
    assert named <= known
