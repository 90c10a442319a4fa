"""A limit that may change: so many requests a second from such a second on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple


class Step(NamedTuple):
    """From so many seconds after the first request on, so many requests a second."""

    from_seconds: float
    limit: int


class Timetable(tuple[Step, ...]):
    """The steps in the order of time; the first begins at 0."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Timetable:
        """The timetable that a text says. ValueError if it says none.

        >>> Timetable.read("200,40:100")
        (Step(from_seconds=0.0, limit=200), Step(from_seconds=40.0, limit=100))
        """
        first, *others = text.split(",")
        steps = [Step(0.0, int(first))]
        for other in others:
            seconds, _, limit = other.partition(":")
            steps.append(Step(float(seconds), int(limit)))
        if any(later.from_seconds <= earlier.from_seconds for earlier, later in pairwise(steps)):
            raise ValueError(f"not in the order of time: {text}")
        return cls(steps)

    def __str__(self) -> str:
        first, *others = self
        return ",".join([f"{first.limit}", *(f"{s.from_seconds:g}:{s.limit}" for s in others)])

    def at(self, seconds: float) -> int:
        """The limit so many seconds after the first request.

        >>> Timetable.read("200,40:100").at(39.9), Timetable.read("200,40:100").at(40)
        (200, 100)
        """
        limit = self[0].limit
        for step in self:
            if step.from_seconds <= seconds:
                limit = step.limit
        return limit

    def allowed(self, begin: float, end: float) -> float:
        """How many requests it allows between two instants.

        >>> Timetable.read("200,40:100").allowed(39, 42)
        400.0
        """
        return sum(
            step.limit * max(0.0, min(end, until) - max(begin, step.from_seconds))
            for step, until in self._spans()
        )

    def changes(self, end: float) -> Iterator[tuple[Step, float]]:
        """The steps after the first, each with the instant of the next one, or the end.

        >>> [until for _, until in Timetable.read("200,40:100,80:200").changes(120)]
        [80.0, 120]
        """
        for step, until in islice(self._spans(), 1, None):
            yield step, min(until, end)

    def _spans(self) -> Iterator[tuple[Step, float]]:
        ends = [*(step.from_seconds for step in self[1:]), float("inf")]
        return zip(self, ends, strict=True)
