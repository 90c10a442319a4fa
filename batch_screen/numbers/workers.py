"""Scalar normalisation of many cells, with a process for each core.

The processes are started as programs of their own: a fork would lose polars' threads, and
``multiprocessing`` would run a script that calls the library again in each of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any

import msgspec

from batch_screen.config.screening import Numbers
from batch_screen.masking import masked_logger
from batch_screen.model import ColumnKind
from batch_screen.numbers.convention import Convention
from batch_screen.numbers.normalise import Normaliser
from batch_screen.numbers.rules import Accepted

MANY = 40_000  # cells are judged in the second that a process takes to start

RawCell = tuple[str | None, str | None]
"""A raw cell and its row's region cell."""

Judgement = tuple[str | None, str | None, str | None, str | None, str | None, str | None]
"""e164, region, number_type and rule, or reason and detail."""

_log = masked_logger(__name__)


class _Work(msgspec.Struct):
    settings: dict[str, Any]
    default_region: str
    column_kind: ColumnKind
    conventions: dict[str, Convention]
    cells: Sequence[RawCell]


def judge(cells: Sequence[RawCell], normaliser: Normaliser) -> list[Judgement]:
    """Normalises cells, in the same order."""
    cores = os.cpu_count() or 1
    if len(cells) < MANY or cores == 1 or not sys.executable:
        return _judged(cells, normaliser)
    size = -(-len(cells) // cores)
    chunks = [cells[first : first + size] for first in range(0, len(cells), size)]
    with ThreadPoolExecutor(cores) as pool:
        return list(chain.from_iterable(pool.map(partial(_in_process, normaliser), chunks)))


def _judged(cells: Sequence[RawCell], normaliser: Normaliser) -> list[Judgement]:
    return [
        (found.e164, found.region, found.number_type, found.rule, None, None)
        if isinstance(found, Accepted)
        else (None, None, None, None, found.reason.value, found.detail)
        for found in (normaliser.normalise(*cell) for cell in cells)
    ]


def _in_process(normaliser: Normaliser, cells: Sequence[RawCell]) -> list[Judgement]:
    """Normalises cells in another process."""
    settings = normaliser.settings.model_dump(mode="json")
    conventions = dict(normaliser.conventions)
    work = _Work(settings, normaliser.default_region, normaliser.column_kind, conventions, cells)
    done = subprocess.run(  # noqa: S603 (this very module)
        [sys.executable, "-P", "-m", __name__],  # never what lies in the current folder
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        input=msgspec.json.encode(work),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the one that asks
        check=False,
    )
    with suppress(ValueError):  # msgspec's errors
        found = msgspec.json.decode(done.stdout, type=list[Judgement])
        if not done.returncode and len(found) == len(cells):
            return found
    _log.warning("a normalisation process ended with %d; continuing without it", done.returncode)
    return _judged(cells, normaliser)


def main() -> None:
    """Entry point of a worker process: cells on standard input, judgements on standard output."""
    work = msgspec.json.decode(sys.stdin.buffer.read(), type=_Work)
    normaliser = Normaliser(
        Numbers(**work.settings), work.default_region, work.column_kind, work.conventions
    )
    sys.stdout.buffer.write(msgspec.json.encode(_judged(work.cells, normaliser)))


if __name__ == "__main__":
    main()
