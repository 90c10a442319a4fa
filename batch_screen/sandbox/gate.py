"""Admission: key, revocation, entitlement, rate limit and quota, in this order.

Pure but for its counters: the instant of each request is passed in.
"""

from __future__ import annotations

from batch_screen.model import Endpoint
from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.contract import (
    PERMISSION_DENIED,
    QUOTA_EXCEEDED,
    TOO_MANY_REQUESTS,
    UNAUTHENTICATED,
    Problem,
)
from batch_screen.sandbox.window import RateLimit, Window, rate_limit


class Gate:
    """Admits requests one by one, and counts refusals by reason."""

    def __init__(self, config: SandboxConfig) -> None:
        self._limits: dict[tuple[Window, Endpoint | None], RateLimit] = {}
        self.change(config)
        self._authenticated = 0
        self.used_quota = 0
        self.rate_refusals = 0
        self.quota_refusals = 0
        self.after_revocation = 0

    def change(self, config: SandboxConfig) -> None:
        """Applies other keys and limits; counts stay."""
        # A key that is listed twice is refused: so a good one can be let expire.
        self._keys = frozenset(config.keys) - frozenset(config.expired_keys)
        self._revoke_after = config.revoke_keys_after
        self._not_entitled = frozenset(config.not_entitled)
        self._quota = config.quota
        wanted: list[tuple[Endpoint | None, int]] = [*config.rate_limit_by_endpoint.items()]
        if config.rate_limit_per_second is not None:
            wanted.append((None, config.rate_limit_per_second))
        earlier, self._limits = self._limits, {}
        for of, per_second in wanted:
            kind = (config.rate_window, of)
            # A limit of the same kind for the same requests goes on with what was taken.
            limit = earlier.get(kind) or rate_limit(config.rate_window, per_second)
            limit.per_second = per_second
            self._limits[kind] = limit

    def admit(
        self, key: str | None, now_seconds: float, endpoint: Endpoint | None = None
    ) -> Problem | None:
        """None if the request may pass, else the error; a refusal uses up no limit."""
        if key not in self._keys:
            return UNAUTHENTICATED
        if self._revoke_after is not None and self._authenticated >= self._revoke_after:
            self.after_revocation += 1
            return UNAUTHENTICATED
        self._authenticated += 1
        if endpoint in self._not_entitled:
            return PERMISSION_DENIED
        limits = [limit for (_, of), limit in self._limits.items() if of in (None, endpoint)]
        if not all(limit.has_room(now_seconds) for limit in limits):
            self.rate_refusals += 1
            return TOO_MANY_REQUESTS
        # Limits are asked before the quota and taken after it: neither refusal costs the other.
        if self._quota is not None and self.used_quota >= self._quota:
            self.quota_refusals += 1
            return QUOTA_EXCEEDED
        for limit in limits:
            limit.take(now_seconds)
        self.used_quota += 1
        return None
