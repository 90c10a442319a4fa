"""How each contestant is started: the command, and what it needs in its folder."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.memory import written

CLIENTS = Path(__file__).with_name("clients")
BIN = Path(sys.executable).parent
ENDPOINT = "sim-swap/check"

Command = Callable[[Path, str, int], list[str]]
"""From the folder with ``customers.csv``, the base URL and the rate to a command."""


def e164s(numbers: int) -> list[str]:
    """So many different numbers, made up as in ``benchmarks/memory.py``."""
    return [written(number, 0)[0].replace(" ", "") for number in range(numbers)]


def write_numbers(folder: Path, numbers: int) -> None:
    """A list of so many different numbers in E.164."""
    with (folder / "customers.csv").open("w", encoding="utf-8") as file:
        file.write("customer_id,phone\n")
        file.writelines(f"C{row:09},{e164}\n" for row, e164 in enumerate(e164s(numbers)))


@contextmanager
def folder_with(numbers: int) -> Iterator[Path]:
    """A folder with a list of so many numbers, for a while."""
    with tempfile.TemporaryDirectory(prefix="batch-screen-pacing-") as name:
        write_numbers(Path(name), numbers)
        yield Path(name)


def batch_screen(
    folder: Path, url: str, rate: int, endpoints: Iterable[str] = (ENDPOINT,)
) -> list[str]:
    """The installed command with its default settings, but for the rate."""
    return [
        *(str(BIN / "batch-screen"), "run", str(folder / "customers.csv")),
        *("--out", str(folder / "out"), "--base-url", url, "--phone-column", "phone"),
        *("--endpoints", ",".join(endpoints), "--rate", str(rate)),
    ]


def script(folder: Path, url: str, rate: int) -> list[str]:
    """The script of a hundred lines."""
    source, target = folder / "customers.csv", folder / "answers.csv"
    code = str(CLIENTS / "script.py")
    return [sys.executable, code, str(source), f"{url}/{ENDPOINT}", str(rate), str(target)]


def scrapy(folder: Path, url: str, rate: int) -> list[str]:
    """Scrapy with AutoThrottle; the settings are in the spider's file."""
    return [
        *(sys.executable, str(CLIENTS / "spider.py"), str(folder / "customers.csv")),
        *(f"{url}/{ENDPOINT}", str(rate), str(folder / "answers.csv")),
    ]


CONTESTANTS: dict[str, Command] = {
    "batch-screen": batch_screen,
    "script": script,
    "Scrapy": scrapy,
}


def environment() -> dict[str, str]:
    """This one without anybody's settings, but with a key; the judge takes any."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("BATCH_SCREEN_")}
    return inherited | {"BATCH_SCREEN_API_KEY": "sandbox-key"}
