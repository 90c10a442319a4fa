"""Where people lie: parts of complete runs, parts of runs without a marker, and state.

Of a run's parts only those are read that can hold one of the people: by the hash of their numbers
and by the bounds of each row group.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from batch_screen.erasure.people import People
from batch_screen.errors import OutputError
from batch_screen.planning.shards import shard_of
from batch_screen.runs.layout import (
    DATA_FOLDERS,
    RESULTS,
    SHARDS_MARK,
    Layout,
    is_run_id,
    layout_of_run,
)
from batch_screen.schema import KEPT_PREFIX, SCHEMA_VERSION, number_column
from batch_screen.storage.atomic import translated
from batch_screen.storage.parquet import open_parquet
from batch_screen.storage.prefetch import ordered_map
from batch_screen.storage.reading import bounded_lines, open_regular
from batch_screen.tables.integrity import own_files, part_number
from batch_screen.tables.manifest import Manifest, read_facts
from batch_screen.tables.reader import DamagedPartError, readable

_NUMBER = re.compile(rb"\+[1-9]\d{5,14}")
_KEYS = ("e164", "number_id")
_LINES_AT_ONCE = 100


class RunHolding(NamedTuple):
    """A complete run that holds some of the people.

    ``rows`` by table, and ``parts`` by path below the output folder; ``keys`` are what stands for
    those it holds. ``cells``: kept cells of other rows that hold a number, in these ``parts`` too.
    """

    layout: Layout
    manifest: Manifest
    rows: dict[str, int]
    parts: dict[str, int]
    keys: pl.Series
    cells: int = 0


class Holdings(NamedTuple):
    """All that holds some of the people.

    ``runs`` are complete, later ones first; ``unfinished`` runs and states are named by run id.
    ``states`` are the folders of the states of complete runs, ``vault`` files of a vault.
    """

    runs: list[RunHolding]
    unfinished: list[str]
    states: list[Path]
    vault: list[Path]


def find_in_runs(
    out: Path, people: People, on_run: Callable[[int], None] = lambda _: None
) -> tuple[list[RunHolding], list[str]]:
    """The complete runs of an output folder that hold some of them, and the unfinished ones.

    The later ones first: a run stands before the one that its changes are counted from.
    Raises ``OutputError`` where a part cannot be read.
    """
    names = [path.name for path in (out / "runs").glob("*") if is_run_id(path.name)]
    names += {path.name.rpartition("-")[0] for t in DATA_FOLDERS for path in out.glob(f"{t}/*/*")}
    layouts = [layout_of_run(out, name) for name in sorted({*names}) if is_run_id(name)]

    def look(layout: Layout) -> RunHolding | bool | None:
        on_run(1)
        with translated("read", layout.run):
            try:
                if not layout.is_marked:
                    return any(
                        holds(part, people) for t in DATA_FOLDERS for part in _parts(layout, t)
                    )
                return _find_in_run(layout, people)
            except DamagedPartError as error:
                raise OutputError(
                    f"run {layout.run_id}: {error.where or 'a part'} cannot be read ({error}), so "
                    "nobody can say whom it holds; nothing was changed: batch-screen validate says "
                    "what to do, or purge the run"
                ) from None

    with ordered_map(look, layouts) as looked:
        found = list(zip(layouts, looked, strict=True))
    runs = [each for _, each in found if isinstance(each, RunHolding)]
    runs.sort(key=lambda run: (run.layout.run_date, str(run.manifest.started_at)), reverse=True)
    return runs, [layout.run_id for layout, each in found if each is True]


def _parts(layout: Layout, table: str) -> Iterable[Path]:
    yield from layout.all_parts(table)
    yield from sorted((layout.growing / table).glob("*.parquet"))


def _find_in_run(layout: Layout, people: People) -> RunHolding | None:
    manifest = read_facts(layout)
    if manifest is None:
        raise DamagedPartError("it is missing or damaged", "manifest.json")
    keys, column = people.keys(manifest.id_key), number_column(manifest.id_key)
    places = keys.to_frame(column)
    if manifest.schema_version >= SCHEMA_VERSION:
        places = places.with_columns(shard=shard_of(pl.col(column), max(1, manifest.shards)))
    rows, parts, found, cells = dict.fromkeys(DATA_FOLDERS, 0), dict[str, int](), keys.clear(), 0
    for file in own_files(layout, manifest):
        if file.table is None:
            continue
        with readable(file.path), open_parquet(layout.folder / file.path) as opened:
            held = _held(opened, part_number(file) or 0, manifest.shards, places, column)
            if file.table == RESULTS and manifest.kept_columns:
                held_cells = _held_cells(opened, people, keys, column)
            else:
                held_cells = 0
        rows[file.table] += held.len()
        cells += held_cells
        if held.len() or held_cells:
            parts[file.path] = held.len()
        found = pl.concat([found, held.unique().rename(found.name)])
    if not parts:
        return None
    return RunHolding(layout, manifest, rows, parts, found.unique().sort(), cells)


def _held(
    opened: pq.ParquetFile, number: int, shards: int, places: pl.DataFrame, column: str
) -> pl.Series:
    """The keys of the people in a part, each as often as it stands there."""
    empty = pl.Series(column, [], pl.String)
    metadata = opened.metadata
    mark = (metadata.metadata or {}).get(SHARDS_MARK.encode())
    if "shard" in places.columns and shards:
        # A part holds every so many-th shard: its own number, then steps of the number of parts.
        step = shards // max(1, metadata.num_row_groups) if mark else shards
        places = places.filter(pl.col("shard") % max(1, step) == number)
    if places.is_empty() or column not in opened.schema_arrow.names:
        return empty
    keys = places[column]
    found = [empty]
    for group in range(metadata.num_row_groups):
        if _admits(metadata.row_group(group), column, keys):
            cells = pl.DataFrame(opened.read_row_group(group, columns=[column]))[column]
            found.append(cells.filter(cells.is_in(keys.implode())))
    return pl.concat(found)


def _admits(group: pq.RowGroupMetaData, column: str, keys: pl.Series) -> bool:
    """Whether the bounds of a row group let one of the keys be in it."""
    for n in range(group.num_columns):
        chunk = group.column(n)
        if chunk.path_in_schema == column:
            bounds = chunk.statistics
            if group.num_rows == 0:
                return False
            if bounds is None or not bounds.has_min_max:
                # All null, as the key column of rejects is; or written without bounds.
                return bounds is None or bounds.null_count != group.num_rows
            return bool(keys.is_between(bounds.min, bounds.max).any())
    return False


def _held_cells(opened: pq.ParquetFile, people: People, keys: pl.Series, column: str) -> int:
    """Kept cells of other people's rows that hold one of the numbers."""
    kept = [name for name in opened.schema_arrow.names if name.startswith(KEPT_PREFIX)]
    count = 0
    for group in range(opened.num_row_groups):
        frame = pl.DataFrame(opened.read_row_group(group, columns=[column, *kept]))
        others = frame.filter(~frame[column].is_in(keys.implode()).fill_null(value=False))
        count += sum(int(where.sum()) for where in people.in_cells(others).values())
    return count


def holds(path: Path, people: People) -> bool:
    """Whether a Parquet file holds one of them: a row, by number or by id, or a kept cell."""
    sought = [people.e164] + ([people.keys(people.ids.key_id)] if people.ids else [])
    with readable(path.name), open_parquet(path) as opened:
        names = opened.schema_arrow.names
        columns = [name for name in _KEYS if name in names]
        kept = [name for name in names if name.startswith(KEPT_PREFIX)]
        for group in range(opened.num_row_groups if columns or kept else 0):
            frame = pl.DataFrame(opened.read_row_group(group, columns=[*columns, *kept]))
            if any(frame[n].is_in(keys.implode()).any() for n in columns for keys in sought):
                return True
            if people.in_cells(frame):
                return True
    return False


def states_holding(
    state: Path, people: People, files_of: Callable[[Path], Sequence[Path]]
) -> list[Path]:
    """The folders of runs in the state folder that hold some of them.

    ``files_of`` lists a folder's files. Plans and answers are Parquet, the journal is text.
    """
    numbers = {number.encode() for number in people.e164}
    if people.ids:
        numbers |= {key.encode() for key in people.keys(people.ids.key_id)}

    def is_held(path: Path) -> bool:
        with translated("read", path):
            if path.suffix == ".spool":
                return True  # half of a plan whose process was killed: it may hold anybody
            if path.suffix in (".parquet", ".whole"):
                try:
                    return holds(path, people)
                except DamagedPartError:
                    return True  # for all that anybody can say
            return any(not numbers.isdisjoint(found) for found in _numbers_in(path))

    folders = sorted(path for path in (state / "runs").glob("*") if path.is_dir())
    return [folder for folder in folders if any(map(is_held, files_of(folder)))]


def _numbers_in(path: Path) -> Iterator[set[bytes]]:
    """The numbers in a text file, some at a time; no line is as long as what is read at once."""
    with open_regular(path) as file:
        every = bounded_lines(file)
        while lines := list(islice(every, _LINES_AT_ONCE)):
            yield set(_NUMBER.findall(b"".join(lines)))
