from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from batch_screen import __version__, errors
from batch_screen.cli import main
from batch_screen.errors import BatchScreenError

NUMBER = "+491713920012"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of the command with these arguments."""
    for name in list(os.environ):
        if name.upper().startswith("BATCH_SCREEN"):
            monkeypatch.delenv(name)

    def start(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["batch-screen", *arguments])
        code = main._exit_code()
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return start


@pytest.fixture
def failing(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], Run]:
    def start(error: BaseException) -> tuple[int, str]:
        def fail(**options: object) -> None:
            raise error

        monkeypatch.setattr(main, "cli", SimpleNamespace(main=fail))
        code, out, err = run()
        assert not out
        assert err.count("\n") == 1
        return code, err

    return start


@pytest.fixture
def _own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logging, "raiseExceptions", True)  # restored in the end
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(run: Run, flag: str) -> None:
    code, out, err = run(flag)
    assert code == 0
    assert not err
    for command in main.cli.commands:
        assert f"\n  {command} " in out


@pytest.mark.parametrize("command", main.cli.commands)
def test_help_of_a_command(run: Run, command: str) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert max(len(line) for line in out.splitlines()) <= 100


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"batch-screen, version {__version__}\n", "")


def test_without_arguments_the_help_is_shown(run: Run) -> None:
    code, out, err = run()
    assert code == 2
    assert not out
    assert "Usage:" in err


@pytest.mark.parametrize(
    "arguments", [("runn",), ("run",), ("run", "x", "--zzz"), ("run", "x", "--rate", "fast")]
)
def test_wrong_usage(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert code == 2
    assert not out
    told = run(*arguments, "--log-format", "text")[2] if arguments[0] == "run" else err
    assert "Error: " in told
    if arguments[0] == "run":  # without a terminal it is one line of JSON
        assert json.loads(err)["event"] == "error"
        assert json.loads(err)["exit_code"] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        (NUMBER,),
        ("run", "x", "--strictness", NUMBER),
        ("run", "x", f"--{NUMBER}"),
        ("run", NUMBER, "--out", "o", "--sandbox"),
        ("plan", NUMBER),
        ("plan", "x", "--config", f"{NUMBER}.toml"),
    ],
)
def test_what_was_typed_is_repeated_masked(
    run: Run, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code in (2, 66)
    assert NUMBER[1:] not in out + err
    assert "+4917••••••12" in err


def test_mistakes_in_the_settings_are_one_line(run: Run) -> None:
    code, out, err = run("plan", "x", "--rate", "0")
    assert (code, out) == (2, "")
    assert err.startswith("Error: command line: pacing.rate_per_second: ")
    assert err.count("\n") == 1


ERRORS = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, BatchScreenError)
]


@pytest.mark.parametrize("error", ERRORS)
def test_what_stops_a_run_has_its_exit_code(
    failing: Callable[[BaseException], tuple[int, str]], error: type[BatchScreenError]
) -> None:
    assert failing(error("no use")) == (error.default_exit_code, "Error: no use\n")
    assert failing(error("no use", exit_code=130))[0] == 130


def test_messages_are_masked_and_plain(
    failing: Callable[[BaseException], tuple[int, str]],
) -> None:
    code, err = failing(errors.InputError(f"{NUMBER}\n\x1b[2J{NUMBER}" + " x" * 9_000))
    assert code == 65
    assert err.startswith("Error: +4917••••••12 [2J+4917••••••12 x x")
    assert len(err) < 4_100


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(
    failing: Callable[[BaseException], tuple[int, str]], error: BaseException
) -> None:
    assert failing(error) == (130, "Error: interrupted; start the same command again\n")


class PanicException(BaseException):
    """As polars raises it, from Rust."""


@pytest.mark.parametrize("error", [KeyError, RecursionError, PanicException])
def test_a_bug_is_one_masked_line(
    failing: Callable[[BaseException], tuple[int, str]], error: type[BaseException]
) -> None:
    code, err = failing(error(f"no column\n{NUMBER}"))
    assert code == 1
    assert err.startswith(f"Error: this is a bug, please report it: {error.__name__} at test_main")
    assert "Traceback" not in err
    assert NUMBER not in err


@pytest.mark.parametrize("error", [OSError, MemoryError, ImportError])
def test_a_system_that_gives_out_is_no_bug(
    failing: Callable[[BaseException], tuple[int, str]], error: type[BaseException]
) -> None:
    code, err = failing(error(f"no room\n{NUMBER}"))
    assert code == 71
    assert err.startswith(f"Error: a system resource ran out: {error.__name__} at test_main")
    assert err.endswith("; free memory or files, then start again\n")
    assert NUMBER not in err


@pytest.mark.parametrize(
    "error",
    [RuntimeError("can't start new thread"), PanicException("Resource temporarily unavailable")],
)
def test_threads_that_cannot_be_started_are_no_bug(
    failing: Callable[[BaseException], tuple[int, str]], error: BaseException
) -> None:
    code, err = failing(error)
    assert code == 71
    assert err.startswith("Error: a system resource ran out: ")


def test_the_commands_own_exit_passes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for returned, code in ((3, 3), (0, 0), (None, 0)):
        monkeypatch.setattr(
            main, "cli", SimpleNamespace(main=lambda returned=returned, **_: returned)
        )
        assert run() == (code, "", "")

    def leave(**options: object) -> None:
        raise SystemExit(7)

    monkeypatch.setattr(main, "cli", SimpleNamespace(main=leave))
    with pytest.raises(SystemExit, match="7"):
        run()


@pytest.mark.usefixtures("_own_logging")
def test_main_is_private_and_logs_masked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(**options: object) -> int:
        logging.getLogger("aiohttp").error("lost %s\nand more", NUMBER, exc_info=ValueError(NUMBER))
        logging.getLogger("x").info("not of interest")
        return 4

    monkeypatch.setattr(main, "cli", SimpleNamespace(main=say))
    before = os.umask(0)
    try:
        with pytest.raises(SystemExit) as leaving:
            main.main()
        assert os.umask(0) == 0o077
    finally:
        os.umask(before)
    assert leaving.value.code == 4
    assert capsys.readouterr().err == "error: lost +4917••••••12 and more\n"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from batch_screen.cli import main; sys.argv[1:] = ['run', '--help'];"
        "main._exit_code();"
        "print({'polars', 'aiohttp', 'pyarrow', 'pydantic', 'phonenumbers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.endswith("set()\n")
