"""Detects by its ``x-correlator`` an answer that belongs to another of our requests.

HTTP does not say which question an answer belongs to; a gateway that mixes answers up is known
only where it repeats what it was sent. Gateways also put correlators of their own there, some of
their nodes and not others, so one that we never sent proves nothing, unless the very connection
has repeated ours many times in a row: then the answer may be to somebody else's question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from batch_screen.api.headers import every_item
from batch_screen.masking import masked_logger

HEADER = "x-correlator"

# An answer to a question that was given up reaches another within seconds: the connection it
# was asked on is closed by then. Between one and two times as many are remembered.
_REMEMBERED = 4096

# So often in a row a connection must have repeated ours before it is taken for strange that it
# does not: where nodes that do and nodes that do not share a connection, whatever their shares,
# at most one answer in 45 is asked for again.
_SURE_ECHOES = 16

_log = masked_logger(__name__)


class Echoes(Protocol):
    """Whether one connection's server repeats correlators."""

    echoes: int
    """How many of its last answers in a row repeated their request's correlator."""


class Correlators:
    """The correlators of the requests in flight, and of the last few thousand before them."""

    def __init__(self) -> None:
        self._under_way: set[str] = set()
        # Two sets that take turns cost half of what an ordered one does, for every request.
        self._ended: set[str] = set()
        self._ended_before: set[str] = set()
        self._has_warned = False

    def sent(self, correlator: str) -> None:
        """Registers a request in flight with this correlator."""
        self._under_way.add(correlator)

    def ended(self, correlator: str) -> None:
        """The request has ended, with or without an answer; a late answer may still arrive."""
        self._under_way.discard(correlator)
        self._ended.add(correlator)
        if len(self._ended) >= _REMEMBERED:
            self._ended, self._ended_before = set(), self._ended

    def answers_another(
        self, headers: Mapping[str, str], correlator: str, connection: Echoes
    ) -> bool:
        """Whether these headers answer another request than the one sent with this correlator.

        An earlier attempt for the same lookup is another request, too.
        """
        said = headers.get(HEADER)
        if said == correlator:
            connection.echoes += 1
            return False
        if said is None:
            return False
        # One more gateway on the way may have added its own to the one that was repeated.
        items = every_item(headers, HEADER)
        if correlator in items:
            connection.echoes += 1
            return False
        was_sure, connection.echoes = connection.echoes >= _SURE_ECHOES, 0
        ours = (self._under_way, self._ended, self._ended_before)
        if was_sure or any(item in sent for item in items for sent in ours):
            return True
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "answers bear an x-correlator that was never sent, as some gateways add: it is "
                "ignored, and an answer that went astray is known only where ours is repeated"
            )
        return False
