from __future__ import annotations

from datetime import UTC, datetime

from batch_screen.cli.resume_line import Resuming
from batch_screen.cli.status_block import status_block
from batch_screen.lock import Holder
from batch_screen.standing import RunStanding, Standing, State
from batch_screen.under_way import UnderWay

RUN = "20260302-0123456789"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOLDER = Holder(71, "2026-03-02T00:00:00+00:00", "here", is_alive=True)
ASKING = UnderWay(71, NOW, "asking", 250, 1_000, 12.5, RUN)


def run(state: State, **more: object) -> RunStanding:
    known: dict[str, object] = {"inputs": ["/a/list.csv"], "rows": 1_200, "lookups": 1_000}
    return RunStanding(RUN, "2026-03-02", state, **{**known, "done": 250, **more})  # type: ignore[arg-type]


def lines(*runs: RunStanding, **more: object) -> list[str]:
    return status_block(Standing("out/.state", [*runs], **more), {}).splitlines()[2:]  # type: ignore[arg-type]


def test_one_that_runs() -> None:
    found = lines(run(State.RUNNING), holder=HOLDER, under_way=ASKING, idle_seconds=1.0)
    assert found == [
        "  process ...... 71, since 2026-03-02T00:00:00+00:00, asking",
        f"  {RUN}  running  1,200 rows  250 of 1,000 lookups (25.0%)",
        "  lists ........ list.csv",
        "  pace ......... asking: 250 of 1,000, lately 12.5/s, 1 min 0 s left",
    ]
    assert max(map(len, found)) <= 80


def test_one_that_waits() -> None:
    found = lines(run(State.RUNNING), holder=HOLDER, under_way=ASKING, idle_seconds=95.0)
    assert (
        found[-1] == "  pace ......... nothing has advanced for 1 min 35 s: a pause, or an outage"
    )


def test_one_on_another_machine() -> None:
    away = HOLDER._replace(is_alive=None, host="there")
    assert "71 on there, since" in lines(holder=away, under_way=ASKING, idle_seconds=1.0)[0]


def test_complete_unplanned_unreadable_and_none() -> None:
    assert lines(run(State.COMPLETE, done=1_000))[0].endswith("1,200 rows  1,000 lookups  list.csv")
    unplanned = run(State.RESUMABLE, rows=None, lookups=None, done=None)
    assert lines(unplanned) == [f"  {RUN}  resumable  not planned yet  list.csv"]
    bad = run(State.UNREADABLE, rows=None, lookups=None, inputs=[], problem="damaged; restore it")
    assert lines(bad)[1] == "  problem ...... damaged; restore it"
    assert lines() == ["  runs ......... none: nothing has run there, or its state was removed"]


def test_how_it_is_resumed_can_be_copied_as_a_whole() -> None:
    command = "batch-screen run " + "x" * 200
    for besides in ("", "with the same list"):
        how = {RUN: Resuming(command, besides)}
        found = status_block(Standing("s", [run(State.RESUMABLE)]), how).splitlines()
        assert found[-1].endswith(command)
        assert found[-2].endswith(f"resume ....... {besides}:" if besides else "list.csv")
