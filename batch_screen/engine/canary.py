"""The canary: an endpoint's first answers show whether asking it is worth the money."""

from __future__ import annotations

from typing import Generic, TypeVar

from batch_screen.config.sections import Dialect
from batch_screen.errors import ApiError, AuthenticationError, ConfigurationError
from batch_screen.model import Endpoint, OutcomeKind

Item = TypeVar("Item")


_SUSPECT = frozenset(
    {OutcomeKind.NOT_FOUND, OutcomeKind.FORBIDDEN, OutcomeKind.REJECTED, OutcomeKind.BAD_RESPONSE}
)
_PROOF = frozenset({OutcomeKind.SUCCESS, OutcomeKind.NOT_APPLICABLE})


class Canary(Generic[Item]):
    """Withholds an endpoint's first answers while all of them are bad in the same way.

    One that differs sets them free; ``size`` of them raise. A failure on the way (a 500, a
    timeout, a refusal) says nothing about the endpoint and is neither held nor counted. What
    is held at the end ``release`` gives out: whether it counts depends on how the run ended.
    """

    def __init__(self, size: int, dialect: Dialect) -> None:
        self._size = size
        self._dialect = dialect
        self._held: dict[Endpoint, list[Item]] = {}
        self._kinds: dict[Endpoint, OutcomeKind] = {}
        self.proved: set[Endpoint] = set()
        """The endpoints of which nothing is withheld any more."""
        self._failed: set[Endpoint] = set()

    def trust(self, endpoint: Endpoint) -> None:
        """Withholds nothing of this endpoint from now on."""
        self.proved.add(endpoint)

    def has_failed(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint's first answers were all bad in the same way."""
        return endpoint in self._failed

    def admit(self, endpoint: Endpoint, kind: OutcomeKind, item: Item) -> list[Item]:
        """The items that may be saved now: ``item`` and those it releases, or none."""
        if self._size == 0 or endpoint in self.proved:
            return [item]
        if kind not in _SUSPECT | _PROOF:
            return [item]
        if endpoint in self._failed and kind in _PROOF:  # too late, but paid for
            return [item]
        held = self._held.setdefault(endpoint, [])
        held.append(item)
        if endpoint in self._failed:
            return []
        if kind in _PROOF or self._kinds.setdefault(endpoint, kind) is not kind:
            self.proved.add(endpoint)
            return self._held.pop(endpoint)
        if len(held) >= self._size:
            self._failed.add(endpoint)
            raise self._failure(endpoint, kind, len(held))
        return []

    def release(self) -> list[Item]:
        """Removes and returns everything still withheld."""
        held = [item for items in self._held.values() for item in items]
        self._held.clear()
        return held

    def _failure(self, endpoint: Endpoint, kind: OutcomeKind, count: int) -> Exception:
        head = f"the first {count} answers of {endpoint} were all "
        tail = "; none was saved. To go on all the same, set guards.canary_answers = 0"
        if kind is OutcomeKind.FORBIDDEN:
            return AuthenticationError(
                head
                + "403 or 401: the account seems to lack this endpoint; ask the vendor to enable it"
                + tail
            )
        if kind is OutcomeKind.NOT_FOUND:
            other = next(dialect for dialect in Dialect if dialect is not self._dialect)
            return ConfigurationError(
                head
                + f"404: the path may have moved; try api.dialect = '{other}', or set [api.paths]"
                + tail
            )
        if kind is OutcomeKind.REJECTED:
            return ConfigurationError(
                head
                + "refused as invalid (4xx): check api.base_url and screening.max_age_minutes"
                + tail
            )
        return ApiError(
            head + "unreadable: the server no longer speaks the contract, or is not the API; check "
            "api.base_url" + tail
        )
