"""Ids in the place of numbers: the same nights as with plain numbers, and no number anywhere."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest

from batch_screen.privacy.ids import make_id_key, read_id_key
from batch_screen.sandbox import server as sandbox_server
from batch_screen.sandbox.answers import truth
from batch_screen.sandbox.magic import Behaviour, Fault
from batch_screen.sandbox.profiles import FaultRule
from batch_screen.sandbox.run import SandboxThread
from tests.decoded import numbers_in
from tests.thoroughness import in_full

from .conftest import NUMBERS, Desk, Finished, Output, new_sandbox, run_command
from .test_changes import second_world

LISTS = (NUMBERS[:60], NUMBERS[10:70], NUMBERS[20:80])
DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")
FAULTS = (FaultRule(Fault(Behaviour.SERVER_ERROR), 0.1),)
TOML = """
[output]
shard_lookups = 1000
[planner.reuse_within_minutes]
"sim-swap/retrieve-date" = 600
[guards]
max_failure_share = 1
max_error_share = 1
max_consecutive_failures = 0
canary_answers = 0
"""
OPTIONS = (
    *("--max-age", "since-last-run", "--phone-column", "phone", "--keep-columns", "name"),
    *("--endpoints", "sim-swap/check,sim-swap/retrieve-date,call-forwarding/check"),
)
OF_THE_MOMENT = (
    r"^(latency_ms|correlator|max_age_minutes|gap_minutes|.*responded_at|.*window_(start|end)"
    r"|.*_max_age_minutes|.*_gap_minutes|.*_age_hours|last_observed_at)$"
)
"""Columns that depend on when a lookup was asked."""


@dataclass
class Kind:
    """An output folder of several nights, by plain numbers or by ids."""

    desk: Desk
    options: tuple[object, ...] = ()
    said: list[Finished] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)

    def command(self, command: str, *more: object) -> Finished:
        desk = self.desk
        where = ("--out", desk.out, "--config", desk.configuration, "--base-url", desk.url)
        done = run_command(command, *more, *where, *self.options)
        self.said.append(done)
        return done

    def night(self, command: str, *more: object) -> None:
        done = self.command(command, *more)
        assert done.code == 0, done.err
        self.run_ids.append(Output(self.desk.out).run_id)

    def table(self, name: str) -> pl.DataFrame:
        """All nights' rows; runs are called by their place."""
        places = {run_id: str(n) for n, run_id in enumerate(self.run_ids)}
        paths = [
            path
            for run_id in self.run_ids
            for path in sorted((self.desk.out / name).rglob(f"{run_id}-?????.parquet"))
        ]
        found = pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in paths])
        run_columns = [c for c in found.columns if c.endswith("run_id")]
        return found.with_columns(
            pl.col(run_columns).replace_strict(places, default=None, return_dtype=pl.String)
        )


@dataclass
class Nights:
    plain: Kind
    ids: Kind
    key: Path
    vault: Path
    server: SandboxThread


def write_list(path: Path, numbers: list[str]) -> None:
    rows = [f"{number},customer {n}" for n, number in enumerate(numbers)]
    rows += [f"{numbers[0]},twice", "none of it,bad"]
    path.write_text("phone,name\n" + "".join(f"{row}\n" for row in rows), "utf-8")


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """Three nights of lists that differ a little, the last of which is retried, of either kind."""
    folder = tmp_path_factory.mktemp("privacy")
    key, vault = folder / "ids.key", folder / "vault"
    key.touch(0o600)
    key.write_text("ab" * 32 + "\n", "utf-8")
    with new_sandbox() as server, pytest.MonkeyPatch.context() as patch:
        how = {"cells": ["-"], "toml": TOML}
        plain, ids = (Kind(Desk(folder / name, server.url, **how)) for name in ("plain", "ids"))  # type: ignore[arg-type]
        ids.options = ("--ids", "hmac", "--id-key-file", key, "--id-vault", vault)
        for night, (numbers, day) in enumerate(zip(LISTS, DAYS, strict=True)):
            # By day, not by the minute at which a check happens to be asked.
            patch.setattr(
                sandbox_server,
                "truth",
                lambda n, e, w, world, night=night: truth(
                    n, e, w and 2400, second_world(n) if night else world
                ),
            )
            server.change(rules=FAULTS if night == 2 else ())
            for kind in (plain, ids):
                write_list(kind.desk.list, numbers)
                kind.night("run", kind.desk.list, *OPTIONS, "--run-date", day)
        server.change(rules=())
        for kind in (plain, ids):
            kind.night("retry")
        yield Nights(plain, ids, key, vault, server)


@pytest.mark.parametrize("table", ["results", "lookups", "errors", "changes"])
def test_both_kinds_hold_the_same(nights: Nights, table: str) -> None:
    made = read_id_key(nights.key)
    plain, ids = nights.plain.table(table), nights.ids.table(table)
    assert ids["e164"].null_count() == ids.height
    assert plain.columns == ids.columns
    plain = plain.with_columns(made.of(plain["e164"]), e164=pl.lit(None, pl.String))
    order = ["run_id", "number_id", "endpoint", "row_index"]
    one, two = (
        each.select(pl.exclude(OF_THE_MOMENT)).sort([c for c in order if c in each.columns])
        for each in (plain, ids)
    )
    assert one.height > 10
    assert [c for c in one.columns if not one[c].equals(two[c])] == []


def test_nights_reuse_compare_and_retry_by_ids(nights: Nights) -> None:
    lookups, changes = nights.ids.table("lookups"), nights.ids.table("changes")
    sources = {*lookups.select("run_id", "source").unique().iter_rows()}
    assert {("0", "asked"), ("1", "reused"), ("3", "carried"), ("3", "asked")} <= sources
    assert changes.filter(change="newly_positive").height
    assert lookups["last_observed_at"].null_count() < lookups.height


def test_no_number_is_in_any_byte_and_every_run_is_valid(nights: Nights) -> None:
    ids = nights.ids
    done = run_command("validate", ids.desk.out, "--all")
    assert done.code == 0, done.out
    plan = ids.command("plan", ids.desk.list, *OPTIONS, "--run-date", "2026-03-05")
    diff = run_command("diff", ids.run_ids[0], ids.run_ids[1], "--out", ids.desk.out)
    report = run_command("report", ids.desk.out, "--run", ids.run_ids[0])
    status = run_command("status", "--out", ids.desk.out)
    assert [each.code for each in (plan, diff, report, status)] == [0, 0, 0, 0]
    said = [text for each in (*ids.said, done, diff) for text in (each.out, each.err)]
    forms = [form for number in NUMBERS[:190] for form in (number, number[3:])]
    assert numbers_in(ids.desk.out, forms, said) == []
    # The search finds them where they are.
    assert len(numbers_in(nights.plain.desk.out, forms)) > 12


def test_the_vault_leads_back_and_is_private(nights: Nights) -> None:
    made = read_id_key(nights.key)
    files = sorted(nights.vault.iterdir())
    assert [path.stem for path in files] == sorted(nights.ids.run_ids)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(nights.vault.stat().st_mode) == 0o700
    first = pl.read_parquet(nights.vault / f"{nights.ids.run_ids[0]}.parquet")
    assert sorted(first["e164"]) == sorted(LISTS[0])
    assert made.of(first["e164"]).equals(first["number_id"])


def test_the_state_goes_and_a_second_start_asks_nothing(nights: Nights) -> None:
    ids = nights.ids
    assert not [*(ids.desk.out / ".state").rglob("*.parquet")]
    again = ("run", ids.desk.list, *OPTIONS, "--run-date", DAYS[2])
    done = ids.command(*again)
    assert done.code == 0, done.err
    assert "was complete already" in done.out
    other = ids.command(*again[:-2], "--run-date", DAYS[2], "--keep-columns", "phone")
    assert other.code == 2
    assert "--keep-columns keeps the phone column 'phone'" in other.error
    without = [o for o in OPTIONS if o not in ("--keep-columns", "name")]
    done = ids.command("run", ids.desk.list, *without, "--run-date", DAYS[2])
    assert done.code == 73
    assert "is gone: restore it, or keep the same columns; --new-run asks" in done.error


def test_an_id_is_found_by_its_number(nights: Nights) -> None:
    stdin = f"{LISTS[0][0]}\n020 7946 0001\nnobody\n".encode()
    options = ("--id-key-file", nights.key, "--default-region", "GB")
    done = run_command("lookup-id", *options, stdin=stdin)
    first, second, third, _ = done.out.split("\n")
    assert done.code == 65
    assert "line 3 is no number" in done.err
    found = nights.ids.table("results").filter(pl.col("number_id").is_in([first, second]))
    assert found["number_id"].n_unique() == 2
    assert not third


@in_full
def test_who_is_asked_again_is_known_from_vault_or_state_alone(
    nights: Nights, tmp_path: Path
) -> None:
    by_ids = nights.ids.options[:4]
    for keeps in (False, True):
        desk = Desk(tmp_path / str(keeps), nights.server.url, toml=TOML)
        with desk.configuration.open("a", encoding="utf-8") as file:
            file.write(f"[privacy]\nkeep_state = {str(keeps).lower()}\n")
        kind = Kind(desk, by_ids)
        write_list(desk.list, LISTS[0])
        nights.server.change(rules=FAULTS)
        kind.night("run", desk.list, *OPTIONS, "--run-date", DAYS[0])
        nights.server.change(rules=())
        done = kind.command("retry")
        assert done.code == (0 if keeps else 2)
        if not keeps:
            assert "and no vault is named, so nobody can say whom to ask again" in done.error
            strange = tmp_path / "strange"
            strange.mkdir()
            (strange / f"{kind.run_ids[0]}.parquet").write_bytes(b"PAR1")
            done = kind.command("retry", "--id-vault", strange)
            assert done.code == 2
            assert "has no whole file of it" in done.error
            continue
        # What was kept is written anew with other columns, and goes once it is not wanted.
        without = [o for o in OPTIONS if o not in ("--keep-columns", "name")]
        assert kind.command("run", desk.list, *without, "--run-date", DAYS[0]).code == 0
        assert Output(desk.out).report("manifest.json")["id_key"]
        done = run_command("validate", desk.out, "--all")
        assert done.code == 0, done.out
        toml = desk.configuration.read_text("utf-8").replace("keep_state = true", "")
        desk.configuration.write_text(toml, "utf-8")
        assert kind.command("run", desk.list, *without, "--run-date", DAYS[0]).code == 0
        assert not (desk.out / ".state" / "runs" / kind.run_ids[0]).exists()


@in_full
def test_doctor_says_whose_ids_and_purge_takes_the_vaults_file(
    nights: Nights, tmp_path: Path
) -> None:
    vault, other = tmp_path / "vault", tmp_path / "other.key"
    make_id_key(other)
    desk = Desk(tmp_path, nights.server.url, toml=TOML)
    with desk.configuration.open("a", encoding="utf-8") as file:
        file.write(f"[privacy]\nid_vault = '{vault}'\n")
    kind = Kind(desk, nights.ids.options[:4])
    write_list(desk.list, LISTS[0][:20])
    kind.night("run", desk.list, *OPTIONS, "--run-date", DAYS[0])
    key_id = read_id_key(nights.key).key_id
    said = " ".join(kind.command("doctor").out.split())  # its lines are wrapped
    assert f"ids: by the key {key_id} in " in said
    kind.options = ("--ids", "hmac", "--id-key-file", other)
    done = kind.command("doctor")
    assert "one folder is of one kind" in " ".join(done.out.split())
    assert [path.stem for path in vault.iterdir()] == kind.run_ids
    purge = ("purge", "--out", desk.out, "--config", desk.configuration, "--yes")
    done = run_command(*purge, "--older-than", "1d")
    assert done.code == 0, done.err
    assert not [*tmp_path.rglob("*.parquet")]


def test_a_folder_is_of_one_kind_and_one_key(nights: Nights, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    make_id_key(other)
    run = ("run", nights.ids.desk.list, *OPTIONS, "--run-date", "2026-03-09")
    for kind, options in (
        (nights.plain, nights.ids.options[:4]),
        (nights.ids, ()),
        (nights.ids, ("--ids", "hmac", "--id-key-file", other)),
    ):
        for command in ("run", "plan"):
            done = run_command(
                *(command, *run[1:], "--out", kind.desk.out, "--config", kind.desk.configuration),
                *("--base-url", kind.desk.url, *options),
            )
            assert done.code == 2, done.err
            assert "one folder is of one kind" in done.error


@pytest.mark.parametrize("inside", ["out", "out/vault", "out/.state/vault"])
def test_the_vault_is_not_where_others_read(nights: Nights, tmp_path: Path, inside: str) -> None:
    listed = tmp_path / "list.csv"
    write_list(listed, LISTS[0])
    done = run_command(
        *("run", listed, "--out", tmp_path / "out", "--sandbox", "--ids", "hmac"),
        *("--id-key-file", nights.key, "--id-vault", tmp_path / inside),
    )
    assert done.code == 2
    assert "where nobody may find the numbers of ids" in done.error
    assert not (tmp_path / "out" / "results").exists()


def test_kept_cells_that_read_as_numbers_are_refused(nights: Nights, tmp_path: Path) -> None:
    listed, out = tmp_path / "list.csv", tmp_path / "out"
    # The second phone is another row's number, as it is dialled at home.
    listed.write_text(
        "phone,id,second\n+442079460001,C442079460001,\n+442079460002,2,020 7946-0001\n", "utf-8"
    )
    options = ("run", listed, "--out", out, "--sandbox", "--ids", "hmac", "--phone-column", "phone")
    options = (*options, "--id-key-file", nights.key, "--keep-columns")
    done = run_command(*options, "id,second")
    assert done.code == 2
    assert "kept columns hold numbers of the list" in done.error
    assert "'second' (1 places)" in done.error
    assert not (out / "results").exists()
    assert not [*out.rglob("*.parquet")]
    shutil.rmtree(out)
    assert run_command(*options, "id").code == 0


@in_full
def test_an_unfinished_runs_state_is_private_and_another_kind_does_not_go_on(
    nights: Nights, tmp_path: Path
) -> None:
    desk = Desk(tmp_path, nights.server.url, toml=TOML)
    write_list(desk.list, LISTS[0])
    kind = Kind(desk, nights.ids.options[:4])
    run = ("run", desk.list, *OPTIONS, "--run-date", DAYS[0])
    assert kind.command(*run, "--max-requests", "100").code == 4
    assert {stat.S_IMODE(p.stat().st_mode) & 0o077 for p in (desk.out / ".state").rglob("*")} == {0}
    kind.options = ()
    done = kind.command(*run)
    assert done.code == 2
    assert "privacy.id_key" in done.error
    kind.options = nights.ids.options[:4]
    assert kind.command(*run).code == 0
    assert numbers_in(desk.out, LISTS[0]) == []
