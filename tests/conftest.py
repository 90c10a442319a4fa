from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from batch_screen.masking.keys import forget_keys

# A busy machine is no bug: examples have no deadline. In CI the examples are the same each
# time, so that what fails there fails again.
settings.register_profile(
    "project",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")


@pytest.fixture(autouse=True)
def _forget_keys() -> Iterator[None]:
    """A key that one test reads must not change what another one says."""
    yield
    forget_keys()
