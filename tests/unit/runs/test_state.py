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
from batch_screen.errors import JournalError
from batch_screen.journal.records import encode
from batch_screen.model import Endpoint, Intent, Lookup, Outcome
from batch_screen.runs.finding import find_run
from batch_screen.runs.state import (
    FORMAT,
    VERSION,
    Identity,
    Run,
    RunFile,
    StateVersion,
    all_runs,
    create_run,
    new_run_id,
)

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


def test_a_journal_without_an_outcome_has_bought_nothing(tmp_path: Path) -> None:
    run = begun(tmp_path, identity(), bought=False)
    intent = encode(Intent("+491713920012", Endpoint.SIM_SWAP_CHECK))
    (run.journal / "00000-00000.journal").write_bytes(intent)
    assert not run.has_bought
    assert find_run(tmp_path, identity(settings={"api.dialect": "2026-04"}), INPUTS) is None


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
