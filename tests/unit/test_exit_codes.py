from __future__ import annotations

import ast
import signal
from pathlib import Path

import pytest

from batch_screen import errors
from batch_screen.exit_codes import SIGNAL_EXIT, ExitCode

PACKAGE = Path(__file__).parents[2] / "batch_screen"
SOURCES = [path for path in PACKAGE.rglob("*.py") if path.name != "exit_codes.py"]


def test_each_code_is_an_integer_that_says_what_it_means() -> None:
    assert [int(code) for code in ExitCode] == sorted({int(code) for code in ExitCode})
    assert f"{ExitCode.LOCKED} {ExitCode(75)!r}" == "75 <ExitCode.LOCKED: 75>"
    for code in ExitCode:
        assert code.meaning
        assert code.next_step.endswith("."), code


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_signals(number: signal.Signals, code: ExitCode) -> None:
    assert SIGNAL_EXIT + number == code


def test_every_error_has_one_of_them() -> None:
    raised = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert raised
    assert {type(c.default_exit_code) for c in raised} == {ExitCode}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nobody_writes_a_code_as_a_number(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        given: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "exit_code":
            given = [node.value]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("SystemExit", "sys.exit"):
            given = node.args
        elif isinstance(node, ast.FunctionDef) and path.parent.name == "cli" and _is_command(node):
            given = [n.value for n in ast.walk(node) if isinstance(n, ast.Return) and n.value]
        numbers = [n for g in given for n in ast.walk(g) if isinstance(n, ast.Constant)]
        assert not [n for n in numbers if isinstance(n.value, int)], ast.unparse(node)


def _is_command(node: ast.FunctionDef) -> bool:
    return any("click.command" in ast.unparse(each) for each in node.decorator_list)
