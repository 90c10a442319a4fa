"""What a scenario came to, in figures, each with the target it has to meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import groupby

MOST_AGE_MS = 100.0
"""Answers that a crash loses were handed to the kernel at most so long before it."""


@dataclass(frozen=True)
class Measure:
    """A figure of one scenario alone, with the most it may be."""

    name: str
    value: float
    most: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.most

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.name} {self.value:,.4g} of at most {self.most:,.4g}{unit}"


@dataclass(frozen=True)
class Figures:
    """One scenario with one seed, or several combined: counts are sums, ages the largest.

    ``faults`` are the kills or whatever else was done to the run, ``per_kill`` is the largest
    number of lookups bought again after one of them and ``per_kill_most`` what is allowed.
    ``billed_shown`` is what the product says may have been billed without an answer (None: it
    cannot know), ``billed_true`` what the server knows of that.
    """

    scenario: str
    seeds: tuple[int, ...] = ()
    faults: int = 0
    starts: int = 0
    lookups: int = 0
    missing: int = 0
    duplicates: int = 0
    wrong: int = 0
    bought_after_saved: int = 0
    per_kill: int = 0
    per_kill_most: int = 0
    age_ms: float = 0.0
    torn: int = 0
    dead_key: int = 0
    dead_key_most: int = 0
    leaks: int = 0
    tracebacks: int = 0
    billed_shown: int | None = 0
    billed_true: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    measures: tuple[Measure, ...] = ()
    examples: tuple[str, ...] = ()
    """A few words on what went wrong, for whoever has to find out why."""

    @property
    def misses(self) -> list[str]:
        """The figures that do not meet their targets, each with its value."""
        bounds: dict[str, float] = {
            **dict.fromkeys(_ZEROS, 0),
            "per_kill": self.per_kill_most,
            "age_ms": MOST_AGE_MS,
            "dead_key": self.dead_key_most,
        }
        over = [f"{n} {getattr(self, n)}" for n, most in bounds.items() if getattr(self, n) > most]
        # What was noted and then not sent is said too, at most all that was under way.
        shown, most_unsent = self.billed_shown, self.faults * self.per_kill_most
        if shown is not None and not 0 <= shown - self.billed_true <= most_unsent:
            over.append(f"billed_shown {self.billed_shown} of {self.billed_true}")
        return over + [str(measure) for measure in self.measures if not measure.is_met]


_ZEROS = (
    "missing",
    "duplicates",
    "wrong",
    "bought_after_saved",
    "torn",
    "leaks",
    "tracebacks",
)
_SUMS = ("faults", "starts", "lookups", *_ZEROS, "billed_true")
_LARGEST = ("per_kill", "per_kill_most", "age_ms", "dead_key", "dead_key_most")


def combine(scenario: str, parts: Iterable[Figures]) -> Figures:
    """One record of several, under a name of its own.

    >>> combine("all", [Figures("a", (1,), torn=1), Figures("b", (2,), torn=2)]).torn
    3
    """
    combined = reduce(_both, parts)
    return replace(combined, scenario=scenario)


def _both(one: Figures, other: Figures) -> Figures:
    sums = {n: getattr(one, n) + getattr(other, n) for n in _SUMS}
    shown = [f.billed_shown for f in (one, other) if f.billed_shown is not None]
    largest = {n: max(getattr(one, n), getattr(other, n)) for n in _LARGEST}
    return replace(
        one,
        **sums,
        **largest,
        seeds=tuple(sorted({*one.seeds, *other.seeds})),
        billed_shown=sum(shown) if shown else None,
        phases=one.phases + other.phases,
        measures=_worst([*one.measures, *other.measures]),
        examples=one.examples + other.examples,
    )


def _worst(measures: list[Measure]) -> tuple[Measure, ...]:
    """Of each name the measure that comes nearest to its bound, or is farthest over it."""
    worst: dict[str, Measure] = {}
    for each in measures:
        known = worst.setdefault(each.name, each)
        if each.value - each.most > known.value - known.most:
            worst[each.name] = each
    return tuple(worst.values())


_HEAD = (
    *("|scenario", "|faults", "|starts", "|lookups", "mis-|sing", "dup-|lic.", "|wrong"),
    *("saved,|again", "again,|a kill", "age|ms", "|torn", "dead|key", "|leaks", "trace-|backs"),
    *("billed?|said/true", "|"),
)
_TARGETS = (
    *("target", "", "", "", "0", "0", "0"),
    *("0", "≤2×c", f"{MOST_AGE_MS:.0f}", "0", "c", "0", "0", "said≥true", ""),
)


def table(figures: Iterable[Figures]) -> str:
    """Plain text: a row per scenario over all its seeds, their sum, the targets.

    ``c`` in the targets is the concurrency; after a graceful stop nothing may be bought again.
    Above stand what only one scenario measures, the phases of kills, and what went wrong.
    """
    by_name = groupby(sorted(figures, key=_name), key=_name)
    rows = [combine(name, parts) for name, parts in by_name]
    cells = [(*_cells(row), _verdict([row])) for row in rows]
    if len(rows) > 1:
        cells.append((*_cells(combine("all", rows)), _verdict(rows)))
    heads = [tuple(head.split("|")[line] for head in _HEAD) for line in (0, 1)]
    return "\n".join([*_details(rows), "", *_aligned([*heads, *cells, _TARGETS])])


def _name(figures: Figures) -> str:
    return figures.scenario


def _cells(row: Figures) -> tuple[str, ...]:
    counts = (row.faults, row.starts, row.lookups, row.missing, row.duplicates)
    return (
        row.scenario,
        *(str(count) for count in (*counts, row.wrong, row.bought_after_saved)),
        f"{row.per_kill}/{row.per_kill_most}",
        f"{row.age_ms:.0f}",
        str(row.torn),
        f"{row.dead_key}/{row.dead_key_most}" if row.dead_key_most else str(row.dead_key),
        str(row.leaks),
        str(row.tracebacks),
        f"{'-' if row.billed_shown is None else row.billed_shown}/{row.billed_true}",
    )


def _verdict(rows: list[Figures]) -> str:
    return "MISS" if any(row.misses for row in rows) else "PASS"


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield " ".join([first.strip().ljust(widths[0]), *others]).rstrip()


def _details(rows: list[Figures]) -> Iterator[str]:
    seeds = sorted({seed for row in rows for seed in row.seeds})
    yield f"seeds {', '.join(map(str, seeds))}"
    for row in rows:
        for measure in row.measures:
            yield f"{row.scenario}: {measure}"
        if row.phases:
            counts = ", ".join(f"{phase} {kills}" for phase, kills in row.phases.items())
            yield f"{row.scenario}: by phase: {counts}"
        yield from (f"{row.scenario}: MISS: {miss}" for miss in row.misses)
        yield from (f"{row.scenario}: {example}" for example in row.examples[:10])
