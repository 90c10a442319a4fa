from __future__ import annotations

import gc
import weakref

import pytest

from batch_screen.engine.collecting import collecting


class Knot:
    """Holds on to itself: only the collector can take it away."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_goes_with_the_pulse_and_python_is_left_as_it_was() -> None:
    assert gc.isenabled()
    with collecting() as collector:
        assert not gc.isenabled()
        knot = weakref.ref(Knot())
        assert knot() is not None
        for _ in range(4):
            collector.pulse()
        assert knot() is None
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_garbage_that_has_grown_old_goes_too() -> None:
    with collecting() as collector:
        knot = Knot()
        for _ in range(8):
            collector.pulse()
        gone = weakref.ref(knot)
        del knot
        for _ in range(240):
            collector.pulse()
        assert gone() is None


def test_a_failure_inside_leaves_python_as_it_was() -> None:
    with pytest.raises(ValueError, match="inside"), collecting():
        raise ValueError("inside")
    assert gc.isenabled()
