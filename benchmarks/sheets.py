"""The light sheets that every chart of the benchmarks is drawn on."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "svg.fonttype": "none",
    "svg.hashsalt": "benchmarks",  # the same figures make the same file
}


def new_sheet(width: float, height: float, rows: int, columns: int) -> tuple[Figure, Any]:
    """A sheet of so many inches with panels in rows and columns; each column has one scale."""
    mpl.rcParams.update(_STYLE)
    drawn = Figure(figsize=(width, height), layout="constrained")
    return drawn, drawn.subplots(rows, columns, squeeze=False, sharey="col")
