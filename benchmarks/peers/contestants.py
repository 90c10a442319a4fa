"""How each contestant is started, and which lookups its output holds."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl

from benchmarks.pacing import contestants as pacing
from benchmarks.peers.figures import lines_of_code

CLIENTS = Path(__file__).with_name("clients")
ENDPOINTS = ("sim-swap/check", "device-swap/check")


class Contestant(NamedTuple):
    """Who takes part."""

    command: Callable[[Path, str, int], list[str]]
    """From the folder with ``customers.csv``, the base URL and the rate."""
    found: Callable[[Path], Iterator[str]]
    """From the folder to the lookups that the output holds a value for."""
    lines: int
    """Lines of code that the user writes; a command is one."""


def lookups_of(folder: Path) -> list[str]:
    """Every lookup the list asks for, as the till names it."""
    with (folder / "customers.csv").open(encoding="utf-8", newline="") as file:
        return [f"{e} {row['phone']}" for row in csv.DictReader(file) for e in ENDPOINTS]


def in_json_lines(folder: Path) -> Iterator[str]:
    """From ``answers.jsonl``; a line that was cut off holds nothing."""
    path = folder / "answers.jsonl"
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if answer["swapped"] is not None:
            yield f"{answer['endpoint']} {answer['phone']}"


def in_parquet(folder: Path, number: str, values: dict[str, str]) -> Iterator[str]:
    """From every Parquet file below; ``values`` names each endpoint's column."""
    for path in folder.rglob("*.parquet"):
        try:
            frame = pl.read_parquet(path, columns=[number, *values.values()])
        except pl.exceptions.PolarsError:
            continue  # not whole
        for endpoint, column in values.items():
            answered = frame.filter(pl.col(column).is_not_null())
            yield from (f"{endpoint} {e164}" for e164 in answered[number])


def _batch_screen() -> Contestant:
    """The installed command with its default settings, but for the rate."""

    def command(folder: Path, url: str, rate: int) -> list[str]:
        line = pacing.batch_screen(folder, url, rate)
        line[line.index("--endpoints") + 1] = ",".join(ENDPOINTS)
        return line

    def found(folder: Path) -> Iterator[str]:
        columns = ("sim_swap_check_swapped", "device_swap_check_swapped")
        values = dict(zip(ENDPOINTS, columns, strict=True))
        return in_parquet(folder / "out" / "results", "e164", values)

    return Contestant(command, found, lines=1)


def _program(name: str, target: str, found: Callable[[Path], Iterator[str]]) -> Contestant:
    """A program of this folder's."""
    path = CLIENTS / name

    def command(folder: Path, url: str, rate: int) -> list[str]:
        source = str(folder / "customers.csv")
        return [sys.executable, str(path), source, url, str(rate), str(folder / target)]

    return Contestant(command, found, lines_of_code(path.read_text("utf-8")))


def _in_answers(folder: Path) -> Iterator[str]:
    values = dict(zip(ENDPOINTS, ("sim_swap", "device_swap"), strict=True))
    return in_parquet(folder / "answers", "phone", values)


CONTESTANTS: dict[str, Contestant] = {
    "batch-screen": _batch_screen(),
    "script": _program("script.py", "answers.jsonl", in_json_lines),
    "Scrapy": _program("spider.py", "answers.jsonl", in_json_lines),
    "Ray Data": _program("ray_data.py", "answers", _in_answers),
}


def environment(folder: Path) -> dict[str, str]:
    """That of pacing, with home and temporary files in the folder, and without telemetry."""
    kept = {"HOME": str(folder), "TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0"}
    return pacing.environment() | kept
