"""Plays a page of docs/: its files, its commands and its Python, in order, in one folder.

``python -m tests.e2e.pages`` writes what they print now into the pages. A block with a line ``…``
shows less than is printed: its author chose the lines, and only the ids of runs are written anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Self
from unittest.mock import patch

import pytest
from pyiceberg.utils.config import Config

from batch_screen.sandbox.answers import Population
from tests.buckets import moto, variables
from tests.e2e.starting import begin, complete
from tests.postgres_server import postgres_server

from .conftest import COMMAND, KEY, Background, Finished, clean, discreet, new_sandbox, until
from .likeness import LEFT_OUT, is_like

DOCS = Path(__file__).parents[2] / "docs"
READERS = ("alarms", "audit", "loading", "privacy")
"""Pages that one reader does all of a task by; test_readers.py looks at what they bring about."""
PAGES = (
    "tutorial",
    "nightly",
    "lists",
    "numbers",
    "signals",
    "fewer-requests",
    *READERS,
)
PORT = "8080"
"""The port of the pages; a free one is played in its place."""
HOME = "/home/you"
"""What the pages call the folder in which they are played."""

_DEMO = ("--rate 500", "--rate 3000")
"""What is played of the demo, in a fifth of the time."""

_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)
# What is said where stderr is no terminal; on one, a bar says it and goes away.
_HEARTBEAT = re.compile(r"^[a-z ]+: [\d,]+(?: of [\d,]+)?(?: [a-z]+)?\n", re.MULTILINE)
_RUN_ID = re.compile(r"\b\d{8}-[0-9a-f]{10}\b")
_REQUESTS_BEFORE_STOP = 3

Servers = dict[str, dict[str, str]]
"""Language of blocks → the environment variables that reach the server they need."""


class Block(NamedTuple):
    """A fenced block: its language, the file it is saved as, its text and where that lies."""

    language: str
    name: str | None
    text: str
    start: int
    end: int


class Played(NamedTuple):
    """A block that shows what was printed, and what it would show now."""

    block: Block
    now: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(m[1], m[2], m[3], *m.span(3)) for m in _BLOCK.finditer(page)]


def rewritten(page: str, played: list[Played]) -> str:
    """The page with what its blocks show now."""
    for block, now in reversed(played):
        is_whole = f"\n{LEFT_OUT}\n" not in block.text
        text = now if is_whole else _of_these_runs(block.text, now)
        page = page[: block.start] + text + page[block.end :]
    return page


def _of_these_runs(text: str, now: str) -> str:
    """The text with each run's id as it is now; a date has one run."""
    by_date = {run_id[:8]: run_id for run_id in _RUN_ID.findall(now)}
    return _RUN_ID.sub(lambda found: by_date.get(found[0][:8], found[0]), text)


class Player:
    """A shell in a folder. The real API is a sandbox here, and what a reader types is its key.

    Our command is started warm, and can be stopped; what else the page needs is done by bash.
    """

    def __init__(self, folder: Path, servers: Servers | None = None) -> None:
        self._folder = folder
        servers = servers or {}
        self.languages = ("console", "text", *servers)
        self._environment: dict[str, str | None] = {
            "BATCH_SCREEN_API_KEY": None,
            "BATCH_SCREEN_LOGGING__FORMAT": "text",  # as on a terminal
            "HOME": str(folder),
            "PATH": f"{COMMAND.parent}:/usr/bin:/bin",  # as after "activate"
            **{name: text for server in servers.values() for name, text in server.items()},
        }
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "batch-screen").symlink_to(DOCS.parent)  # the clone
        self._stack = ExitStack()
        self._code = 0
        self._port = _free_port()
        self._beside: list[Background] = []
        self._starts = 0

    def __enter__(self) -> Self:
        api = self._stack.enter_context(new_sandbox(now=None, population=Population()))
        self._environment["BATCH_SCREEN_API__BASE_URL"] = api.url
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        for running in self._beside:
            running.process.kill()
            running.process.wait()

    def play(self, page: str) -> Iterator[Played]:
        """Each block that shows what was printed, as soon as that is known."""
        printed = ""
        for block in blocks(page):
            if block.name:
                (self._folder / block.name).write_text(block.text, "utf-8")
            elif block.language == "python":
                printed = self._python(block.text)
            elif block.language == "text":
                yield Played(block, printed)
            elif block.language in self.languages:
                yield Played(block, self._console(block.text))

    def _python(self, text: str) -> str:
        with (
            contextlib.chdir(self._folder),
            contextlib.redirect_stdout(io.StringIO()) as shown,
            # It is read at import, which may be long ago here.
            patch("pyiceberg.catalog._ENV_CONFIG", Config()),
        ):
            exec(compile(text, "page", "exec"), {})
        return shown.getvalue()

    def _console(self, text: str) -> str:
        shown = ""
        for typed in _COMMAND.finditer(text):
            command = typed[1].replace("\\\n", "").replace(PORT, self._port)
            is_stopped = "^C\n" in text[typed.end() :].partition("\n$ ")[0]
            said = "".join(self._said(command, is_stopped=is_stopped))
            shown += typed[0] + said.replace(self._port, PORT)
        return shown

    def _said(self, command: str, *, is_stopped: bool) -> Iterator[str]:
        for part in command.split(" && "):
            match self._words(part):
                case ["batch-screen", *arguments, "&"]:
                    yield self._begun(arguments)
                case ["batch-screen", *arguments] if is_stopped:
                    yield self._stopped(arguments)
                case ["batch-screen", *arguments]:
                    yield self._completed(arguments)
                case ["make", "demo"]:
                    (self._folder / "sample_data").symlink_to(DOCS.parent / "sample_data")
                    yield self._completed(_demo())
                case ["export", variable]:
                    name, _, self._environment[name] = variable.partition("=")
                case ["echo", "$?"]:
                    yield f"{self._code}\n"
                case ["kill", "%1"]:
                    running = self._beside.pop()
                    announced = running.heard
                    yield running.end(signal.SIGTERM).out.removeprefix(announced)
                case _:
                    yield self._by_bash(part)
            if self._code:
                return

    def _by_bash(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            input=f"{KEY}\n".encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=clean(self._environment),
            cwd=self._folder,
            check=False,
        )
        return self._told(Finished(done.returncode, done.stdout.decode(), ""))

    def _words(self, command: str) -> list[str]:
        """The command's words, with the paths that a word with a star stands for."""
        words = shlex.split(command)
        paths = {w: sorted(map(str, self._folder.glob(w))) if "*" in w else [] for w in words}
        return [
            each.removeprefix(f"{self._folder}/")
            for word in words
            for each in paths[word] or [word]
        ]

    def _completed(self, arguments: list[str]) -> str:
        """What a terminal shows of a command; ``> FILE`` and ``2> FILE`` at its end get theirs."""
        if any(word.startswith("iceberg:") for word in arguments):
            # Cold: pyiceberg reads its configuration at import, and a warm one has imported it.
            said = self._by_bash(shlex.join(["batch-screen", *arguments]))
            return _HEARTBEAT.sub("", said)
        files = pairwise(arguments)
        to = {sign: self._folder / name for sign, name in files if sign in (">", "2>")}
        command = [str(COMMAND), *arguments[: len(arguments) - 2 * len(to)]]
        done = complete(command, env=clean(self._environment), cwd=self._folder)
        streams = {">": done.stdout.decode(), "2>": done.stderr.decode()}
        for sign, file in to.items():
            file.write_text(streams.pop(sign), "utf-8")
        return self._told(Finished(done.returncode, streams.get(">", ""), streams.get("2>", "")))

    def _stopped(self, arguments: list[str]) -> str:
        """What a terminal shows of a command that gets Ctrl-C once it has asked a little."""
        running = self._started(arguments)
        with running.process:
            until(lambda: self._requests() >= _REQUESTS_BEFORE_STOP)
            said = running.end(signal.SIGINT)
        return self._told(said).replace("\nstopping:", "^C\nstopping:")

    def _begun(self, arguments: list[str]) -> str:
        running = self._started([*arguments, "--port", self._port])
        self._beside.append(running)
        return until(lambda: running.heard if "statistics" in running.heard else "")

    def _started(self, arguments: list[str]) -> Background:
        self._starts += 1
        stdout, stderr = (self._folder / f"{self._starts}.{name}" for name in ("out", "err"))
        command, env = [str(COMMAND), *arguments], clean(self._environment)
        with stdout.open("wb") as out, stderr.open("wb") as err:
            process = begin(command, stdout=out, stderr=err, env=env, cwd=self._folder)
        return Background(process, stderr, stdout)

    def _requests(self) -> int:
        """Requests of unfinished runs, which are noted before they are sent."""
        journals = self._folder.glob("*/.state/runs/*/journal/*.journal")
        return sum(path.read_bytes().count(b'"intent"') for path in journals)

    def _told(self, said: Finished) -> str:
        self._code = discreet(said).code
        shown = _HEARTBEAT.sub("", said.err) + said.out
        return shown.replace(str(self._folder), HOME)


@contextmanager
def servers_of(page: str) -> Iterator[Servers]:
    """Starts what the page's blocks need; without PostgreSQL here those of psql are left out."""
    needed = {block.language for block in blocks(page)}
    servers: Servers = {}
    with ExitStack() as stack:
        if "psql" in needed:
            with suppress(pytest.skip.Exception):
                servers["psql"] = stack.enter_context(postgres_server())
        if "s3" in needed:
            servers["s3"] = variables(stack.enter_context(moto()))
            put = urllib.request.Request(
                f"{servers['s3']['AWS_ENDPOINT_URL']}/bucket", method="PUT"
            )
            urllib.request.urlopen(put).close()
        yield servers


def follow(name: str, folder: Path, *, without: Sequence[str] = ()) -> None:
    """Does what a page of docs/ says, but for some chapters; its commands print what it shows."""
    page = (DOCS / f"{name}.md").read_text("utf-8")
    for heading in without:
        before, after = page.split(f"\n## {heading}\n")
        page = before + after[after.index("\n## ") :]
    with servers_of(page) as servers, Player(folder, servers) as player:
        played = list(player.play(page))
    for block, now in played:
        assert is_like(block.text, now), f"make tutorial writes it anew:\n{now}"
    assert [block for block, _ in played] == [
        block for block in blocks(page) if block.language in player.languages
    ]


def _demo() -> list[str]:
    """The arguments of the command that ``make demo`` starts."""
    makefile = (DOCS.parent / "Makefile").read_text("utf-8").replace(*_DEMO)
    [command] = re.findall(r"\$\(BIN\)/batch-screen (run (?:.*\\\n)*.*)", makefile)
    return shlex.split(command.replace("\\\n", ""))


def _free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def main() -> None:
    """Writes the pages anew, or those that are named."""
    for name in sys.argv[1:] or PAGES:
        file = DOCS / f"{name}.md"
        page = file.read_text("utf-8")
        with (
            servers_of(page) as servers,
            tempfile.TemporaryDirectory() as folder,
            Player(Path(folder), servers) as player,
        ):
            file.write_text(rewritten(page, list(player.play(page))), "utf-8")
        print(f"wrote docs/{name}.md")


if __name__ == "__main__":
    main()
