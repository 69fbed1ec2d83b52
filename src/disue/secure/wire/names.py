"""Every way in which a message, an input or a round is refused, each with its own name.

A refusal costs the party its round, never its process. The position in `REFUSALS` is the code that an ABORT carries:
append, never reorder.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):
    """One sentence; `culprit` is the roster index of whom it blames, or None."""

    said: ClassVar[str] = "refused"
    what: tuple[object, ...]
    culprit: int | None = None

    def __init__(self, *what: object) -> None:
        super().__init__(self.said.format(*what))
        self.what = what

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def code(self) -> int:
        return REFUSALS.index(type(self)) + 1


class Blame(Refusal):
    """A refusal that points at one member of the roster."""

    def __init__(self, who: int | None = None, *what: object) -> None:
        super().__init__("an unknown party" if who is None else f"client {who}", *what)
        self.culprit = who


class Malformed(Refusal):
    said = "{}: not the one encoding that the format has for it"


class TooLarge(Refusal):
    said = "more bytes than the {} that this moment allows"


class WrongVersion(Refusal):
    said = "version {}: this reader knows version 1"


class BadSignature(Blame):
    said = "the signature of {} does not verify"


class UnknownSender(Refusal):
    said = "sender {} is not one of those who may send this"


class StaleRoster(Refusal):
    said = "a roster of version {}, and version {} has been seen"


class WrongRoster(Refusal):
    said = "the round names another roster than the one that is held"


class NotInRoster(Refusal):
    said = "the own key is not exactly once in the {}"


class Replay(Refusal):
    said = "round {} attempt {} is not after the last one that was answered"


class WrongRound(Refusal):
    said = "a message of round {} attempt {}, in round {} attempt {}"


class WrongContext(Refusal):
    said = "a {} that belongs to another context: another roster, cohort, model, group or pass"


class Duplicate(Blame):
    said = "a second, different message from {}"


class UnexpectedMessage(Refusal):
    said = "in state {}, a {} does not fit"


class PolicyTooWeak(Refusal):
    said = "{} is weaker than this party accepts"


class WrongLayout(Refusal):
    said = "the round is about another model layout"


class WrongStart(Refusal):
    said = "the start model received is not the one that the round lists"


class WrongReference(Refusal):
    said = "the reference vector received is not the one that the round names"


class OverflowPossible(Refusal):
    said = "section {}: a sum over the group could leave the ring"


class WeakKey(Blame):
    said = "a key of {} gives an all-zero secret"


class DuplicateKey(Blame):
    said = "a key of {} is used twice"


class LeaderMissing(Blame):
    said = "{} leads the sketch seed and did not deliver"


class SecondSum(Refusal):
    said = "sums over a second set of groups in one round"


class BoxTampered(Blame):
    said = "a sealed box from {} does not open"


class SeedDisagreement(Blame):
    said = "{} holds another sketch seed than most"


class SecondSketch(Blame):
    said = "a second, different sketch from {} under one seed"


class ZeroUpdate(Refusal):
    said = "the update is zero: it has no direction"


class NonFinite(Refusal):
    said = "a value is not finite"


class OutOfBound(Refusal):
    said = "section {}: a value beyond the declared bound"


class GroupTooSmall(Refusal):
    said = "a group of {} below the floor of {}"


class CellTooSmall(Refusal):
    said = "{} members of a group start from one model, below the floor of {}"


class LotBroken(Refusal):
    said = "a static sum over {} of a lot of {}"


class StaticBudgetSpent(Refusal):
    said = "{} static releases answered, and no more are allowed"


class TooFewAlive(Refusal):
    said = "{} alive where {} are needed"


class Equivocation(Refusal):
    said = "the alive set shown here is not what others know: {}"


class BothShares(Blame):
    said = "both kinds of share of {} in one pass"


class BadShares(Blame):
    said = "the shares of {} do not give its secret"


class ImplausibleSum(Refusal):
    said = "section {}: a sum that no inputs within the bounds can have"


class Timeout(Refusal):
    said = "stage {}: the answer did not come in time"


REFUSALS: tuple[type[Refusal], ...] = (
    Malformed, TooLarge, WrongVersion, BadSignature, UnknownSender, StaleRoster, WrongRoster, NotInRoster, Replay,
    WrongRound, WrongContext, Duplicate, UnexpectedMessage, PolicyTooWeak, WrongLayout, WrongStart, WrongReference,
    OverflowPossible, WeakKey, DuplicateKey, LeaderMissing, SecondSum, BoxTampered, SeedDisagreement, SecondSketch,
    ZeroUpdate, NonFinite, OutOfBound, GroupTooSmall, CellTooSmall, LotBroken, StaticBudgetSpent, TooFewAlive,
    Equivocation, BothShares, BadShares, ImplausibleSum, Timeout,
)  # fmt: skip


def told(code: int, culprit: int | None) -> Refusal:
    """The refusal that another party's ABORT names; its particulars do not travel."""
    kind = REFUSALS[code - 1]
    refusal = kind.__new__(kind)
    Exception.__init__(refusal, f"{kind.__name__}, as told by the other side")
    refusal.what = ()
    refusal.culprit = culprit
    return refusal
