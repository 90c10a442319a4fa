"""A folder in which commands are played, and the texts of what they print and write."""

from __future__ import annotations

import hashlib
import json
import shlex
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .page import page_words, style_of, whole_page
from .steady import Steady, without_durations
from .tables import table_text

COMMAND = Path(sys.executable).with_name("batch-screen")
ROOT = Path(__file__).parents[2]
FIXTURES = Path(__file__).with_name("fixtures")
KEY = "sandbox-key"
TABLES = ("results", "lookups", "errors", "changes")
WITH_SCHEMA = "everything"
"""The scene that keeps schema.json, which is the same in every run."""

_MOST_SECONDS = 120
_MOST_LINES = 450
_FIRST_LINES = 30
_SETTINGS = """\
[pacing]
rate_per_second = 1000
ramp_up_seconds = 0
max_concurrency = 16
[retry]
base_delay_seconds = 0.01
[output]
heartbeat_seconds = 600
[prices.per_request]
"sim-swap/check" = 0.01
"sim-swap/retrieve-date" = 0.02
"device-swap/check" = 0.03
"""

Complete = Callable[..., "subprocess.CompletedProcess[bytes]"]


def cold(command: list[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
    """The command's end, started as users start it."""
    return subprocess.run(
        command,
        env=how["env"],
        cwd=how["cwd"],
        input=how["stdin"],
        capture_output=True,
        timeout=_MOST_SECONDS,
        check=False,
    )


class Stage:
    """Where one scene is played; ``texts`` holds what came of it, by file name."""

    def __init__(self, scene: str, folder: Path, complete: Complete = cold) -> None:
        self.scene = scene
        self.folder = folder.resolve()
        places = {sys.executable: "<python>", f"{self.folder}/": "<folder>/", f"{ROOT}/": "<root>/"}
        self.steady = Steady(places)
        self.texts: dict[str, str] = {}
        self.settings = self.write("settings.toml", _SETTINGS)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "BATCH_SCREEN_API_KEY": KEY,
            # Whatever a scene forgets to say, nothing leaves this machine.
            "BATCH_SCREEN_API__BASE_URL": "http://127.0.0.1:9/nobody",
        }
        self._complete = complete
        self._said = ""

    # --- What is there before -------------------------------------------------------------

    def write(self, name: str, content: str | bytes) -> str:
        """A file in the folder; returns its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def configure(self, more: str, name: str = "more.toml") -> str:
        """The usual settings and more; a table that is there already is replaced."""
        tables = [f"[{table}" for table in f"\n{_SETTINGS}".split("\n[")[1:]]
        named = {line for line in more.splitlines() if line.startswith("[")}
        kept = [f"{table.strip()}\n" for table in tables if table.partition("\n")[0] not in named]
        return self.write(name, "".join([*kept, more]))

    def unpack(self, fixture: str, out: str = "out") -> None:
        """An output folder as an earlier run left it."""
        with tarfile.open(FIXTURES / f"{fixture}.tar.gz") as packed:
            packed.extractall(self.folder / out, filter="fully_trusted")

    # --- Commands -------------------------------------------------------------------------

    def play(
        self,
        *arguments: object,
        environment: Mapping[str, str | None] | None = None,
        stdin: bytes = b"",
        edit: Callable[[str], str] = str,
    ) -> str:
        """A command to its end; its words are kept, as ``edit`` leaves them. Returns stdout."""
        changes = environment or {}
        merged = {**self.environment, **changes}
        env = {name: value for name, value in merged.items() if value is not None}
        words = [str(each) for each in arguments]
        done = self._complete([str(COMMAND), *words], env=env, cwd=self.folder, stdin=stdin)
        shown = [f"{n}={shlex.quote(v or '')}" for n, v in changes.items()]
        lines = [
            f"$ {' '.join([*shown, 'batch-screen', *map(shlex.quote, words)])}",
            f"[exit code {done.returncode}]",
            *_stream("stderr", edit(done.stderr.decode())),
            *_stream("stdout", edit(done.stdout.decode())),
            "\n",
        ]
        self._said += self.steady.text("\n".join(lines))
        return done.stdout.decode()

    def run(self, *arguments: object, **how: Any) -> str:
        """``run`` by the usual settings into the folder ``out``."""
        given = [str(each) for each in arguments]
        options: list[object] = [] if "--config" in given else ["--config", self.settings]
        if "--out" not in given:
            options += ["--out", "out"]
        return self.play("run", *arguments, *options, **how)

    def note(self, text: str) -> None:
        """A line of its own among the commands, on what was done between them."""
        self._said += f"# {text}\n\n"

    @contextmanager
    def sandbox(self, *options: object, port: int = 0) -> Iterator[str]:
        """Its address, while it runs; dates count back from when the scene's first one began."""
        self.steady.base = now = self.steady.base or datetime.now(UTC).replace(microsecond=0)
        arguments = ["--port", str(port), "--now", f"{now:%Y-%m-%dT%H:%M:%S}", *map(str, options)]
        with subprocess.Popen(
            [str(COMMAND), "sandbox", "--json", *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout
            try:
                url = str(json.loads(process.stdout.readline())["url"])
                taken = url.split(":")[2].partition("/")[0]
                self.steady.places[f"127.0.0.1:{taken}"] = "127.0.0.1:<port>"
                self.steady.places[f"port {taken}"] = "port <port>"
                self.note(f"a sandbox: {' '.join(map(str, options)) or 'as it is'}")
                yield url
            finally:
                process.terminate()
            self.note(f"the sandbox: {process.stdout.read().strip()}")

    # --- What is there afterwards ---------------------------------------------------------

    def keep(self, name: str, text: str) -> None:
        """A text of its own."""
        assert name not in self.texts, f"{name} is kept twice"
        self.texts[name] = self.steady.text(text)

    def keep_table(self, name: str, *paths: Path, run_id: str = "") -> None:
        """The table that these Parquet files are the parts of."""
        assert name not in self.texts, f"{name} is kept twice"
        self.texts[name] = table_text(paths, run_id, self.steady)

    def keep_runs(self, out: str = "out", *, of_date: str = "", whole_pages: bool = False) -> None:
        """All that the runs of an output folder, or those of a date, have left there."""
        folder = self.folder / out
        self.keep(f"{out}/files.txt", "".join(f"{line}\n" for line in _listing(folder)))
        if (folder / "latest.json").exists():
            self.keep(f"{out}/latest.json", (folder / "latest.json").read_text("utf-8"))
        for run in sorted((folder / "runs").glob(f"{of_date}*")):
            self._keep_run(f"{out}/{self.steady.text(run.name)}", run, whole_pages=whole_pages)

    def _keep_run(self, name: str, run: Path, *, whole_pages: bool) -> None:
        for path in sorted(run.iterdir()):
            match path.name:
                case "report.html":
                    self._keep_page(f"{name}/report", path, whole=whole_pages)
                case "schema.json" if self.scene != WITH_SCHEMA:
                    pass
                case "pace.svg" if not self.steady.is_exact:
                    pass  # how fast it went; the chart of a recorded run is in a scene of its own
                case "_SUCCESS":
                    pass  # a digest; files.txt says that it is there
                case _ if path.suffix == ".parquet":
                    self.keep_table(f"{name}/{path.stem}.txt", path, run_id=run.name)
                case _:
                    self.keep(f"{name}/{path.name}", _shortened(path.read_text("utf-8")))
        out = run.parents[1]
        for table in TABLES:
            # Not those of the run that is called the same with -2 at its end.
            if parts := sorted(out.glob(f"{table}/*/{run.name}-?????.parquet")):
                self.keep_table(f"{name}/{table}.txt", *parts, run_id=run.name)

    def _keep_page(self, name: str, path: Path, *, whole: bool) -> None:
        html = path.read_text("utf-8")
        if whole:
            self.keep(f"{name}.html", whole_page(html))
            self.keep(f"{name}.css", style_of(html))
        elif self.steady.is_exact:
            self.keep(f"{name}.txt", page_words(html))
        else:
            self.keep(f"{name}.txt", without_durations(page_words(html)))

    def close(self) -> dict[str, str]:
        """All texts of the scene."""
        return {"commands.txt": self._said, **self.texts} if self._said else self.texts


def _stream(name: str, text: str) -> Iterator[str]:
    if text:
        yield f"[{name}]" if text.endswith("\n") else f"[{name}, no end of line]"
        yield text.removesuffix("\n")


def _shortened(text: str) -> str:
    """The first lines of a long text, and a digest of all."""
    lines = text.splitlines(keepends=True)
    if len(lines) <= _MOST_LINES:
        return text
    first, rest = lines[:_FIRST_LINES], len(lines) - _FIRST_LINES
    # Each line begins with the run's id.
    said = hashlib.sha256("".join(line.partition(",")[2] for line in lines).encode()).hexdigest()
    return "".join([*first, f"and {rest} more lines; digest of all: {said[:16]}\n"])


def _listing(folder: Path) -> Iterator[str]:
    """Every file with its mode; what is hidden, the state, too."""
    for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).parts):
        mode = stat.S_IMODE(path.lstat().st_mode)
        yield f"{mode:04o} {path.relative_to(folder)}{'/' if path.is_dir() else ''}"
