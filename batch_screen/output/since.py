"""Writes a run's table of changes since the previous complete run of its output folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from batch_screen.config.cohorts import Cohorts
from batch_screen.config.output import Output
from batch_screen.output.changes import Changes
from batch_screen.output.feed import Feed, Told, feed_of, shared_endpoints
from batch_screen.output.parts import CHANGES, Layout
from batch_screen.output.placing import ShardOf
from batch_screen.output.previous import FIRST_RUN, open_previous, previous_run
from batch_screen.output.recorded import UnusableRunError
from batch_screen.output.reread import DamagedPartError
from batch_screen.output.sides import Side
from batch_screen.watch import Watch


class Tonight(NamedTuple):
    """A run whose results and lookups are written, in ``parts`` that hold its ``shards``."""

    layout: Layout
    told: Told
    base_url: str
    shards: int
    parts: int
    record: Path
    """The file of its state that says which run is the previous one."""


def write_changes(
    tonight: Tonight, bounds: Cohorts, output: Output, shard_of: ShardOf, watch: Watch
) -> Changes | None:
    """The table of changes and its figures; None, and no table, where there is no earlier run.

    An earlier run that cannot be read any more is no failure of this one: a note says so. Raises
    ``Stopped`` between two shards if the watcher wants that.
    """
    previous = previous_run(tonight.record, tonight.layout, tonight.told, tonight.base_url)
    if previous.run_id == FIRST_RUN:
        return None
    try:
        told, side = open_previous(tonight.layout, previous)
        later = (tonight.told, Side(tonight.layout, tonight.shards))
        watch.progress.stage("comparing", total=tonight.shards)
        with feed_of(
            (told, side),
            later,
            bounds,
            shard_of=shard_of,
            scratch=tonight.layout.run,
            on_shard=watch.advance,
        ) as feed:
            for part in range(tonight.parts):
                _write_part(tonight, part, feed, output)
    except (UnusableRunError, DamagedPartError) as error:
        watch.progress.note(
            f"no changes are told: the previous run {previous.run_id} cannot be compared with, "
            f"for {error}"
        )
        return None
    if left_out := shared_endpoints(told, tonight.told)[1]:
        watch.progress.note(
            f"changes since run {told.run_id} leave out what only one of the two runs asked: "
            f"{', '.join(left_out)}"
        )
    return feed.changes


def _write_part(tonight: Tonight, part: int, feed: Feed, output: Output) -> None:
    """The part that holds the changes of the same shards as that part of the other tables."""
    layout, shards = tonight.layout, range(part, tonight.shards, tonight.parts)
    if len(shards) == 1:
        frame = feed.shard(part)
        if part == 0 or frame.height:
            layout.write_part(CHANGES, part, frame, output)
        return
    with layout.growing_part(CHANGES, part, tonight.shards, output) as growing:
        for shard in shards:
            growing.add(feed.shard(shard))
