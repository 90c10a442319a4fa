import pytest

from benchmarks.peers import figures


def test_only_answers_beyond_the_first_were_bought_twice() -> None:
    assert figures.bought_twice({}) == 0
    assert figures.bought_twice({"a": 1, "b": 2, "c": 4}) == 4


def test_missing_is_what_the_output_does_not_hold_however_often_it_holds_the_rest() -> None:
    assert figures.missing(["a", "b", "c"], ["a", "a", "c", "c"]) == 1
    assert figures.missing([], ["a"]) == 0


def test_answers_bought_twice_use_no_more_of_the_budget() -> None:
    assert figures.used(1_000, 100, 20) == 0.5


@pytest.mark.parametrize(("instant", "found"), [(0.0, 1.0), (1.0, 0.0), (1.5, 0.5), (2.5, None)])
def test_first_after_is_the_time_until_the_next(instant: float, found: float | None) -> None:
    assert figures.first_after([1.0, 2.0], instant) == found


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", 0),
        ('"""Says\n\nwhy."""\n', 0),
        ("x = 1  # one\n\n# nothing\ny = 2\n", 2),
        ('def f():\n    """Says."""\n    return """a\nb"""\n', 3),
        ("class A:\n    'Says.'\n\n    async def f(self):\n        'Says.'\n", 2),
        ("x = (\n    1,\n)\n", 3),
    ],
)
def test_lines_of_code_are_neither_empty_nor_comments_nor_docstrings(
    source: str, lines: int
) -> None:
    assert figures.lines_of_code(source) == lines
