"""How much is tried: enough on every change, all of it with TESTS_IN_FULL=1 (make test-in-full)."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings

IS_FULL = bool(os.environ.get("TESTS_IN_FULL"))

in_full = pytest.mark.in_full
"""Tests, and variants of tests, for the full run alone: they cost more than they add."""


def examples(count: int, **more: Any) -> settings:
    """A property is tried so often in full, a tenth as often otherwise."""
    return settings(max_examples=count if IS_FULL else -(-count // 10), **more)
