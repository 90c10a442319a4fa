from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_screen.config.screening import Screening
from batch_screen.config.settings import Pacing, Settings
from batch_screen.errors import ConfigurationError, JournalError
from batch_screen.journal.records import encode
from batch_screen.model import Endpoint, Intent, Lookup, Outcome, Plan, ShardPlan
from batch_screen.runs.layout import layout_of_run
from batch_screen.runs.state import (
    FORMAT,
    RETRY_OF,
    RETRY_OUTCOMES,
    VERSION,
    Identity,
    Run,
    RunFile,
    StateVersion,
    all_runs,
    answered_runs,
    create_run,
    find_run,
    is_answered,
    new_run_id,
    unfinished_runs,
)
from batch_screen.storage.records import write_record

DAY = "2026-11-23"
INPUTS = ["/lists/customers.csv"]


def identity(
    content: str = "c0ffee", day: str = DAY, settings: dict[str, Any] | None = None
) -> Identity:
    return Identity([content], day, {"screening.max_age_minutes": 2400} | (settings or {}))


def begun(state: Path, who: Identity, *, bought: bool = True, answered: bool = False) -> Run:
    run = create_run(state, who, INPUTS, taken=[])
    run.plan.mkdir()
    (run.plan / "rows-00000.parquet").touch()
    if bought and not answered:
        line = encode(Outcome("+491713920012", Endpoint.SIM_SWAP_CHECK))
        (run.journal / "00000-00000.journal").write_bytes(line)
    if answered:
        (run.sealed / "00000.seal").touch()
    return run


# --- identity -----------------------------------------------------------------------------


def test_the_digest_is_pinned() -> None:
    # Another digest would make every unfinished run of an earlier version a new one.
    assert identity().digest() == "e5a181fee1"
    assert new_run_id(identity(), 1) == "20261123-e5a181fee1"
    assert new_run_id(identity(), 3) == "20261123-e5a181fee1-3"


def test_the_order_of_settings_does_not_matter() -> None:
    a, b = {"x.a": 1, "x.b": [1, 2]}, {"x.b": [1, 2], "x.a": 1}
    assert Identity([], DAY, a).digest() == Identity([], DAY, b).digest()


@pytest.mark.parametrize(
    "other",
    [
        identity("c0ffef"),
        identity(day="2026-11-24"),
        identity(settings={"screening.max_age_minutes": 240}),
        identity(settings={"numbers.vanity_letters": True}),
        Identity(["c0", "ffee"], DAY, identity().settings),
    ],
)
def test_whatever_differs_gives_another_digest(other: Identity) -> None:
    assert other.digest() != identity().digest()


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


def test_settings_come_back_from_the_state_as_they_were(tmp_path: Path) -> None:
    settings = Settings(screening=Screening(endpoints=tuple(Endpoint)))
    who = Identity(["c0ffee"], DAY, settings.identity())
    run = create_run(tmp_path, who, INPUTS, taken=[])
    found = find_run(tmp_path, who, INPUTS)
    assert found is not None
    assert (found.run_id, found.file) == (run.run_id, run.file)
    paced = settings.model_copy(update={"pacing": Pacing(rate_per_second=999)})
    assert Identity(["c0ffee"], DAY, paced.identity()) == who


# --- finding ------------------------------------------------------------------------------


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


@pytest.mark.parametrize("left", ["journal/00000-00000.journal", "sealed/00000.parquet"])
def test_a_run_whose_description_is_gone_is_refused(tmp_path: Path, left: str) -> None:
    run = create_run(tmp_path, identity(), INPUTS, taken=[])
    (run.folder / "run.json").unlink()
    assert find_run(tmp_path, identity(), INPUTS) is None
    (run.folder / left).touch()
    with pytest.raises(JournalError, match=r"run\.json is missing, incomplete"):
        find_run(tmp_path, identity(), INPUTS)


def test_a_run_in_another_runs_place_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path, identity(), INPUTS, taken=[])
    run.folder.rename(run.folder.with_name("20261123-0000000000"))
    with pytest.raises(JournalError, match=r"run\.json is missing, incomplete or not as it was"):
        find_run(tmp_path, identity(), INPUTS)


def test_unfinished_files_of_a_killed_process_are_swept_away(tmp_path: Path) -> None:
    run = begun(tmp_path, identity())
    before = sorted(run.folder.rglob("*"))
    for folder in (run.folder, run.sealed, run.sessions):
        (folder / ".00000.parquet.0123abcd.tmp").touch()
    for leftover in ("plan.growing", "plan.before"):
        (run.folder / leftover).mkdir()
    run.sweep()
    assert sorted(run.folder.rglob("*")) == before
    run.plan.rename(run.folder / "plan.before")  # it counts on while there is no other
    (run.folder / "plan.growing").mkdir()
    run.sweep()
    assert {path.name for path in run.folder.glob("plan*")} == {"plan.before"}


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


def test_a_journal_without_an_outcome_has_bought_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(), bought=False)
    intent = encode(Intent("+491713920012", Endpoint.SIM_SWAP_CHECK))
    (run.journal / "00000-00000.journal").write_bytes(intent)
    assert not run.has_bought
    assert find_run(tmp_path, identity(settings={"api.dialect": "2026-04"}), INPUTS) is None


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


def test_names_taken_elsewhere_are_left_alone(tmp_path: Path) -> None:
    first = new_run_id(identity(), 1)
    assert create_run(tmp_path, identity(), INPUTS, taken=[first]).run_id == f"{first}-2"


def test_a_discarded_run_is_gone_unless_it_holds_answers(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(), bought=False)
    run.discard()
    assert all_runs(tmp_path) == []
    assert not run.folder.exists()
    for progress in ({"bought": True}, {"answered": True}):
        paid = begun(tmp_path, identity(day=f"2026-11-0{1 + len(progress)}"), **progress)
        before = sorted(paid.folder.rglob("*"))
        paid.discard()
        assert sorted(paid.folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["journal", "sealed", "sessions"])
def test_a_run_without_one_of_its_folders_is_refused(tmp_path: Path, name: str) -> None:
    run = create_run(tmp_path, identity(), INPUTS, taken=[])
    (run.folder / name).rmdir()
    with pytest.raises(JournalError, match=r"missing, incomplete.*move the run's folder away"):
        find_run(tmp_path, identity(), INPUTS)


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


def test_a_runs_state_is_private(tmp_path: Path) -> None:
    run = create_run(tmp_path / "state", identity(), INPUTS, taken=[])
    for folder in (tmp_path / "state", run.folder, run.journal, run.sealed, run.sessions):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (run.folder / "run.json").stat().st_mode & 0o777 == 0o600


# --- correlators --------------------------------------------------------------------------


def test_correlators_are_stable_distinct_and_salted(tmp_path: Path) -> None:
    run = create_run(tmp_path / "a", identity(), INPUTS, taken=[])
    again = find_run(tmp_path / "a", identity(), INPUTS)
    other = create_run(tmp_path / "b", identity(), INPUTS, taken=[])
    assert again is not None
    lookups = [Lookup(f"+4477009{i:05d}", e) for i in range(20) for e in Endpoint]
    texts = [run.correlator(lookup, attempt) for lookup in lookups for attempt in (1, 2)]
    assert len(set(texts)) == len(texts)
    assert texts == [again.correlator(lookup, n) for lookup in lookups for n in (1, 2)]
    assert not set(texts) & {other.correlator(lookup, 1) for lookup in lookups}


# --- foreign and damaged state ------------------------------------------------------------


def run_file(state: Path) -> Path:
    return create_run(state, identity(), INPUTS, taken=[]).folder / "run.json"


@pytest.mark.parametrize(
    "change",
    [
        {"version": VERSION + 1},
        {"format": "another program"},
        {"version": 0},
        {"schema_version": 99},
    ],
)
def test_another_version_is_refused_and_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    path = run_file(tmp_path)
    content = json.loads(path.read_bytes())
    content["content"]["made"] |= change
    (path.parent / "sessions").rmdir()  # another version need not have the same folders
    path.write_text(json.dumps(content), encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(JournalError, match=rf"run\.json is .* {FORMAT} version {VERSION}"):
        find_run(tmp_path, identity(), INPUTS)
    assert path.read_bytes() == before


@given(
    junk=st.one_of(st.binary(max_size=60), st.text(max_size=20).map(lambda t: f'"{t}"'.encode()))
)
def test_random_bytes_are_refused_and_left_alone(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes
) -> None:
    state = tmp_path_factory.mktemp("state")
    path = run_file(state)
    path.unlink()
    path.write_bytes(junk)
    with pytest.raises(JournalError, match=r"run\.json is missing, incomplete or not as it was"):
        find_run(state, identity(), INPUTS)
    assert path.read_bytes() == junk


def test_bytes_that_are_no_text_inside_a_run_file_are_refused(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"c0ffee", b"c0\xff\xfeee"))
    with pytest.raises(JournalError):
        find_run(tmp_path, identity(), INPUTS)


def test_an_empty_folder_of_a_start_that_was_killed_is_taken_over(tmp_path: Path) -> None:
    name = new_run_id(identity(), 1)
    (tmp_path / "runs" / name / "journal").mkdir(parents=True)
    assert find_run(tmp_path, identity(), INPUTS) is None
    assert create_run(tmp_path, identity(), INPUTS, taken=[]).run_id == name


def test_the_run_file_is_written_last_and_whole(tmp_path: Path) -> None:
    path = run_file(tmp_path)
    decoded = msgspec.json.decode(path.read_bytes())
    assert set(decoded["content"]) == {
        "made",
        "run_id",
        "identity",
        "inputs",
        "created_at",
        "salt",
    }
    found = [p.name for p in sorted(path.parent.iterdir())]
    assert found == ["journal", "run.json", "sealed", "sessions"]
    assert time.time() - path.stat().st_mtime < 60


@given(attempt=st.integers(1, 99), digits=st.integers(10**6, 10**15 - 1), salt=st.uuids())
def test_a_correlator_is_a_uuid_of_version_five(attempt: int, digits: int, salt: UUID) -> None:
    file = RunFile(
        StateVersion(), "run", Identity([], "2026-03-02", {}), [], datetime.now(UTC), salt
    )
    lookup = Lookup(f"+{digits}", Endpoint.SIM_SWAP_CHECK, 240)
    expected = uuid5(salt, f"+{digits} {Endpoint.SIM_SWAP_CHECK} {attempt}")
    assert Run(Path("nowhere"), file).correlator(lookup, attempt) == str(expected)


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
