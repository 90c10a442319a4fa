"""Nothing leaks the key or a whole number: every byte printed or written is searched."""

from __future__ import annotations

import gzip
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from batch_screen.sandbox.latency import Latency
from batch_screen.sandbox.run import SandboxThread
from tests.discretion import leaks, secrets_in
from tests.e2e.starting import complete
from tests.thoroughness import IS_FULL, in_full
from tests.threads import at_once

from .conftest import (
    COMMAND,
    KEY,
    NUMBERS,
    Desk,
    Finished,
    clean,
    new_sandbox,
    until,
    write_csv,
)

NUMBER = NUMBERS[123]
LISTED = [*NUMBERS[:90], f"{NUMBERS[3]};{NUMBERS[4]}", f"tel {NUMBERS[5]} x", "n/a"]
HOSTILE = "ph\x1b[31mo\u202ene\x07"
IN_THE_ENVIRONMENT = {"BATCH_SCREEN_API_KEY": KEY}
QUICK = {"BATCH_SCREEN_GUARDS__UNREACHABLE_SECONDS": "1"}
UMASK = 0
_SMALL_FILES = ("bash", "-c", 'ulimit -f 4 && exec "$@"', "-")


@dataclass
class Scene:
    """A list of numbers in a folder of its own, and all that commands said about it."""

    desk: Desk
    said: list[Finished] = field(default_factory=list)

    def command(
        self,
        *arguments: object,
        environment: Mapping[str, str | None] = IN_THE_ENVIRONMENT,
        before: Sequence[str] = (),
    ) -> Finished:
        done = complete(
            [*before, str(COMMAND), *map(str, arguments)],
            env=clean({"TMPDIR": str(self.scratch), **environment}),
            cwd=self.desk.folder,
            umask=UMASK,
            is_cold=bool(before),
        )
        ended = Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
        self.said.append(ended)
        return ended

    def run(self, *more: object, **how: object) -> Finished:
        return self.command(*self.desk.arguments(*more), **how)  # type: ignore[arg-type]

    @property
    def scratch(self) -> Path:
        folder = self.desk.folder / "scratch"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def leaks(self) -> list[str]:
        """Whatever was found in files or was said, and what was left in the scratch folder."""
        texts = [text for each in self.said for text in (each.out, each.err)]
        found = leaks(self.desk.out, texts, KEY, NUMBERS)
        found += leaks(self.scratch, [], KEY, NUMBERS)
        found += [f"printed: {c!a}" for text in texts for c in set(text) if _steers(c)]
        return found + [f"traceback: {text}" for text in texts if "Traceback" in text]


def _steers(character: str) -> bool:
    return character != "\n" and not character.isprintable()


@pytest.fixture(scope="module")
def server() -> Iterator[SandboxThread]:
    with new_sandbox(latency=Latency(seconds=0.01)) as running:
        yield running


@pytest.fixture
def scene(server: SandboxThread, tmp_path: Path) -> Scene:
    return Scene(Desk(tmp_path, server.url, LISTED))


def by_file(folder: Path) -> dict[str, str | None]:
    (folder / "key").write_text(f"{KEY}\n")
    return {"BATCH_SCREEN_API_KEY": None, "BATCH_SCREEN_API_KEY_FILE": str(folder / "key")}


def by_credential(folder: Path) -> dict[str, str | None]:
    (folder / "batch-screen-api-key").write_text(KEY)
    return {"BATCH_SCREEN_API_KEY": None, "CREDENTIALS_DIRECTORY": str(folder)}


def by_variable(folder: Path) -> dict[str, str | None]:
    return dict(IN_THE_ENVIRONMENT)


@pytest.mark.parametrize(
    "key", [by_file, *(pytest.param(how, marks=in_full) for how in (by_credential, by_variable))]
)
def test_a_complete_run(
    scene: Scene, key: Callable[[Path], dict[str, str | None]], tmp_path: Path
) -> None:
    environment = key(tmp_path)
    assert scene.run(environment=environment).code == 0
    assert scene.run(environment=environment).code == 0  # was complete already
    assert scene.leaks() == []


def test_numbers_in_names_and_on_the_command_line(scene: Scene, tmp_path: Path) -> None:
    desk = scene.desk
    good = write_csv(tmp_path / f"{NUMBER} a\u202eb.csv", LISTED[:3], HOSTILE)
    named = write_csv(tmp_path / f"{NUMBER} {HOSTILE}.csv", LISTED[:3], f"{HOSTILE},{NUMBER}")
    typed: tuple[list[object], ...] = (
        [good],
        [named, "--phone-column", NUMBER, "--keep-columns", f"{NUMBER}{KEY}"],
        [NUMBER],
        [f"--{NUMBER}"],
        [named, "--config", f"{NUMBER}{HOSTILE}.toml"],
        [named, "--rate", f"{NUMBER}{KEY}"],
        [named, "--default-region", NUMBER],
        [named, "--endpoints", f"{KEY}{NUMBER}"],
        [named, "--base-url", f"http://{NUMBER}.example/{KEY}"],
        [named, "--run-date", NUMBER],
    )
    commands: list[tuple[object, ...]] = [("plan", *arguments) for arguments in typed]
    commands += [("run", good, "--sandbox", "--out", desk.out), ("plan", "--json", good)]
    codes = at_once(lambda command: scene.command(*command).code, commands)
    assert set(codes) == {0, 2, 65, 66}
    # What was typed before the key is read may hold it only if somebody typed it.
    texts = [text for done in scene.said for text in (done.out, done.err)]
    assert [what for text in texts for what in secrets_in(text, "", NUMBERS)] == []
    assert [text for text in texts if any(map(_steers, text))] == []


def test_folders_and_files_that_are_named_by_numbers(scene: Scene, tmp_path: Path) -> None:
    """Every command that shows what lies in a folder, as text and as JSON, by turns."""
    out = tmp_path / f"{NUMBER} out"
    for day in ("2026-11-22", "2026-11-23"):
        done = scene.command(
            *("run", scene.desk.list, "--sandbox", "--out", out, "--run-date", day, "--json"),
            environment={"BATCH_SCREEN_PRICES__CURRENCY": NUMBER},
        )
        assert done.code == 0
    earlier, later = sorted((out / "runs").iterdir())
    for place in (out / "results", later, out / ".state" / "runs" / later.name):
        (place / f"{NUMBER}.csv").write_text("x")
    warehouse = f"duckdb:{tmp_path / NUMBER}.duckdb"
    shown: tuple[tuple[object, ...], ...] = (
        ("status", "--out", out),
        ("validate", out),
        ("runs", out),
        ("diff", earlier, later, "--write", tmp_path / f"{NUMBER}.parquet"),
        ("purge", "--out", out, "--older-than", "0d", "--dry-run"),
        ("report", out, "--write", tmp_path / f"{NUMBER}.html"),
        ("config", "--out", out),
        ("doctor", "--out", out, "--sandbox"),
        ("plan", scene.desk.list, "--out", out, "--sandbox"),
        ("check", scene.desk.list, "--rejects", tmp_path / f"{NUMBER}.csv"),
        ("export", out, "--flagged", "--to", tmp_path / f"{NUMBER} flagged.xlsx"),
        ("export", out, "--rejected", "--to", tmp_path / f"{NUMBER} rejected.csv"),
        ("export", out, "--flagged", "--to", out / f"{NUMBER}.csv"),
        ("load", out, "--to", warehouse, "--sandbox", "--dry-run", "--schema", NUMBER),
        ("load", out, "--to", warehouse, "--sandbox", "--schema", NUMBER),
        ("load", out, "--to", f"postgresql://{NUMBER}@127.0.0.1:1/{NUMBER}", "--sandbox"),
        ("load", out, "--to", f"postgresql://me:{NUMBER}@127.0.0.1/wh"),
        ("load", out, "--to", warehouse, "--run", NUMBER, "--tables", NUMBER),
        ("unload", "--to", warehouse, "--older-than", "0d", "--dry-run", "--schema", NUMBER),
        ("unload", "--to", warehouse, "--run", NUMBER),
    )
    forms: list[tuple[str, ...]] = [(), ("--json",)]
    commands = [
        (*command, *more)
        for number, command in enumerate(shown)
        for more in (forms if IS_FULL else [forms[number % 2]])
    ]
    at_once(lambda command: scene.command(*command), commands)
    scene.command("init", tmp_path / f"{NUMBER}.toml", "--yes", "--api-key-file", NUMBER)
    # Only one that was ended abruptly, or goes on, has to say how it is resumed.
    (out / ".state" / "runs" / later.name / f"{NUMBER}.csv").unlink()
    (later / "_SUCCESS").unlink()
    scene.command("status", "--out", out)
    scene.command("status", "--out", out, "--json")
    texts = [text for done in scene.said for text in (done.out, done.err)]
    assert [text for text in texts if secrets_in(text, KEY, NUMBERS)] == []
    assert [text for text in texts if any(map(_steers, text))] == []
    assert len(texts) == 2 * (len(commands) + 5)


def test_stopped_and_killed_on_the_way(scene: Scene) -> None:
    """The journal is on disk, and the process list shows no key."""
    desk = scene.desk
    for number in (signal.SIGTERM, signal.SIGKILL):
        desk.is_cold = number is signal.SIGTERM  # a fork would show another command line
        journal = set(desk.out.glob(".state/runs/*/journal/*"))
        with desk.started("--rate", "20") as running:
            until(lambda seen=journal: set(desk.out.glob(".state/runs/*/journal/*")) - seen)
            process = Path(f"/proc/{running.process.pid}")
            assert secrets_in((process / "cmdline").read_bytes(), KEY, NUMBERS) == set()
            assert re.search(r"Max core file size +1 +1 ", (process / "limits").read_text())
            scene.said.append(running.end(number))
        assert any(desk.out.glob(".state/runs/*/journal/*"))
        assert scene.leaks() == []
    assert scene.said[0].code == 143


def test_a_refused_key(tmp_path: Path) -> None:
    with new_sandbox(keys=("another",)) as server:
        scene = Scene(Desk(tmp_path, server.url, LISTED))
        assert scene.run().code == 77
    assert scene.leaks() == []


def test_every_class_of_error(scene: Scene, tmp_path: Path) -> None:
    desk = scene.desk
    (tmp_path / "bad.toml").write_text(f"[pacing]\nrate_per_second = '{KEY} {NUMBER}'\n")
    (tmp_path / "torn.csv.gz").write_bytes(gzip.compress("\n".join(LISTED).encode())[:-40])
    (tmp_path / "torn.parquet").write_bytes(b"PAR1" + NUMBER.encode() * 20 + b"PAR1")
    codes = [
        scene.command("run", desk.list, "--out", desk.out, "--config", "bad.toml").code,
        scene.run("--phone-column", NUMBER).code,
        scene.command("run", "torn.csv.gz", "--out", desk.out, "--sandbox").code,
        scene.command("run", "torn.parquet", "--out", desk.out, "--sandbox").code,
        scene.run(before=_SMALL_FILES).code,
        scene.command("run", desk.list, "--out", desk.out, environment=QUICK).code,
        scene.run("--api-key-file", f"{NUMBER}{HOSTILE}").code,
        scene.command("--help").code,
        scene.command("run", "--help").code,
        scene.command("plan", desk.list, "--phone-column", "phone").code,
    ]
    assert codes == [2, 65, 65, 65, 73, 69, 77, 0, 0, 0]
    assert scene.leaks() == []


def test_foreign_and_held_state(scene: Scene) -> None:
    desk = scene.desk
    with desk.started("--rate", "10") as running:
        until(lambda: any(desk.out.glob(".state/runs/*/journal/*")))
        assert scene.run().code == 75
        scene.said.append(running.end(signal.SIGTERM))
    assert scene.run("--max-age-minutes", "240").code == 2
    (segment,) = desk.out.glob(".state/runs/*/journal/*")
    segment.write_bytes(segment.read_bytes().replace(b'"e164":"+44', b'"e164":"+45', 1))
    assert scene.run().code == 73
    assert scene.leaks() == []


class Watchman(threading.Thread):
    """Notes every file and folder that others could read, however short its life is."""

    def __init__(self, *folders: Path) -> None:
        super().__init__(daemon=True)
        self.folders = folders
        self.open: set[str] = set()
        self.seen: set[str] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            for folder in self.folders:
                self._look(str(folder))
            time.sleep(0.001)

    def _look(self, folder: str) -> None:
        try:
            entries = list(os.scandir(folder))
        except OSError:  # it is gone again
            return
        for entry in entries:
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
            except OSError:
                continue
            self.seen.add(entry.name)
            if stat.S_IMODE(mode) & 0o077:
                self.open.add(entry.name)
            if stat.S_ISDIR(mode):
                self._look(entry.path)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.join()


LIBRARY = """
import os, sys
os.umask(0)
from datetime import date
from pydantic import SecretStr
from batch_screen import Job, load_settings, plan, run
listed, out, url, key = sys.argv[1:]
settings = load_settings({"output": {"folder": out, "shard_lookups": 1000},
    "api": {"base_url": url}, "pacing": {"rate_per_second": 2000, "ramp_up_seconds": 0}})
sys.stdin = open(listed)
job = Job(("-",), settings, key=SecretStr(open(key).read()))
plan(job)
sys.stdin = open(listed)
run(job)
"""


def test_a_library_run_is_private_from_the_first_byte(
    server: SandboxThread, tmp_path: Path
) -> None:
    """No umask of ours helps here: every file is watched from its creation on."""
    listed = write_csv(tmp_path / "list.csv", [*NUMBERS[:300], "n/a"])
    (tmp_path / "key").write_text(KEY)
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    with Watchman(tmp_path / "out", scratch) as watch:
        done = subprocess.run(
            [sys.executable, "-c", LIBRARY, listed, out, server.url, tmp_path / "key"],
            capture_output=True,
            env=clean({"TMPDIR": str(scratch)}),
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert {"lock", "latest.json"} <= watch.seen
    assert any(name.startswith("stdin-") for name in watch.seen)
    assert sorted(watch.open) == []
    assert leaks(out, [done.stdout, done.stderr], KEY, NUMBERS) == []
    assert list(scratch.iterdir()) == []


def test_the_sandbox_logs_for_its_owner_only(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir(mode=0o700)
    log = scratch / "requests.log"
    with (
        Watchman(scratch) as watch,
        subprocess.Popen(
            [COMMAND, "sandbox", "--port", "0", "--journal", log],
            stdout=subprocess.PIPE,
            env=clean(),
            umask=UMASK,
        ) as process,
    ):
        assert process.stdout is not None
        assert b"sandbox at" in process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert "requests.log" in watch.seen
    assert sorted(watch.open) == []
