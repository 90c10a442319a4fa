"""Which fault a request meets, if any: by its number, or by the profiles' shares."""

from __future__ import annotations

from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.draws import draws
from batch_screen.sandbox.magic import HARMLESS, MAGIC_NUMBERS, Fault, is_magic
from batch_screen.sandbox.profiles import FaultRule, Of
from batch_screen.sandbox.questions import Question


class Choice:
    """Chooses for one sandbox; the same lookup meets the same faults every time."""

    def __init__(self, config: SandboxConfig) -> None:
        rules = config.all_rules()
        self._seed = config.seed
        self._for_all = tuple(rule for rule in rules if rule.share >= 1)
        self._for_some = tuple(rule for rule in rules if rule.share < 1)

    def fault(self, question: Question, times_asked: int) -> Fault | None:
        """``times_asked`` counts this request.

        A rule for every lookup beats the magic numbers, and those beat rules for a share;
        but what is harmless gives way, so that not all is well where all is compressed.
        """
        faults = [rule.fault for rule in self._for_all if _is_for(rule, question)]
        if not is_magic(question.number):
            some = (rule for rule in self._for_some if self._meets(rule, question, times_asked))
            faults += [rule.fault for rule in some]
        elif question.number in MAGIC_NUMBERS:
            faults.append(MAGIC_NUMBERS[question.number])
        met = (fault for fault in faults if _applies(fault, times_asked))
        return min(met, key=lambda fault: fault.behaviour in HARMLESS, default=None)

    def _meets(self, rule: FaultRule, question: Question, times_asked: int) -> bool:
        if not _is_for(rule, question):
            return False
        match rule.of:
            case Of.NUMBERS:
                drawn = question.number
            case Of.LOOKUPS:
                drawn = f"{question.endpoint} {question.number}"
            case Of.REQUESTS:
                drawn = f"{question.endpoint} {question.number} {times_asked}"
        return draws(self._seed, "faults", f"{rule.fault.behaviour} {drawn}")[0] < rule.share


def _is_for(rule: FaultRule, question: Question) -> bool:
    return rule.endpoint is None or rule.endpoint is question.endpoint


def _applies(fault: Fault, times_asked: int) -> bool:
    return times_asked == 1 or not fault.once
