from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from batch_screen.errors import ConfigurationError
from batch_screen.model import Plan, ShardPlan
from batch_screen.runs.finding import answered_runs, find_run, is_answered, unfinished_runs
from batch_screen.runs.layout import layout_of_run
from batch_screen.runs.state import (
    RETRY_OF,
    RETRY_OUTCOMES,
    Identity,
    Run,
    all_runs,
    create_run,
    new_run_id,
)
from batch_screen.storage.records import write_record
from tests.unit.runs.test_state import DAY, INPUTS, begun, identity


def test_kept_columns_make_no_other_run(tmp_path: Path) -> None:
    kept = [identity(settings={"input.keep_columns": names}) for names in ([], ["id"], ["all"])]
    assert len({who.digest() for who in kept}) == 1
    assert kept[1] != kept[2]
    assert kept[1].work == kept[2].work == kept[0]
    unfinished, other = begun(tmp_path, kept[1]), identity(day="2026-11-24", settings={})
    found = find_run(tmp_path, kept[2], INPUTS)
    assert found is not None
    assert found.run_id == unfinished.run_id
    later = msgspec.structs.replace(kept[2], run_date="2026-11-24")
    assert [run.run_id for run in unfinished_runs(tmp_path, later)] == [found.run_id]
    assert unfinished_runs(tmp_path, other) == []
    # What the plan was made with last counts, also where that is none.
    for names in (["branch"], []):
        plan = Plan(0, 0, {}, "", [], [], {}, keep_columns=names)
        write_record(unfinished.plan / "plan.json", plan)
        assert found.identity.keep_columns == names
    assert found.file.identity.keep_columns == ["id"]


def test_no_state_has_no_run(tmp_path: Path) -> None:
    assert find_run(tmp_path / "nowhere", identity(), INPUTS) is None
    assert all_runs(tmp_path) == []


def test_the_same_run_is_found_again_whatever_its_progress(tmp_path: Path) -> None:
    for i, progress in enumerate([{"bought": False}, {}, {"answered": True}]):
        state = tmp_path / str(i)
        run = begun(state, identity(), **progress)
        found = find_run(state, identity(), INPUTS)
        assert found is not None
        assert found.folder == run.folder


def test_differing_settings_are_refused_with_their_names_and_both_values(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(settings={"numbers.strictness": "valid"}))
    now = {"numbers.strictness": "mobile", "screening.max_age_minutes": 240, "input.new": "ü"}
    with pytest.raises(ConfigurationError) as caught:
        find_run(tmp_path, identity(settings=now), INPUTS)
    message = str(caught.value)
    assert run.run_id in message
    assert 'numbers.strictness was "valid", now "mobile"' in message
    assert "screening.max_age_minutes was 2400, now 240" in message
    assert 'input.new was null, now "ü"' in message
    assert "--new-run" in message


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ("ab" * 32, "cd" * 32, "was SHA-256 abababababab…, now SHA-256 cdcdcdcdcdcd…"),
        ("", "cd" * 32, "was none, now SHA-256 cdcdcdcdcdcd…"),
        ("ab" * 32, "", "was SHA-256 abababababab…, now none"),
    ],
)
def test_another_opt_out_list_is_refused_and_the_new_one_is_to_win(
    tmp_path: Path, was: str, now: str, words: str
) -> None:
    run = begun(tmp_path, identity(settings={"numbers.opt_out_file": was}))
    with pytest.raises(ConfigurationError) as caught:
        find_run(tmp_path, identity(settings={"numbers.opt_out_file": now}), INPUTS)
    assert str(caught.value) == (
        f"run {run.run_id} is unfinished and was begun with another opt-out list "
        f"(numbers.opt_out_file {words}), by which it would ask people who have objected since; "
        "set that back only if nobody has, to resume it, or use --new-run to start afresh and "
        "pay again"
    )


@pytest.mark.parametrize("progress", [{"bought": False}, {"answered": True}])
def test_other_settings_are_fine_where_nothing_is_lost(
    tmp_path: Path, progress: dict[str, bool]
) -> None:
    begun(tmp_path, identity(), **progress)
    assert find_run(tmp_path, identity(settings={"numbers.strictness": "mobile"}), INPUTS) is None


def test_other_files_and_dates_are_other_runs(tmp_path: Path) -> None:
    begun(tmp_path, identity())
    assert find_run(tmp_path, identity("other"), ["/lists/others.csv"]) is None
    assert find_run(tmp_path, identity("other", day="2026-11-24"), INPUTS) is None
    assert find_run(tmp_path, identity(day="2026-11-24"), INPUTS) is None


def test_a_file_that_has_changed_is_refused_with_both_digests(tmp_path: Path) -> None:
    run = begun(tmp_path, identity("c0ffee" * 8))
    with pytest.raises(ConfigurationError) as caught:
        find_run(tmp_path, identity("decade" * 8), INPUTS)
    message = str(caught.value)
    assert run.run_id in message
    assert "/lists/customers.csv" in message
    assert "c0ffeec0ffee…, now decadedecade…" in message
    assert "--new-run" in message


@pytest.mark.parametrize("progress", [{"bought": False}, {"answered": True}])
def test_a_changed_file_is_fine_where_nothing_is_lost(
    tmp_path: Path, progress: dict[str, bool]
) -> None:
    begun(tmp_path, identity(), **progress)
    assert find_run(tmp_path, identity("decade"), INPUTS) is None


def test_unfinished_runs_of_other_dates_are_told(tmp_path: Path) -> None:
    unfinished = begun(tmp_path, identity(day="2026-11-20"))
    begun(tmp_path, identity(day="2026-11-21"), answered=True)
    begun(tmp_path, identity(day="2026-11-22"), bought=False)
    begun(tmp_path, identity(day=DAY))
    begun(tmp_path, identity("other", day="2026-11-19"))
    found = unfinished_runs(tmp_path, identity())
    assert [run.run_id for run in found] == [unfinished.run_id]


def test_what_is_answered_and_not_written_is_unfinished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = begun(tmp_path, identity(day="2026-11-20"), answered=True)
    planned_with(run, "ab" * 32)
    layout = layout_of_run(out, run.run_id)
    today = identity()

    def found() -> list[str]:
        return [run.run_id for run in unfinished_runs(tmp_path, today, out=out)]

    assert found() == []  # moved away as a whole
    layout.run.mkdir(parents=True)
    assert found() == []  # by another list
    today = identity(settings=listed("ab" * 32))
    assert found() == [run.run_id]
    of_its_day = identity(
        day="2026-11-20", settings={**listed("ab" * 32), "numbers.strictness": "any"}
    )
    with pytest.raises(ConfigurationError, match="is unfinished and was begun with other"):
        find_run(tmp_path, of_its_day, INPUTS, out=out)
    grown = identity(day="2026-11-20", settings=listed("cd" * 32))
    assert find_run(tmp_path, grown, INPUTS, lambda _: True, out) is not None
    layout.marker.touch()
    assert found() == []
    assert find_run(tmp_path, grown, INPUTS, lambda _: True, out) is None


def test_a_retry_has_no_way_to_start_afresh(tmp_path: Path) -> None:
    how = {RETRY_OF: "20261120-0123456789", RETRY_OUTCOMES: ["timeout"]}
    begun(tmp_path, identity(settings=how))
    other = identity(settings={**how, RETRY_OUTCOMES: ["timeout", "server_error"]})
    with pytest.raises(
        ConfigurationError, match="once it is complete, it can be retried"
    ) as raised:
        find_run(tmp_path, other, INPUTS)
    assert "--new-run" not in str(raised.value)


def test_answered_runs_are_told_with_what_differs(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(), answered=True)
    begun(tmp_path, identity(day="2026-11-20"), answered=True)
    other = identity(settings={"numbers.strictness": "mobile"})
    [(found, differing)] = answered_runs(tmp_path, other)
    assert found.run_id == run.run_id
    assert "numbers.strictness" in differing


def test_answered_means_that_every_shard_is_sealed(tmp_path: Path) -> None:
    run = create_run(tmp_path, identity(), INPUTS, taken=[])
    assert not is_answered(run)
    run.plan.mkdir()
    for shard in range(2):
        (run.plan / f"rows-{shard:05d}.parquet").touch()
    (run.sealed / "00000.seal").touch()
    assert not is_answered(run)
    (run.sealed / "00001.seal").touch()
    assert is_answered(run)
    assert run.has_bought


def test_new_runs_of_the_same_identity_are_numbered_and_the_latest_is_found(
    tmp_path: Path,
) -> None:
    runs = [create_run(tmp_path, identity(), INPUTS, taken=[]) for _ in range(3)]
    first = new_run_id(identity(), 1)
    assert [run.run_id for run in runs] == [first, f"{first}-2", f"{first}-3"]
    found = find_run(tmp_path, identity(), INPUTS)
    assert found is not None
    assert found.run_id == f"{first}-3"


@pytest.mark.parametrize(
    ("content", "inputs"),
    [(["b", "a"], ["/b", "/a"]), (["a", "b", "c"], ["/a", "/b", "/c"]), (["a"], ["/renamed"])],
)
def test_some_of_the_same_inputs_are_refused(
    tmp_path: Path, content: list[str], inputs: list[str]
) -> None:
    before = Identity(["a", "b"], DAY, identity().settings)
    run = create_run(tmp_path, before, ["/a", "/b"], taken=[])
    (run.sealed / "00000.seal").touch()
    now = Identity(content, DAY, identity().settings)
    with pytest.raises(ConfigurationError, match=r"other inputs or another order.*name the same"):
        find_run(tmp_path, now, inputs)
    assert find_run(tmp_path, Identity(["x"], DAY, identity().settings), ["/x"]) is None


def listed(sha256: str) -> dict[str, str]:
    return {"numbers.opt_out_file": sha256}


def planned_with(run: Run, opt_out_list: str) -> None:
    plan = Plan(1, 1, {}, "", [ShardPlan(1, 1, "")], [], {}, opt_out_list=opt_out_list)
    write_record(run.plan / "plan.json", plan)


def test_a_longer_opt_out_list_goes_on_with_the_run(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(settings=listed("ab" * 32)))
    planned_with(run, "ab" * 32)
    now = identity(settings=listed("cd" * 32))
    found = find_run(tmp_path, now, INPUTS, lambda _: True)
    assert found is not None
    assert found.run_id == run.run_id
    with pytest.raises(ConfigurationError, match="another opt-out list"):
        find_run(tmp_path, now, INPUTS, lambda _: False)
    other = identity(settings={**listed("cd" * 32), "numbers.strictness": "mobile"})
    with pytest.raises(ConfigurationError, match="another opt-out list"):
        find_run(tmp_path, other, INPUTS, lambda _: True)
    tomorrow = identity(day="2026-11-24", settings=listed("cd" * 32))
    assert [r.run_id for r in unfinished_runs(tmp_path, tomorrow, lambda _: True)] == [run.run_id]
    assert unfinished_runs(tmp_path, tomorrow, lambda _: False) == []


def test_a_runs_opt_out_list_is_the_one_it_was_planned_with_last(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(settings=listed("ab" * 32)))
    planned_with(run, "cd" * 32)
    assert run.identity.settings["numbers.opt_out_file"] == "cd" * 32
    assert run.file.identity.settings["numbers.opt_out_file"] == "ab" * 32
    # A start that was killed while it changed the plan has left the one before.
    run.plan.rename(run.folder / "plan.before")
    assert run.plan == run.folder / "plan.before"
    assert run.identity.settings["numbers.opt_out_file"] == "cd" * 32
    found = find_run(tmp_path, identity(settings=listed("cd" * 32)), INPUTS)
    assert found is not None
    with pytest.raises(ConfigurationError, match="another opt-out list"):
        find_run(tmp_path, identity(settings=listed("ab" * 32)), INPUTS)
