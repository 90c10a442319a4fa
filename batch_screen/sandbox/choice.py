"""Which fault a request meets, if any: by its number, or by the profiles' shares."""

from __future__ import annotations

from batch_screen.sandbox.config import SandboxConfig
from batch_screen.sandbox.draws import draws
from batch_screen.sandbox.magic import MAGIC_NUMBERS, Fault, is_magic
from batch_screen.sandbox.profiles import FaultRule
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

        A rule for every lookup beats the magic numbers, and those beat rules for a share.
        """
        faults = [rule.fault for rule in self._for_all if _is_for(rule, question)]
        if not is_magic(question.number):
            faults += [rule.fault for rule in self._for_some if self._meets(rule, question)]
        elif question.number in MAGIC_NUMBERS:
            faults.append(MAGIC_NUMBERS[question.number])
        return next((fault for fault in faults if _applies(fault, times_asked)), None)

    def _meets(self, rule: FaultRule, question: Question) -> bool:
        if not _is_for(rule, question):
            return False
        lookup = f"{rule.fault.behaviour} {question.endpoint} {question.number}"
        return draws(self._seed, "faults", lookup)[0] < rule.share


def _is_for(rule: FaultRule, question: Question) -> bool:
    return rule.endpoint is None or rule.endpoint is question.endpoint


def _applies(fault: Fault, times_asked: int) -> bool:
    return times_asked == 1 or not fault.once
