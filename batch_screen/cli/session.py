"""One start of ``run``: what it shows and tells, whatever way it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from batch_screen.cli import log
from batch_screen.cli.console import show, show_json
from batch_screen.cli.last_words import unforeseen
from batch_screen.cli.run_block import closing_block, crossed
from batch_screen.commands.run import RunResult
from batch_screen.config.settings import Settings
from batch_screen.errors import BatchScreenError, exit_code_of
from batch_screen.masking import safe_line
from batch_screen.notify.closing import Closing, document, now
from batch_screen.notify.stages import StageTimes
from batch_screen.notify.teller import check_told, tell_begun, tell_ended
from batch_screen.tables.summary import Ending

_CAUSE_CHARACTERS = 4_000


class SessionConsole:
    """What is known of a start; ``screened`` is set when there are figures."""

    def __init__(self, settings: Settings, *, as_json: bool) -> None:
        self._settings = settings
        self._as_json = as_json
        self._started_at = now()
        self._run_id = ""
        self.run_date = ""
        self.stages = StageTimes()
        self.screened: RunResult | None = None

    def belong_to(self, run_id: str) -> None:
        self._run_id = run_id
        log.belong_to(run_id)

    def stop_at(self, screened: RunResult) -> None:
        """It was stopped on its way: so far it had come."""
        self.screened = screened

    @contextmanager
    def told(self) -> Iterator[None]:
        """Tells of the start before and after the block, of any error that ends it too."""
        try:
            check_told(self._settings)
            _warn(tell_begun(self._settings))
            yield
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    def _end(self, error: BaseException | None) -> None:
        closing = self._closing(error)
        try:
            self._show(closing)
        finally:
            _warn(tell_ended(self._settings, closing))
        if error is None:
            _tell_finished(closing)

    def _closing(self, error: BaseException | None) -> Closing:
        summary = self.screened.summary if self.screened else None
        done = summary.exit_code if summary else 0
        return Closing(
            started_at=self._started_at,
            ended_at=now(),
            exit_code=exit_code_of(error) if error else done,
            stage_seconds=self.stages.seconds,
            run_id=self._run_id,
            run_date=summary.run_date if summary else self.run_date,
            stopped=_ending(error) if error else None,
            summary=summary,
            layout=self.screened.layout if self.screened else None,
        )

    def _show(self, closing: Closing) -> None:
        if self._as_json:
            show_json(document(closing).decode().rstrip("\n"))
        elif self.screened:
            show(closing_block(self.screened, self._settings))


def _ending(error: BaseException) -> Ending:
    told = str(error) if isinstance(error, BatchScreenError) else unforeseen(error)
    return Ending.of(error, safe_line(told, _CAUSE_CHARACTERS))


def _warn(warnings: Iterable[str]) -> None:
    for each in warnings:
        log.warning(each)


def _tell_finished(closing: Closing) -> None:
    """The last JSON line of a run that is complete; in text the closing block says it all."""
    if log.is_json() and (summary := closing.summary):
        log.event(
            "finished",
            exit_code=closing.exit_code,
            rows=summary.rows.read,
            rejected=summary.rows.rejected,
            lookups=summary.lookups,
            failed=summary.lookups - summary.answered,
            crossed=[safe_line(line) for line in crossed(summary)],
            seconds=round((closing.ended_at - closing.started_at).total_seconds(), 1),
        )
