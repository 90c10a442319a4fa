"""How many requests may be under way at once: what is wished for, as far as open files allow."""

from __future__ import annotations

import resource
from pathlib import Path

from batch_screen.errors import ConfigurationError

_RESERVED = 24  # journal, lists, event loop, and what libraries open late
_PER_REQUEST = 2  # its socket, and the other end of it where the sandbox runs in this process


def affordable(wanted: int) -> int:
    """As many of the wanted requests as the process may open files for, at least one.

    Raises the soft limit as far as the hard one lets it. Raises ``ConfigurationError`` where
    there is not room for one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kept = _open_files(soft) + _RESERVED
    needed = kept + wanted * _PER_REQUEST
    if _within(soft, needed):
        return wanted
    limit = needed if _within(hard, needed) else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    found = min(wanted, (limit - kept) // _PER_REQUEST)
    if found < 1:
        raise ConfigurationError(
            f"the process may open {limit} files, too few to ask anything; raise the limit "
            f"(ulimit -n) to {needed} for pacing.max_concurrency = {wanted}"
        )
    return found


def _within(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or needed <= limit


def _open_files(limit: int) -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:  # not even this folder can be opened
        return limit
