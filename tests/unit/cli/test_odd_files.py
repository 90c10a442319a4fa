"""One run's odd files end no command and hide no other run: whatever lies there, and anywhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from errno import EACCES
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import batch_screen
from batch_screen.cli.main import cli
from batch_screen.errors import BatchScreenError
from batch_screen.masking import mask_text
from tests.nights import Night, job, make_nights
from tests.thoroughness import IS_FULL, in_full

OLD, NEW, TONIGHT = (Night(f"2026-11-2{day}", "list.csv", ("customer_id",)) for day in (3, 4, 5))
_MOST_SECONDS = 20


@pytest.fixture(autouse=True)
def _never_waits() -> Iterator[None]:
    """A pipe that is opened would hang the test for ever."""

    def raise_timeout(*_: object) -> None:
        raise AssertionError("it waited")

    before = signal.signal(signal.SIGALRM, raise_timeout)
    signal.alarm(_MOST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_nights(tmp_path_factory.mktemp("two"), [OLD, NEW]).parent


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def deep(path: Path) -> None:
    path.write_bytes(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def dateless(path: Path) -> None:
    """JSON of the right kinds, whose times have no zone and whose figures are beyond all bounds."""
    text = path.read_text("utf-8", errors="replace").replace('Z"', '"')
    path.write_text(text.replace(": 0", ": 99999999999999999999999999").replace("2026-", "9999-"))


def escapes(path: Path) -> None:
    """Valid JSON in which each text begins with a control sequence."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = "text"
    path.write_text(json.dumps(_escaped(found)))


def _escaped(found: object) -> object:
    if isinstance(found, dict):
        return {name: _escaped(each) for name, each in found.items()}
    if isinstance(found, list):
        return [_escaped(each) for each in found]
    return f"\x1b[31m{found}" if isinstance(found, str) else found


ODDITIES: tuple[Callable[[Path], None], ...] = (
    pipe, deep, sparse, folder, loop, device, dateless, escapes,
)  # fmt: skip
IN_RUN = ("summary.json", "manifest.json", "_SUCCESS", "schema.json", "errors.csv", "report.html")
IN_STATE = ("run.json", "plan/plan.json", "plan/rows-00000.parquet", "sealed/00000.seal")


def places(out: Path, run_id: str) -> dict[str, Path]:
    run, state = out / "runs" / run_id, out / ".state/runs" / run_id
    [part] = (out / "lookups").glob(f"*/{run_id}-00000.parquet")
    found = {name: run / name for name in IN_RUN} | {name: state / name for name in IN_STATE}
    return {**found, "part": part, "session": state / "sessions/0001.json"}


def said(*words: object) -> str:
    """What a command prints; it ends by itself or with an error that it raises on purpose."""
    signal.alarm(_MOST_SECONDS)
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        if not isinstance(done.exception, BatchScreenError):
            raise done.exception
        assert "\n" not in str(done.exception)
    assert "\x1b" not in done.output
    return done.output


TELLING = {"summary.json", "manifest.json", "plan/plan.json", "part"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in TELLING else in_full)
        for name in [*IN_RUN, *IN_STATE, "part", "session"]
    ],
)
def test_one_bad_run_hides_no_other(two_nights: Path, tmp_path: Path, name: str) -> None:
    some = (
        (sparse, dateless) if name == "summary.json" else (dateless if "json" in name else sparse,)
    )
    for oddity in ODDITIES if IS_FULL else (pipe, *some):
        place = tmp_path / oddity.__name__
        shutil.copytree(two_nights, place, symlinks=True)
        out = place / "screened"
        old, new = sorted(path.name for path in (out / "runs").iterdir())
        oddity(places(out, old)[name])
        assert f"{new}" in said("status", "--out", out)
        if name in IN_STATE:
            assert new in said("status", "--state-dir", out / ".state")
        assert new in said("runs", out)
        assert f"run {new} in {mask_text(str(out))} · whole" in said("validate", out, "--all")
        said("report", out, "--run", old, "--write", place / "report.html")
        said("diff", old, new, "--out", out)
        said("export", out, "--run", old, "--to", place / "x.csv")
        said("load", out, "--sandbox", "--to", f"duckdb:{place / 'warehouse.duckdb'}")
        purge = ("purge", "--out", out, "--older-than", "1d")
        assert old in said(*purge, "--dry-run")
        said(*purge, "--yes")
        assert not (out / "runs" / new).exists()
        shutil.rmtree(place)


def test_a_run_that_nobody_may_enter_hides_no_other(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was made by root, say; for root itself, only a system that refuses shows it."""
    shutil.copytree(two_nights, tmp_path / "place", symlinks=True)
    out = tmp_path / "place/screened"
    old, new = sorted(path.name for path in (out / "runs").iterdir())
    closed = out / "runs" / old

    def refusing(call: Callable[..., Any], *, looks_in: bool) -> Callable[..., Any]:
        def refused(path: Any = ".", *more: Any, **how: Any) -> Any:
            if isinstance(path, str | Path):
                place = Path(path)
                if closed in place.parents or (looks_in and closed == place):
                    raise PermissionError(EACCES, "Permission denied")
            return call(path, *more, **how)

        return refused

    for name in ("stat", "lstat", "open", "listdir", "scandir"):
        looks_in = name in ("listdir", "scandir")
        monkeypatch.setattr(os, name, refusing(getattr(os, name), looks_in=looks_in))
    found = batch_screen.run(job(tmp_path / "place", TONIGHT))
    assert found.summary.exit_code == 0
    for command in ("status", "runs"):
        text = said(command, "--out", out) if command == "status" else said(command, out)
        assert new in text
    assert f"run {new} in {mask_text(str(out))} · whole" in said("validate", out, "--all")
    assert new in said("purge", "--out", out, "--older-than", "1d", "--dry-run")


def test_what_lies_beside_files_of_the_state_is_not_counted(
    two_nights: Path, tmp_path: Path
) -> None:
    """Copies by hand, and what a Mac leaves on a share."""
    shutil.copytree(two_nights, tmp_path / "place", symlinks=True)
    out = tmp_path / "place/screened"
    runs = sorted(path.name for path in (out / "runs").iterdir())
    for path in [p for p in (out / ".state/runs").rglob("*.*") if p.is_file()]:
        for name in (f"._{path.name}", f"{path.stem} (1){path.suffix}"):
            shutil.copy(path, path.with_name(name))
    text = said("status", "--out", out)
    assert all(run in text for run in runs)
    assert "unreadable" not in text
    # Of a run that nothing is left of, tonight would be taken for the rest.
    shutil.rmtree(out / "runs" / runs[1])
    found = batch_screen.run(job(tmp_path / "place", TONIGHT))
    assert found.layout.run_date == TONIGHT.day


@pytest.mark.parametrize("is_link", [False, True])
def test_no_folder_where_a_run_should_be(two_nights: Path, tmp_path: Path, is_link: bool) -> None:
    shutil.copytree(two_nights, tmp_path / "place", symlinks=True)
    out = tmp_path / "place/screened"
    runs = sorted(path.name for path in (out / "runs").iterdir())
    odd = out / "runs/20260302-0123456789"
    odd.symlink_to("/nowhere") if is_link else odd.touch()
    text = said("validate", out, "--all")
    assert all(f"run {run} in {mask_text(str(out))} · whole" in text for run in runs)
    assert f"run {odd.name} in {mask_text(str(out))} · 1 differences" in text


@pytest.mark.parametrize(
    "name",
    [
        "summary.json",
        "run.json",
        *(pytest.param(name, marks=in_full) for name in ("manifest.json", "plan/plan.json")),
    ],
)
def test_tonight_comes_to_its_end(two_nights: Path, tmp_path: Path, name: str) -> None:
    for oddity in (pipe, deep) if IS_FULL or name == "summary.json" else (pipe,):
        place = tmp_path / oddity.__name__
        shutil.copytree(two_nights, place, symlinks=True)
        out = place / "screened"
        for run in (out / "runs").iterdir():  # both, or the other one would do
            oddity(places(out, run.name)[name])
        found = batch_screen.run(job(place, TONIGHT))
        assert found.summary.exit_code == 0
        assert batch_screen.validate(out).is_whole


@pytest.mark.parametrize(
    "oddity", [pipe, deep, *(pytest.param(each, marks=in_full) for each in (sparse, device))]
)
def test_odd_files_of_the_folder_itself(
    two_nights: Path, tmp_path: Path, oddity: Callable[[Path], None]
) -> None:
    for name in ("latest.json", ".state/holder.json", ".state/progress.json", "purged.ndjson"):
        place = tmp_path / name
        shutil.copytree(two_nights, place, symlinks=True)
        out = place / "screened"
        (out / name).touch()
        oddity(out / name)
        runs = sorted(path.name for path in (out / "runs").iterdir())
        assert all(run in said("status", "--out", out) for run in runs)
        assert all(run in said("runs", out) for run in runs)
        said("validate", out)
        shutil.rmtree(place)
