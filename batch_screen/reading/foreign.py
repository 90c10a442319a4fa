"""The one place where other people's exceptions become an ``InputError``.

polars and pyarrow quote cell content in their messages, so none of their text is passed on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pyarrow as pa

from batch_screen.errors import InputError
from batch_screen.exit_codes import ExitCode

_DAMAGED = (pa.ArrowException, pl.exceptions.PolarsError, csv.Error, UnicodeError, EOFError)


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Whatever a library raises inside becomes one clear line about the input ``name``."""
    try:
        yield
    except _DAMAGED:
        raise _damaged(name) from None
    except OSError as error:
        raise _not_readable(name, error) from None
    except MemoryError:
        raise InputError(
            f"{name}: a part of it does not fit into memory; split the file or write it anew"
        ) from None
    except BaseException as error:
        # polars' panics derive from BaseException; its class has no public, importable name.
        if type(error).__name__ != "PanicException":
            raise
        raise _damaged(name) from None


def _damaged(name: str) -> InputError:
    return InputError(
        f"{name}: it is damaged or ends too early; copy or export the file again and check its size"
    )


def _not_readable(name: str, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(
            f"{name}: there is no such file; check the path", exit_code=ExitCode.NO_INPUT
        )
    if isinstance(error, PermissionError):
        return InputError(
            f"{name}: you may not read it; check the permissions of the file and its folders",
            exit_code=ExitCode.NO_INPUT,
        )
    # pyarrow reports damaged and truncated streams as an OSError without a number.
    if error.errno is None or error.strerror is None:
        return _damaged(name)
    return InputError(
        f"{name}: it cannot be read: {error.strerror}; check the disk or copy the file",
        exit_code=ExitCode.NO_INPUT,
    )
