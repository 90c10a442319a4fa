"""From what the till and the output hold to figures. Pure functions."""

from __future__ import annotations

import ast
import io
import tokenize
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

_SILENT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT),
    *(tokenize.ENCODING, tokenize.ENDMARKER),
}


def bought_twice(bought: Mapping[str, int]) -> int:
    """How many answers were bought for lookups that had been answered before.

    >>> bought_twice({"a": 1, "b": 3})
    2
    """
    return sum(bought.values()) - len(bought)


def missing(expected: Iterable[str], found: Iterable[str]) -> int:
    """How many lookups the output does not hold.

    >>> missing(["a", "b", "c"], ["b", "b", "z"])
    2
    """
    return len(set(expected) - set(found))


def used(answered: int, rate: float, seconds: float) -> float:
    """Share of the budget that bought an answer nobody had yet.

    >>> used(900, 100, 10)
    0.9
    """
    return answered / (rate * seconds)


def first_after(instants: Sequence[float], instant: float) -> float | None:
    """Seconds until the first of the sorted instants that is not before; None if there is none.

    >>> first_after([1.0, 2.0, 5.0], 4.0)
    1.0
    """
    index = bisect_left(instants, instant)
    return instants[index] - instant if index < len(instants) else None


def lines_of_code(source: str) -> int:
    """Lines that are neither empty nor comments nor docstrings.

    >>> lines_of_code('"Says why."\\n\\nx = 1  # one\\n# nothing\\ny = [\\n    2,\\n]\\n')
    4
    """
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = [token for token in tokens if token.type not in _SILENT]
    lines = {line for token in code for line in range(token.start[0], token.end[0] + 1)}
    return len(lines - _docstring_lines(source))


def _docstring_lines(source: str) -> set[int]:
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, owners) and ast.get_docstring(node) is not None:
            text = node.body[0]
            found |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    return found
