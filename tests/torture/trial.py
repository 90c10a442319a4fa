"""One list screened by the installed command, which is disturbed, watched and judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from batch_screen.sandbox.run import SandboxThread
from tests.e2e.conftest import CONCURRENCY, KEY, Background, Desk, new_sandbox

from .figures import Figures, Measure
from .judge import Asked, Session, bought, judge, read_requests, read_state
from .leaks import in_command_line, leaks
from .witness import Witness

PER_KILL_MOST = 2 * CONCURRENCY
WAIT_SECONDS = 120
AT_ONCE = 0.001
"""Seconds between looks for what is over in a moment."""
_PASSING = ("attempts", "refusals", "unanswered")
"""Columns of lookups that tell how it was asked, not what was answered."""


class Trial:
    """A scenario in progress; use it with ``with``. ``figures`` is its end.

    ``serve`` starts sandboxes that share one request log; ``started`` starts the command,
    and each start ends in ``kill``, ``leave`` or ``wait``.
    """

    def __init__(self, scenario: str, seed: int, desk: Desk) -> None:
        self.scenario = scenario
        self.seed = seed
        self.desk = desk
        self.log = desk.folder / "requests.jsonl"
        self.keys = [KEY]
        self.sessions: list[Session] = []
        self.witness = Witness(desk.out)
        self.seconds_to_exit = 0.0
        self._leaks: set[str] = set()
        self._tracebacks = 0
        self._began = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.witness)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @contextmanager
    def serve(self, port: int = 0, **settings: Any) -> Iterator[SandboxThread]:
        """A sandbox that the command asks from its next start on; it logs to ``log``."""
        with new_sandbox(port, journal_path=self.log, **settings) as server:
            self.desk.url = server.url
            yield server

    @contextmanager
    def started(self, *more: object) -> Iterator[Background]:
        """The command, running; the block ends it with ``kill``, ``leave`` or ``wait``."""
        self._began = time.monotonic()
        with self.desk.started(*more) as running:
            self._look_at(running)
            yield running

    def kill(self, running: Background) -> Session:
        """SIGKILL; a run that was complete before it is not counted as killed."""
        self._look_at(running)
        ended = time.monotonic()
        running.process.kill()
        code = running.process.wait(timeout=WAIT_SECONDS)
        return self.note(running, ended, is_killed=code < 0)

    def leave(self, running: Background, *signals: int, is_killed: bool = False) -> Session:
        """How it ends after signals; ``is_killed`` if it was not left any time to save."""
        self._look_at(running)
        for number in signals[:-1]:
            running.process.send_signal(number)
            assert wait_until(lambda: "stopping" in running.said), "it did not hear the signal"
        ended = time.monotonic()
        running.process.send_signal(signals[-1])
        running.process.wait(timeout=WAIT_SECONDS)
        self.seconds_to_exit = time.monotonic() - ended
        return self.note(running, ended, is_killed=is_killed)

    def wait(self, running: Background) -> Session:
        """How it ends by itself."""
        running.process.wait(timeout=WAIT_SECONDS)
        return self.note(running, time.monotonic(), is_killed=False)

    def run(self, *more: object) -> Session:
        """One start to its own end."""
        with self.started(*more) as running:
            return self.wait(running)

    def note(self, running: Background, ended: float, *, is_killed: bool) -> Session:
        """Keeps what an ended process left behind."""
        self.listen(running)
        self._leaks.update(leaks(self.desk.out, self.keys))
        session = Session(
            began=self._began,
            ended=ended,
            code=running.process.returncode,
            is_killed=is_killed,
            state=read_state(self.desk.out / ".state"),
            phase=self._phase(),
        )
        self.sessions.append(session)
        return session

    def listen(self, running: Background) -> None:
        """Searches what a process has said."""
        heard = [running.said, running._stdout.read_text("utf-8")]
        self._tracebacks += sum("Traceback" in text for text in heard)
        for name, text in zip(("stderr", "stdout"), heard, strict=True):
            said = self.desk.folder / "said"
            said.mkdir(exist_ok=True)
            (said / name).write_text(text, "utf-8")
        self._leaks.update(leaks(said, self.keys))

    def figures(
        self,
        server: SandboxThread,
        undisturbed: Mapping[str, Any] | None = None,
        *,
        per_kill_most: int = PER_KILL_MOST,
        dead_key_most: int = 0,
        faults: int | None = None,
        measures: Sequence[Measure] = (),
    ) -> Figures:
        """The verdict on a complete run, compared with what an undisturbed one leaves."""
        assert not server.statistics()["open_requests"], "a request is not in the log yet"
        output = self.desk.latest
        judged = judge(
            self.scenario,
            self.seed,
            sessions=self.sessions,
            requests=read_requests(self.log),
            lookups=output.frame("lookups"),
            expected=self.expected,
            world=server.world,
        )
        differing = [] if undisturbed is None else differences(output.content, undisturbed)
        leaked = sorted(self._leaks | self.witness.wrong_modes)
        return replace(
            judged,
            faults=judged.faults if faults is None else faults,
            wrong=judged.wrong + len(differing),
            per_kill_most=per_kill_most,
            dead_key_most=dead_key_most,
            torn=len(self.witness.torn),
            leaks=len(leaked),
            tracebacks=self._tracebacks,
            measures=tuple(measures),
            examples=(*judged.examples, *differing, *leaked[:5], *self.witness.torn[:5]),
        )

    @property
    def twice(self) -> int:
        """How many answers were bought for lookups that had been answered."""
        return sum(times - 1 for times in bought(read_requests(self.log)).values())

    @property
    def expected(self) -> list[Asked]:
        """Every lookup the list asks for; cells without a + are no numbers."""
        numbers = {cell for cell in self.desk.cells if cell.startswith("+")}
        return [Asked(number, name) for number in numbers for name in self._endpoints()]

    def _endpoints(self) -> list[str]:
        options = list(self.desk.options)
        return str(options[options.index("--endpoints") + 1]).split(",")

    def _look_at(self, running: Background) -> None:
        self._leaks.update(in_command_line(running.process.pid, self.keys))

    def _phase(self) -> str:
        """How far the start had come, from what was on disk when it ended."""
        has_asked = self.log.exists() and any(
            line.at >= self._began for line in read_requests(self.log)[-1:]
        )
        return phase(self.desk.out, self._wall(self._began), has_asked=has_asked)

    @staticmethod
    def _wall(instant: float) -> float:
        return time.time() - (time.monotonic() - instant)


def phase(out: Path, began: float, *, has_asked: bool) -> str:
    """The phase a start was in: ``began`` is a wall clock instant, as files have them."""

    def touched(pattern: str) -> bool:
        return any(path.stat().st_mtime >= began for path in out.glob(pattern))

    run = ".state/runs/*/"
    if touched("runs/*/_SUCCESS"):
        return "complete"
    if touched("runs/*/*.json") or touched("runs/*/.*.json.*") or touched("runs/*/*errors.csv*"):
        return "finalising"
    if touched("*/run_date=*/*.parquet") or touched("runs/*/.*.parquet.*"):
        return "enriching"
    if not has_asked:
        return "planning" if touched(run + "plan*") else "start-up"
    sealed = {path.stem for path in out.glob(run + "sealed/*.seal")}
    segments = {path.name[:5] for path in out.glob(run + "journal/*.journal")}
    is_sealing = touched(run + "sealed/.*") or sealed & segments or not segments
    return "sealing" if is_sealing else "asking"


def differences(found: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> list[str]:
    """Which parts of the content differ, but for how often something was asked."""
    return [
        f"{name} differ from an undisturbed run's"
        for name in undisturbed
        if _answers(found[name]) != _answers(undisturbed[name])
    ]


def _answers(part: Any) -> Any:
    """The part without counts of requests, at any depth."""
    if isinstance(part, dict):
        return {name: _answers(value) for name, value in part.items() if name not in _PASSING}
    return [_answers(each) for each in part] if isinstance(part, list) else part


def wait_until(
    claim: Callable[[], object], seconds: float = WAIT_SECONDS, *, every: float = 0.005
) -> bool:
    """Whether the claim came true in time, looked at every so many seconds."""
    deadline = time.monotonic() + seconds
    while not claim():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
