"""Interval tables of numbering plans: patterns as ranges of values, looked up by one binary search.

A numbering plan is a few dozen regular expressions over digits. Whether a number of some length
matches depends on its value alone and changes at 38,000 values in all the world's plans. They are
found with derivatives (Brzozowski 1964): what a pattern leaves to match after a digit is a pattern
again, and where all ten digits leave the same, nothing changes. Expressions for each territory in
place of the tables took twice the CPU over all regions.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import polars as pl

DIGITS = "0123456789"

Range = tuple[int, int]
"""The first value of a range, and the verdict from there to the next range."""

_TOKENS = re.compile(r"\\d|\[[0-9-]+\]|\(\?:|\{[0-9]+(?:,[0-9]+)?\}|[0-9()|?]")


class Patterns:
    r"""Patterns of digits, interned: a pattern is an id, and equal patterns have the same id.

    >>> patterns = Patterns()
    >>> patterns.boundaries(patterns.read("1[5-7]|2\\d"), 2)
    [15, 18, 20, 30]
    """

    NEVER, NOTHING, ALWAYS = range(3)

    def __init__(self) -> None:
        # By id: a pattern's kind and operands, whether it matches no digits at all, and the digits
        # that it may begin with. Most begin with few, and no other needs to be looked into.
        self._parts: list[tuple[str, object]] = [("never", 0), ("nothing", 0), ("always", 0)]
        self._is_optional = [False, True, True]
        self._first = [frozenset[str](), frozenset[str](), frozenset(DIGITS)]
        self._numbers = {part: number for number, part in enumerate(self._parts)}
        self._after: dict[tuple[int, str], int] = {}
        self._boundaries: dict[tuple[int, int], list[int]] = {}

    def read(self, pattern: str) -> int:
        """Parses a regular expression of digits, classes, groups, choices and counts.

        ValueError where it has anything else.
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
        """The pattern followed by any digits."""
        if pattern == self.NEVER:
            return self.NEVER
        if self._is_optional[pattern]:
            return self.ALWAYS
        return self._number("beginning", pattern, self._first[pattern], is_optional=False)

    def is_only(self, pattern: int, digits: str) -> bool:
        """Whether these digits match, and no others that begin with them."""
        for digit in digits:
            pattern = self._derivative(pattern, digit)
        return pattern == self.NOTHING

    def boundaries(self, pattern: int, length: int) -> list[int]:
        """Values at which numbers of that many digits begin to match, cease to, begin again, …"""
        if not length:
            return [0] if self._is_optional[pattern] else []
        if (boundaries := self._boundaries.get((pattern, length))) is None:
            boundaries = self._boundaries[pattern, length] = []
            # The numbers that start with 0, then those with 1, …: ten shorter problems in a row.
            for begin, digit in enumerate(DIGITS):
                offset = begin * 10 ** (length - 1)
                after = self._derivative(pattern, digit)
                within = self.boundaries(after, length - 1) if after != self.NEVER else []
                # A boundary at the seam of two digits only where the match changes there.
                matches, begins_so = len(boundaries) % 2 == 1, within[:1] == [0]
                if matches != begins_so:
                    boundaries.append(offset)
                boundaries.extend(
                    offset + boundary for boundary in (within[1:] if begins_so else within)
                )
        return boundaries

    def _derivative(self, pattern: int, digit: str) -> int:
        """The pattern of what may follow the digit."""
        if digit not in self._first[pattern]:
            return self.NEVER
        # Remembered: the digits of different numbers lead to the same patterns again and again.
        if (after := self._after.get((pattern, digit))) is not None:
            return after
        match self._parts[pattern]:
            case ("always", _):
                after = self.ALWAYS
            case ("digit", _):
                after = self.NOTHING
            case ("sequence", (int(first), int(rest))):
                after = self._sequence(self._derivative(first, digit), rest)
                if self._is_optional[first]:  # then the digit may also be the first of the rest
                    after = self.any_of([after, self._derivative(rest, digit)])
            case ("choice", frozenset() as choices):
                after = self.any_of(self._derivative(choice, digit) for choice in choices)
            case ("beginning", int(begun)):
                after = self.beginning(self._derivative(begun, digit))
            case other:
                raise AssertionError(other)
        self._after[pattern, digit] = after
        return after

    def _number(self, kind: str, needs: object, first: frozenset[str], *, is_optional: bool) -> int:
        """The id of a pattern, a new one where there is none like it yet."""
        part = (kind, needs)
        if (number := self._numbers.get(part)) is None:
            number = self._numbers[part] = len(self._parts)
            self._parts.append(part)
            self._is_optional.append(is_optional)
            self._first.append(first)
        return number

    def _sequence(self, first: int, rest: int) -> int:
        if self.NEVER in (first, rest):
            return self.NEVER
        if first == self.NOTHING:
            return rest
        if rest == self.NOTHING:
            return first
        begin, is_optional = self._first[first], self._is_optional[first]
        begin |= self._first[rest] if is_optional else frozenset()
        is_optional &= self._is_optional[rest]
        return self._number("sequence", (first, rest), begin, is_optional=is_optional)

    def any_of(self, patterns: Iterable[int]) -> int:
        """The choice between patterns, flat and without duplicates."""
        choices: set[int] = set()
        for pattern in patterns:
            kind, needs = self._parts[pattern]
            choices |= needs if kind == "choice" and isinstance(needs, frozenset) else {pattern}
        # In one form only, so that equal choices have one id and derivatives come to an end.
        choices.discard(self.NEVER)
        if len(choices) <= 1:
            return choices.pop() if choices else self.NEVER
        is_optional = any(self._is_optional[choice] for choice in choices)
        first = frozenset[str]().union(*(self._first[choice] for choice in choices))
        return self._number("choice", frozenset(choices), first, is_optional=is_optional)

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
        """Parses one item with its count: as a sequence of needed and optional ones."""
        one = self._read_one(tokens)
        if not tokens or tokens[-1][0] not in "?{":
            return [one]
        count = tokens.pop().strip("{}")
        fewest, _, most = (0, "", 1) if count == "?" else count.partition(",")
        needed = int(fewest)
        more = int(most or fewest) - needed
        # x{1,3} is x(x(x)?)?, so that a derivative never depends on how the item was matched.
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
        digits = _digits_in(token)
        return self._number("digit", digits, digits, is_optional=False)


@cache
def _digits_in(token: str) -> frozenset[str]:
    """The digits that a class such as [5-7] stands for."""
    return frozenset(d for d in DIGITS if re.fullmatch(token, d))


def ranges(boundaries: Sequence[Sequence[int]], judge: Callable[[int], int]) -> list[Range]:
    """Ranges of equal verdicts, from the boundaries of several patterns.

    ``judge`` gives the verdict where just the patterns of the set bits match.

    >>> ranges([[10, 20], [15, 30]], lambda bits: bits)
    [(0, 0), (10, 1), (15, 3), (20, 2), (30, 0)]
    """
    changes: dict[int, int] = defaultdict(int, {0: 0})
    for bit, values in enumerate(boundaries):
        for value in values:
            changes[value] ^= 1 << bit
    found: list[Range] = []
    matching = 0
    for value in sorted(changes):
        matching ^= changes[value]
        verdict = judge(matching)
        if not found or found[-1][1] != verdict:  # neighbours of one verdict are one range
            found.append((value, verdict))
    return found


MOST_DIGITS = 15
"""The most digits of an E.164 number; longer ones are not looked up."""

_LENGTHS = MOST_DIGITS + 1
_VALUES = 10**MOST_DIGITS


class IntervalTable:
    """Verdicts on numbers by group, length and value, with a table made when a group is first met.

    ``ranges`` gives the ranges of a group's numbers of some length.
    """

    def __init__(self, ranges: Callable[[int, int], list[Range]]) -> None:
        self._ranges = ranges
        self._tables: dict[int, list[Range]] = {}
        self._joined = (pl.Series([0], dtype=pl.UInt64), pl.Series([0], dtype=pl.Int32))
        self._lock = threading.Lock()

    def verdicts(self, groups: pl.Series, values: pl.Series, counts: pl.Series) -> pl.Series:
        """The verdict on each number of up to ``MOST_DIGITS`` digits, by its group's table.

        ``values`` and ``counts`` are their digits, as in ``clean.py``.
        """
        begins, verdicts = self._joined_with(groups.unique().to_list())
        # Group, length and value in one key, so that one search answers for all rows.
        keys = (groups.cast(pl.UInt64) * _LENGTHS + counts) * _VALUES + values
        return verdicts.gather(begins.search_sorted(keys, side="right") - 1)

    def _joined_with(self, groups: list[int]) -> tuple[pl.Series, pl.Series]:
        """The begins and verdicts of all tables as one, those of the groups among them."""
        with self._lock:  # batches are normalised in several threads
            missing = [group for group in groups if group not in self._tables]
            for group in missing:
                self._tables[group] = [
                    ((group * _LENGTHS + length) * _VALUES + begin, verdict)
                    for length in range(_LENGTHS)
                    for begin, verdict in self._ranges(group, length)
                ]
            if missing:
                # Sorted by group, so that the keys are: every length has a range from 0 on.
                joined = [each for _, table in sorted(self._tables.items()) for each in table]
                self._joined = (
                    pl.Series([begin for begin, _ in joined], dtype=pl.UInt64),
                    pl.Series([verdict for _, verdict in joined], dtype=pl.Int32),
                )
            return self._joined
