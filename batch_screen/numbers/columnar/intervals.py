"""Numbers as intervals: patterns as ranges, and verdicts found by one search."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import polars as pl

# Patterns of digits as ranges of numbers.
#
# A numbering plan is a few dozen regular expressions over digits. Which of them a number of some
# length matches depends on its value alone and changes at a few thousand values, which are found
# with derivatives (Brzozowski 1964): what a pattern leaves to match after a digit is a pattern
# again, and where all ten digits leave the same, nothing changes.

DIGITS = "0123456789"

Range = tuple[int, int]
"""The value at which a range begins, and what is so from there to the next."""

_TOKENS = re.compile(r"\\d|\[[0-9-]+\]|\(\?:|\{[0-9]+(?:,[0-9]+)?\}|[0-9()|?]")


class Patterns:
    r"""Patterns as numbers; equal patterns are the same number.

    >>> patterns = Patterns()
    >>> patterns.turns(patterns.read("1[5-7]|2\\d"), 2)
    [15, 18, 20, 30]
    """

    NEVER, NOTHING, ALWAYS = range(3)

    def __init__(self) -> None:
        # What each pattern is: a kind, and what that needs; and whether it matches no digits.
        self._parts: list[tuple[str, object]] = [("never", 0), ("nothing", 0), ("always", 0)]
        self._is_optional = [False, True, True]
        self._numbers = {part: number for number, part in enumerate(self._parts)}
        self._after: dict[tuple[int, str], int] = {}
        self._turns: dict[tuple[int, int], list[int]] = {}

    def read(self, pattern: str) -> int:
        """The pattern of a regular expression over digits.

        ValueError where there is more in it than digits, classes, groups, choices and counts.
        """
        tokens = _TOKENS.findall(pattern)
        if "".join(tokens) != pattern:
            raise ValueError(f"this is more than a pattern of digits: {pattern}")
        tokens.reverse()
        found = self._read_choice(tokens)
        if tokens:
            raise ValueError(f"a bracket too many: {pattern}")
        return found

    def beginning(self, pattern: int) -> int:
        """The pattern, and whatever follows."""
        if pattern == self.NEVER:
            return self.NEVER
        if self._is_optional[pattern]:
            return self.ALWAYS
        return self._number("beginning", pattern, is_optional=False)

    def turns(self, pattern: int, length: int) -> list[int]:
        """The values at which numbers of so many digits begin or cease to match, in turn."""
        if not length:
            return [0] if self._is_optional[pattern] else []
        if (turns := self._turns.get((pattern, length))) is None:
            turns = self._turns[pattern, length] = []
            for begin, digit in enumerate(DIGITS):
                offset = begin * 10 ** (length - 1)
                within = self.turns(self._left(pattern, digit), length - 1)
                matches, begins_so = len(turns) % 2 == 1, within[:1] == [0]
                if matches != begins_so:
                    turns.append(offset)
                turns.extend(offset + turn for turn in (within[1:] if begins_so else within))
        return turns

    def _left(self, pattern: int, digit: str) -> int:
        """What is left to match after the digit."""
        if pattern <= self.NOTHING:
            return self.NEVER
        if pattern == self.ALWAYS:
            return pattern
        if (left := self._after.get((pattern, digit))) is None:
            left = self._after[pattern, digit] = self._derived(pattern, digit)
        return left

    def _derived(self, pattern: int, digit: str) -> int:
        match self._parts[pattern]:
            case ("digit", str(digits)):
                return self.NOTHING if digit in digits else self.NEVER
            case ("sequence", (int(first), int(rest))):
                after = self._sequence(self._left(first, digit), rest)
                if not self._is_optional[first]:
                    return after
                return self.any_of([after, self._left(rest, digit)])
            case ("choice", frozenset() as choices):
                return self.any_of(self._left(choice, digit) for choice in choices)
            case ("beginning", int(begun)):
                return self.beginning(self._left(begun, digit))
        raise AssertionError(self._parts[pattern])

    def _number(self, kind: str, needs: object, *, is_optional: bool) -> int:
        part = (kind, needs)
        if (number := self._numbers.get(part)) is None:
            number = self._numbers[part] = len(self._parts)
            self._parts.append(part)
            self._is_optional.append(is_optional)
        return number

    def _sequence(self, first: int, rest: int) -> int:
        if self.NEVER in (first, rest):
            return self.NEVER
        if first == self.NOTHING:
            return rest
        if rest == self.NOTHING:
            return first
        is_optional = self._is_optional[first] and self._is_optional[rest]
        return self._number("sequence", (first, rest), is_optional=is_optional)

    def any_of(self, patterns: Iterable[int]) -> int:
        """A pattern that matches whatever one of them matches."""
        choices: set[int] = set()
        for pattern in patterns:
            kind, needs = self._parts[pattern]
            choices |= needs if kind == "choice" and isinstance(needs, frozenset) else {pattern}
        choices.discard(self.NEVER)
        if len(choices) <= 1:
            return choices.pop() if choices else self.NEVER
        is_optional = any(self._is_optional[choice] for choice in choices)
        return self._number("choice", frozenset(choices), is_optional=is_optional)

    def _read_choice(self, tokens: list[str]) -> int:
        choices = [self._read_sequence(tokens)]
        while tokens and tokens[-1] == "|":
            tokens.pop()
            choices.append(self._read_sequence(tokens))
        return self.any_of(choices)

    def _read_sequence(self, tokens: list[str]) -> int:
        found = self.NOTHING
        items = []
        while tokens and tokens[-1] not in "|)":
            items.append(self._read_counted(tokens))
        for item in reversed(items):  # so that sequences are nested to the right
            for part in reversed(item):
                found = self._sequence(part, found)
        return found

    def _read_counted(self, tokens: list[str]) -> list[int]:
        """One thing as often as it has to come, and as often as it may."""
        one = self._read_one(tokens)
        if not tokens or tokens[-1][0] not in "?{":
            return [one]
        count = tokens.pop().strip("{}")
        fewest, _, most = (0, "", 1) if count == "?" else count.partition(",")
        needed = int(fewest)
        more = int(most or fewest) - needed
        # x{1,3} is x(x(x)?)?, so that what is left never depends on how it was matched.
        optional = self.NOTHING
        for _ in range(more):
            optional = self.any_of([self.NOTHING, self._sequence(one, optional)])
        return [one] * needed + [optional] * bool(more)

    def _read_one(self, tokens: list[str]) -> int:
        token = tokens.pop()
        if token in ("(", "(?:"):
            group = self._read_choice(tokens)
            if not tokens or tokens.pop() != ")":
                raise ValueError("a bracket that is not closed")
            return group
        if token[0] in "?{)|":
            raise ValueError(f"{token} follows nothing")
        digits = "".join(d for d in DIGITS if re.fullmatch(token, d))
        return self._number("digit", digits, is_optional=False)


def ranges(turns: Sequence[Sequence[int]], judge: Callable[[int], int]) -> list[Range]:
    """What is so over all values, of which several patterns match some.

    ``judge`` says what is so where the patterns of the bits that are set match.

    >>> ranges([[10, 20], [15, 30]], lambda bits: bits)
    [(0, 0), (10, 1), (15, 3), (20, 2), (30, 0)]
    """
    changes: dict[int, int] = defaultdict(int, {0: 0})
    for bit, values in enumerate(turns):
        for value in values:
            changes[value] ^= 1 << bit
    found: list[Range] = []
    matching = 0
    for value in sorted(changes):
        matching ^= changes[value]
        verdict = judge(matching)
        if not found or found[-1][1] != verdict:
            found.append((value, verdict))
    return found


MOST_DIGITS = 15
"""Longer numbers are none, and are not looked up."""


# Verdicts about numbers by their value: one search in a sorted column for all rows.

_LENGTHS = MOST_DIGITS + 1
_VALUES = 10**MOST_DIGITS


class IntervalTable:
    """A table for each of some groups of numbers, made when the first of the group is asked about.

    ``ranges`` gives the verdicts of a group's numbers of some length.
    """

    def __init__(self, ranges: Callable[[int, int], list[Range]]) -> None:
        self._ranges = ranges
        self._tables: dict[int, tuple[list[int], list[int]]] = {}
        self._joined = (pl.Series([0], dtype=pl.UInt64), pl.Series([0], dtype=pl.Int32))
        self._lock = threading.Lock()

    def verdicts(self, groups: pl.Series, values: pl.Series, counts: pl.Series) -> pl.Series:
        """The verdict on each number of up to ``MOST_DIGITS`` digits, by its group's table.

        ``values`` and ``counts`` are their digits, as in ``clean.py``.
        """
        begins, verdicts = self._with(groups.unique().to_list())
        keys = (groups.cast(pl.UInt64) * _LENGTHS + counts) * _VALUES + values
        return verdicts.gather(begins.search_sorted(keys, side="right") - 1)

    def _with(self, groups: list[int]) -> tuple[pl.Series, pl.Series]:
        """The joined tables, those of the groups among them."""
        with self._lock:
            missing = [group for group in groups if group not in self._tables]
            if missing:
                self._tables.update((group, self._table(group)) for group in missing)
                tables = [table for _, table in sorted(self._tables.items())]
                self._joined = (
                    pl.Series([begin for begins, _ in tables for begin in begins], dtype=pl.UInt64),
                    pl.Series([v for _, verdicts in tables for v in verdicts], dtype=pl.Int32),
                )
            return self._joined

    def _table(self, group: int) -> tuple[list[int], list[int]]:
        begins, verdicts = [], []
        for length in range(_LENGTHS):
            for begin, verdict in self._ranges(group, length):
                begins.append((group * _LENGTHS + length) * _VALUES + begin)
                verdicts.append(verdict)
        return begins, verdicts
