"""Draws what arrived in the second before each instant, against the limit."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.pacing.figures import Arrivals
from benchmarks.pacing.timetable import Timetable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACCEPTED = "#3b76af"
REFUSED = "#d1495b"
LIMIT = "#222222"
DASHES = (0, (4, 2))
_STEP_SECONDS = 0.1


def second_before(instants: Sequence[float], at: Sequence[float]) -> list[int]:
    """How many sorted instants lie in the second before each of the others."""
    return [bisect_left(instants, t) - bisect_left(instants, t - 1) for t in at]


def draw(
    panel: Axes,
    arrivals: Arrivals,
    limit: Timetable,
    until: float,
    step_seconds: float = _STEP_SECONDS,
) -> None:
    """Accepted requests in the second before, refused ones on top of them, and the limit.

    Ticks along the upper edge say when requests were refused.
    """
    at = [step_seconds * step for step in range(int(until / step_seconds) + 1)]
    accepted = second_before(arrivals.accepted, at)
    refused = second_before(arrivals.refused, at)
    both = [a + r for a, r in zip(accepted, refused, strict=True)]
    # The second area covers the first, which takes half the points that two bands would.
    if arrivals.refused:
        panel.fill([0, *at, until], [0, *both, 0], color=REFUSED, linewidth=0)
    panel.fill([0, *at, until], [0, *accepted, 0], color=ACCEPTED, linewidth=0)
    edges = [step.from_seconds for step in limit]
    levels = [step.limit for step in limit]
    panel.step([*edges, until], [*levels, levels[-1]], where="post", color=LIMIT, lw=1, ls=DASHES)
    # A single refusal is too thin to see in the area, so a tick says when there were any.
    steps = sorted({int(t / step_seconds) for t in arrivals.refused if t < until})
    ticks = [step_seconds * step for step in steps]
    panel.vlines(ticks, 0.97, 1, color=REFUSED, lw=1, transform=panel.get_xaxis_transform())
    panel.set_xlim(0, until)
    panel.set_ylim(0, max(panel.get_ylim()[1], 1.1 * max(*levels, *both)))
    panel.yaxis.set_major_formatter("{x:,.0f}")


def finish(sheet: Figure, path: Path) -> None:
    """Says above the panels, in their colours, what the colours are; writes the file."""
    said = (("accepted", ACCEPTED), ("refused (tick: when)", REFUSED), ("limit", LIMIT))
    handles = [Line2D([], [], color=colour, lw=7) for _, colour in said[:2]]
    handles.append(Line2D([], [], color=LIMIT, lw=1, ls=DASHES))
    sheet.legend(
        handles,
        [name for name, _ in said],
        labelcolor=[colour for _, colour in said],
        loc="outside upper left",
        ncols=3,
        frameon=False,
        handlelength=1.6,
    )
    # Without a date, so that a file changes only when its figures do.
    sheet.savefig(path, metadata={"Date": None})
    print(f"wrote {path.name}")
