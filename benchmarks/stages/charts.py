"""Draws what stages take against the number of rows: speed, and memory, which is to stay flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from benchmarks.sheets import new_sheet

COLOURS = ("#3b76af", "#d1495b", "#66a182")
_ROOM = 1.25


def chart(
    path: Path,
    rows: Sequence[int],
    speeds: Mapping[str, Sequence[float]],
    peaks_mib: Mapping[str, Sequence[float]],
) -> None:
    """Writes both panels; each name maps to a figure for each number of rows."""
    sheet, [[left, right]] = new_sheet(8, 3, 1, 2)
    for panel, title, lines in (
        (left, "rows a second", speeds),
        (right, "peak memory, MiB", peaks_mib),
    ):
        for colour, figures in zip(COLOURS, lines.values(), strict=False):
            panel.plot(rows, figures, color=colour, marker="o", lw=1.6)
        panel.set_title(title)
        panel.set_xscale("log")
        panel.set_xticks(rows, [f"{count // 1_000_000} M" for count in rows], minor=False)
        panel.minorticks_off()
        panel.set_ylim(0, _ROOM * max(max(figures) for figures in lines.values()))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        panel.set_xlabel("rows of the input")
    handles = [Line2D([], [], color=colour, lw=5) for colour in COLOURS[: len(speeds)]]
    sheet.legend(
        handles,
        [*speeds],
        labelcolor=COLOURS[: len(speeds)],
        loc="outside upper left",
        ncols=len(speeds),
        frameon=False,
        handlelength=1.6,
    )
    sheet.savefig(path, metadata={"Date": None})  # so that it changes only with its figures
    print(f"wrote {path.name}")
