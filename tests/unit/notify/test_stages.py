from __future__ import annotations

from batch_screen.notify.stages import StageTimes
from batch_screen.runs.events import Silent


class Heard(Silent):
    def __init__(self) -> None:
        self.all: list[object] = []

    def stage(self, name: str, *, total: int | None = None, done: int = 0) -> None:
        self.all.append((name, total, done))

    def advance(self, count: int) -> None:
        self.all.append(count)

    def note(self, message: str) -> None:
        self.all.append(message)

    def close(self) -> None:
        self.all.append("closed")


def test_each_stage_has_its_time_and_all_is_passed_on() -> None:
    times = iter([0.0, 1.0, 4.0, 9.0, 10.0, 12.0])
    stages, heard = StageTimes(lambda: next(times)), Heard()
    stages.stage("opting out")  # nobody hears yet
    stages.pass_to(heard)
    stages.stage("asking", total=5, done=2)
    stages.advance(3)
    stages.note("hello")
    stages.stage("opting out")
    assert stages.seconds == {"opting_out": 4.0, "asking": 5.0}
    assert stages.seconds == {"opting_out": 6.0, "asking": 5.0}
    stages.close()
    assert heard.all == [("asking", 5, 2), 3, "hello", ("opting out", None, 0), "closed"]


def test_before_any_stage_there_is_no_time() -> None:
    assert StageTimes().seconds == {}
