from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batch_screen.cli.status import Resuming, resuming, status_block
from batch_screen.commands.status import RunStatus, State, Status
from batch_screen.config.load import load_settings
from batch_screen.config.settings import Settings
from batch_screen.runs.heartbeat import Heartbeat
from batch_screen.storage.lock import Holder

OUT = {"output": {"folder": "my out"}}


def of(changed: dict[str, Any], inputs: list[str] | None = None) -> RunStatus:
    settings = Settings().identity() | changed
    named = inputs or ["/lists/my list.csv"]
    return RunStatus("r", "2026-03-02", State.RESUMABLE, named, settings=settings)


def test_what_is_as_here_is_not_repeated() -> None:
    found = resuming(of({}), load_settings(OUT), Path("c.toml"))
    assert shlex.split(found.command) == [
        *("batch-screen", "run", "/lists/my list.csv", "--config", "c.toml"),
        *("--out", "my out", "--run-date", "2026-03-02"),
    ]
    assert found.besides == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("screening.endpoints", ["sim-swap/check", "device-swap/check"], ["--endpoints"]),
        ("input.phone_column", "my phone", ["--phone-column", "my phone"]),
        ("input.phone_column", "mobile,home", ["--phone-column", "mobile,home"]),
        ("numbers.ambiguous", "national", ["--digits", "national"]),
        ("input.has_header", False, ["--no-header"]),
        ("api.base_url", "sandbox", ["--sandbox"]),
        ("api.base_url", "http://127.0.0.1:1/v1", ["--base-url", "http://127.0.0.1:1/v1"]),
    ],
)
def test_what_differs_is_a_flag(name: str, value: object, words: list[str]) -> None:
    found = shlex.split(resuming(of({name: value}), load_settings(OUT), None).command)
    assert [word for word in found if word in words] == words


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("numbers.double_zero_is_plus", True),
        ("numbers.vanity_letters", True),
        ("output.shard_lookups", 1_000),
        ("api.paths", {"sim-swap/check": "/v2"}),
    ],
)
def test_what_has_no_flag_is_a_variable(name: str, value: object) -> None:
    run = of({name: value})
    words = shlex.split(resuming(run, load_settings(OUT), None).command)
    variable, _, text = words[0].partition("=")
    assert words[1] == "batch-screen"
    assert load_settings(OUT, environment={variable: text}).identity() == run.settings


def test_a_default_outweighs_what_is_set_here() -> None:
    here = load_settings(
        {**OUT, "numbers": {"allowed_regions": ["DE"]}, "input": {"phone_column": "x"}}
    )
    words = shlex.split(resuming(of({}), here, None).command)
    assert words[0] == "BATCH_SCREEN_NUMBERS__ALLOWED_REGIONS="
    assert words[words.index("--phone-column") + 1] == ""


def test_what_cannot_be_typed_is_said() -> None:
    hidden = {"numbers.test_numbers": ["+491713920012"], "numbers.opt_out_file": "ab" * 32}
    found = resuming(of(hidden, ["stdin"]), load_settings(OUT), None)
    assert found.besides == (
        "with the same --opt-out list, or a longer one; with the same numbers.test_numbers"
    )
    assert "+491713920012" not in found.command
    assert shlex.split(found.command)[:3] == ["batch-screen", "run", "-"]


RUN = "20260302-0123456789"
NOW = datetime(2026, 3, 2, tzinfo=UTC)
HOLDER = Holder(71, "2026-03-02T00:00:00+00:00", "here", is_alive=True)
ASKING = Heartbeat(71, NOW, "asking", 250, 1_000, 12.5, RUN)


def run(state: State, **more: object) -> RunStatus:
    known: dict[str, object] = {"inputs": ["/a/list.csv"], "rows": 1_200, "lookups": 1_000}
    return RunStatus(RUN, "2026-03-02", state, **{**known, "done": 250, **more})  # type: ignore[arg-type]


def lines(*runs: RunStatus, **more: object) -> list[str]:
    return status_block(Status("out/.state", [*runs], **more), {}).splitlines()[2:]  # type: ignore[arg-type]


def test_one_that_runs() -> None:
    found = lines(run(State.RUNNING), holder=HOLDER, heartbeat=ASKING, idle_seconds=1.0)
    assert found == [
        "  process ...... 71, since 2026-03-02T00:00:00+00:00, asking",
        f"  {RUN}  running  1,200 rows  250 of 1,000 lookups (25.0%)",
        "  lists ........ list.csv",
        "  pace ......... asking: 250 of 1,000, lately 12.5/s, 1 min 0 s left",
    ]
    assert max(map(len, found)) <= 80


def test_one_that_waits() -> None:
    found = lines(run(State.RUNNING), holder=HOLDER, heartbeat=ASKING, idle_seconds=95.0)
    assert (
        found[-1] == "  pace ......... nothing has advanced for 1 min 35 s: a pause, or an outage"
    )


def test_one_on_another_machine() -> None:
    away = HOLDER._replace(is_alive=None, host="there")
    assert "71 on there, since" in lines(holder=away, heartbeat=ASKING, idle_seconds=1.0)[0]


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
        found = status_block(Status("s", [run(State.RESUMABLE)]), how).splitlines()
        assert found[-1].endswith(command)
        assert found[-2].endswith(f"resume ....... {besides}:" if besides else "list.csv")
