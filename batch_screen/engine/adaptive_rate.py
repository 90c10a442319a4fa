"""Adaptive rate: how fast attempts may start, by settings, timetable and the server's refusals.

There is one for the account, and one for each endpoint that has a limit of its own. The
rules are pure functions of what was seen; an ``AdaptiveRate`` only remembers that, and never makes
anybody wait: that is the pacer's.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from batch_screen.config.settings import Pacing
from batch_screen.engine.headers import Headers
from batch_screen.engine.recovery import (
    HOLD_SECONDS,
    LEAST_PER_SECOND,
    Epoch,
    Refusal,
    Seen,
    next_epoch,
    ramp,
    recovered,
)
from batch_screen.engine.scope import Lately, Recent, ShareTest, Streak, enough_in_a_row
from batch_screen.engine.trials import Trials
from batch_screen.masking import masked_logger
from batch_screen.model import Allowance

# For servers that refuse everything and name no time to come again.
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_BEYOND_THE_CAP_SECONDS = 1.0
_JITTER_SHARE = 0.05  # only upwards: nobody comes before the server has asked them to
_SOON_SENDS = 600
_SOON_SECONDS = 10.0
_RECOUNT_SENDS = 1_000
_ENOUGH_SENDS = 64  # shares of fewer attempts would be those of chance
_UNLIKELY = 0.1

_log = masked_logger(__name__)


class AdaptiveRate:
    """The rate permitted now, and the instant before which nothing may start.

    ``ceiling`` is the rate that settings and timetable permit at the moment; headroom has been
    taken off it. ``whose`` says in the log whose rate it is.
    """

    def __init__(
        self,
        ceiling: Callable[[], float],
        pacing: Pacing,
        *,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        whose: str = "the account",
    ) -> None:
        self.ceiling = ceiling
        """Attempts per second that settings and timetable permit now, whatever the server says."""
        self._pacing = pacing
        self._clock = clock
        self._jitter = jitter
        self._whose = whose
        self._began = clock()
        self._epoch: Epoch | None = None
        self._seen = Seen()
        self._sent = 0
        self._test = ShareTest()
        self._lately = Lately()
        self._streak = Streak()
        self._recent = Recent()
        self._before_cut: Epoch | None = None
        self._trials = Trials(self._test, self.rate, clock=clock)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.headers = Headers(pacing, clock=clock)
        self.not_before = self._began
        self._closed = 0
        self._reopened = self._reopened_at = -math.inf
        self.is_closed = False
        """Whether the server refuses everything just now, at the endpoint or the whole account."""
        self.has_passed = False
        """Whether any attempt ever passed."""

    def rate(self) -> float:
        """Attempts per second permitted now; never above the ceiling, and 0 while that is 0."""
        now, ceiling = self._clock(), self.ceiling()
        if ceiling <= 0:
            self._began = now  # the ramp begins when the asking does
            return 0.0
        rate = self._held(now, ceiling)
        # Headers only ever slow down: a promise of more is tried by probing, not believed.
        return rate if self.headers.is_silent else min(rate, self.headers.rate(now, rate))

    @property
    def is_held_by_headers(self) -> bool:
        """Whether the server's headers are what limits the rate now."""
        now, ceiling = self._clock(), self.ceiling()
        if self.headers.is_silent or ceiling <= 0:
            return False
        held = self._held(now, ceiling)
        return self.headers.rate(now, held) < held

    def ramp_up(self) -> None:
        """Starts the ramp again at a fifth of the rate: after an outage every connection is new."""
        self._began = self._clock()

    def started(self, at: float | None = None) -> None:
        """Records that an attempt starts now, or has started at an instant."""
        self._seen.started(self._clock() if at is None else at)

    def delayed(self, started_at: float, seconds: float) -> None:
        """Records that an attempt reached the server so much later than others do."""
        self._seen.starts.move(started_at, started_at + seconds)

    def window_opens_at(self, rate_per_second: float) -> float:
        """The instant from which one more start keeps every one-second window within that rate."""
        return self._seen.starts.window_opens_at(rate_per_second)

    def sent(self, place: int) -> None:
        """Records that attempt ``place`` in the order of sending goes out now."""
        self._sent = place

    def passed(self, place: int) -> None:
        """Records that attempt ``place`` was not refused, whatever its answer."""
        self.has_passed = True
        # What was sent before everything was refused may pass for its own reasons.
        is_over = self._streak.passed(place)
        if self.is_closed and (is_over or place > self._closed):
            self._reopen()
        if self._trials.is_open:
            self._judge(place)

    def refused(
        self,
        place: int,
        e164: str,
        sent_at: float,
        retry_after_seconds: float | None,
        *,
        is_first: bool = True,
    ) -> bool:
        """Records a refusal for the rate; returns whether the rate must be too high.

        It is for the caller to know whether that concerns this rate: see ``slow_down``.
        ``is_first``: the lookup was never refused before; what is refused again shows little.
        """
        self._seen.refused.add(sent_at)
        if is_first:
            self._streak.refused(place, e164, sent_at)
            self._lately.refused(place)
        is_new = self._recent.is_new(e164)
        if self.is_closed:  # only a probe that was sent after the pause shows that it was too short
            self._wait(retry_after_seconds, is_probe=sent_at >= self.not_before)
            return False
        if self._streak.holds(enough_in_a_row(self._usual_share(place))):
            self._close(retry_after_seconds)
            return False
        if not is_new:  # that it is refused again says nothing new
            return False
        is_too_high = self._test.refused(place)
        # While a trial is on, one cut is judged at a time.
        if self._trials.is_open:
            self._judge(place)
            return False
        if self._test.sends(place) < _RECOUNT_SENDS or is_too_high:
            return is_too_high
        return self._test.recount(place)

    def refuses(self, numbers: int) -> bool:
        """Whether so many different numbers in a row were refused: more than by chance."""
        # Twice as many as to pause: on this a run is stopped.
        enough = 2 * enough_in_a_row(self._usual_share(self._sent))
        return self._streak.holds(max(numbers, enough))

    def weight(self, place: int) -> float:
        """How much one more refusal of the same lookup counts: 1, or less where many are refused.

        Refusals of so many of weight 1 in a row are no more than a chance of one in ten each.
        """
        share = min(max(self._usual_share(place), 0.01), 0.99)  # log(0) is no number, log(1) is 0
        return min(1.0, math.log(share) / math.log(_UNLIKELY))

    def slow_down(self, place: int, *, sent_at: float) -> None:
        """Cuts the rate to what was delivered; if that did not help, tests whether a cut helps.

        The attempt of that place was the last one refused.
        """
        now, rate = self._clock(), self.rate()
        if rate <= 0:  # the timetable has closed meanwhile: a share of nothing would last for ever
            self._test.restart(self._sent)
            return
        sends = self._test.sends(place)
        is_held = self._epoch is not None and now < self._epoch.probes_at
        # Refused so soon after a cut, or so late, it may not be the pace at all. Above a level that
        # was held well, refusals say what they seem to say.
        is_doubtful = (is_held and sends <= _SOON_SENDS) or sends >= _RECOUNT_SENDS
        if is_doubtful and not self._is_above_level():
            if self._epoch is None:
                self._before_cut = None
            delivered = self._seen.delivered(now, rate, self._lately.share(self._sent))
            self._trials.begin(self._test.share(place), delivered)
            self._test.restart(self._sent)
            return
        self._before_cut = self._epoch
        self._cut(self._epoch, rate, sent_at, now, has_instant=False)
        _log.info(
            "%s: refusals say that the limit is %.1f requests a second",
            self._whose,
            self._epoch.level if self._epoch else 0.0,
        )

    def forget(self) -> None:
        """Discards the refusals so far: they were not about this rate."""
        self._test.restart(self._sent)
        self._lately.restart(self._sent)
        self._recent.clear()

    def hold(self, level: float, seconds: float = HOLD_SECONDS) -> None:
        """Holds a limit that was found, and probes above it after so many seconds."""
        now = self._clock()
        level = max(LEAST_PER_SECOND, level)
        self._set(Epoch(level, now, now, now + seconds, seconds), now)

    def close(self, retry_after_seconds: float | None) -> None:
        """Everything is refused: waits as long as the server asks, then probes one by one."""
        self.is_closed = True
        self._closed = self._sent
        self._wait(retry_after_seconds, is_probe=False)

    def pause(self, seconds: float) -> None:
        """Starts no attempt for so long; a pause is only ever extended."""
        jittered = seconds * (1 + _JITTER_SHARE * self._jitter())
        self.not_before = max(self.not_before, self._clock() + jittered)

    def answered(self, allowance: Allowance | None, *, sent_at: float) -> None:
        """Records the rate-limit headers of an answer that is no refusal."""
        if allowance is not None or not self.headers.is_silent:
            self.headers.answered(allowance, sent_at=sent_at)

    # --- closed: everything is refused ------------------------------------------------------

    def _close(self, retry_after_seconds: float | None) -> None:
        """Pauses and keeps the rate, as a few odd numbers may be the cause; next time, cuts it."""
        now = self._clock()
        is_same = now < self.not_before  # what was under way opened it and closes it once more
        is_soon = (
            self._sent - self._reopened <= _SOON_SENDS or now - self._reopened_at <= _SOON_SECONDS
        )
        is_again = not is_same and (is_soon or self._is_above_level())
        last, rate = self._epoch, self.rate()  # before the pause, which closing adds to the epoch
        self.close(retry_after_seconds)
        self._trials.cancel()
        if is_again:
            self._before_cut = None
            has_instant = retry_after_seconds is not None
            self._cut(last, rate, self._streak.since, self.not_before, has_instant=has_instant)

    def _wait(self, retry_after_seconds: float | None, *, is_probe: bool) -> None:
        """Pauses as long as the server asks, else a little longer after each refusal."""
        longest = self._pacing.max_retry_after_seconds
        if retry_after_seconds is not None and retry_after_seconds > longest:
            self.pause(_BEYOND_THE_CAP_SECONDS)  # others are tried, one by one, before it counts
        elif retry_after_seconds:
            self.pause(retry_after_seconds)
        else:
            self.pause(self._pause_seconds)
            if is_probe:
                self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        if self._epoch is not None:  # a level recovers only once something is asked again
            later = max(self._epoch.resumes_at, self.not_before)
            self._epoch = self._epoch._replace(resumes_at=later)

    def _reopen(self) -> None:
        now = self._clock()
        self.is_closed = False
        self._reopened, self._reopened_at = self._sent, now
        self._lately.restart(self._sent)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._test.restart(self._sent)
        if self._epoch is not None:
            # The pause has emptied the server's window, so a probe right after it would show too
            # high a limit.
            epoch = self._epoch
            probes_at = max(epoch.probes_at, now + epoch.hold_seconds)
            self._epoch = epoch._replace(resumes_at=now, probes_at=probes_at)

    # --- too high: part of it is refused ----------------------------------------------------

    def _judge(self, place: int) -> None:
        """Applies what a trial, or the second look after it, has shown by attempt ``place``."""
        if (limit := self._trials.second_look(place)) is not None:
            self._test.tolerate(0.0)
            self.hold(limit)
        if (result := self._trials.result(place)) is None:
            return
        if (limit := result.limit_per_second) is not None:
            self.hold(limit, max(HOLD_SECONDS, self._epoch.hold_seconds if self._epoch else 0.0))
            return
        _log.warning(
            "%s: about %.1f %% of requests are refused whatever the rate; only these wait",
            self._whose,
            100 * result.share,
        )
        self._test.tolerate(result.share)
        self._test.restart(self._sent)
        self._recent.clear()
        self._epoch = self._before_cut  # the cut before the trial was for nothing, too

    def _usual_share(self, place: int) -> float:
        """Share of attempts refused whatever the rate, without the refusals at the end."""
        before = self._lately.refusals - self._streak.count
        counted = before / max(_ENOUGH_SENDS, self._lately.sends(place))
        return max(self._test.tolerated, counted)

    def _is_above_level(self) -> bool:
        """Whether the rate is above a level that was held, to probe whether more passes."""
        return self._epoch is not None and self.rate() > self._epoch.level

    # --- the level --------------------------------------------------------------------------

    def _held(self, now: float, ceiling: float) -> float:
        rate = ceiling * ramp(now - self._began, self._pacing.ramp_up_seconds)
        if self._epoch is not None:
            rate = min(rate, recovered(self._epoch, now))
        return min(rate, self._trials.most_per_second)

    def _set(self, epoch: Epoch, now: float) -> None:
        # A level that was held until its probe was no chance find: it counts among the best.
        if self._epoch is not None and now >= self._epoch.probes_at:
            self._seen.held(self._epoch.level, now)
        self._epoch = epoch
        self._trials.forget()
        self._test.restart(self._sent)
        self._recent.clear()

    def _cut(
        self,
        last: Epoch | None,
        rate: float,
        sent_at: float,
        not_before: float,
        *,
        has_instant: bool,
    ) -> None:
        """Sets the level to what passed when an attempt sent then was refused at that rate."""
        now, seen = self._clock(), self._seen
        refusal = Refusal(
            at=now,
            not_before=not_before,
            rate=rate,
            seen=seen.delivered(sent_at, rate, self._lately.share(self._sent)),
            average=seen.average(last, now),
            ceiling=self.ceiling(),
            best=seen.best_level(now),
            has_instant=has_instant,
            has_closed=self._closed > 0,
        )
        self._set(next_epoch(last, refusal), now)
