"""Native code that a signal can end: it runs in a thread, and only the wait for it is ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

_LOOK_SECONDS = 0.1
_LAST_SECONDS = 1.0


def interruptible(
    call: Callable[[], T], stop: Callable[[], object] | None = None, *, ends: bool = False
) -> T:
    """The call's result; an exception in the wait, as a signal raises it, calls ``stop`` first.

    ``ends``: after ``stop`` the call ends soon, and is waited for.

    >>> interruptible(lambda: 1 + 1)
    2
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            outcome.set_exception(error)

    # A daemon: a call that hangs must not keep the command from ending.
    thread = Thread(target=work, name="native", daemon=True)
    thread.start()
    try:
        # Looked at again and again: a signal may reach another thread, which wakes none.
        while not wait([outcome], _LOOK_SECONDS).done:
            pass
    except BaseException:
        if stop is not None:
            stop()
        # One that returns while Python ends would abort the process: most do soon.
        thread.join(None if ends else _LAST_SECONDS)
        raise
    return outcome.result()
