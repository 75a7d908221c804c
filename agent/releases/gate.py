"""The gate: is the candidate good enough on this silo's own newest measurements? Pure.

Candidate and active model answered the same measurements, so their errors are compared in pairs: a
head is worse only if it is so beyond chance, by the interval of a paired bootstrap, and by more
than the site tolerates.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from agent.wire.verdict import HeadOutcome

Outcome = HeadOutcome

_NEVER: frozenset[Outcome] = frozenset({"missing", "not_finite"})
_TINY = 1e-9  # an error of 0 has no relative change


@dataclass(frozen=True, slots=True)
class Pair:
    """What two models reached on the same measurements of one head; errors, smaller is better.

    Attributes:
        metric: `MAE` on the transformed scale, or `1-AUROC`.
        candidate, active: Their errors; None where one is not defined, such as for a single class.
        n: How many measurements.
        low, high: The interval of candidate - active by paired resampling of the measurements; NaN
            where there is none.
        since: ISO date of the oldest of these measurements; empty where they have no dates.
    """

    metric: str
    candidate: float | None
    active: float | None
    n: int
    low: float = math.nan
    high: float = math.nan
    since: str = ""


@dataclass(frozen=True, slots=True)
class GateRules:
    """When a head counts, and how much worse it may become.

    Attributes:
        max_worsening: Relative to the active model's figure; 0.25 allows an error of 0.50 to
            become 0.625.
        min_n: A head with fewer measurements is too noisy to refuse a release for.
        confidence: Of the interval that a worsening must clear to count as more than chance.
        heads_may_worsen: So many heads may be worse by more than the limit all the same.
        window_days: The measurements of so many days before a head's newest are compared; more
            where these are fewer than `min_n`.
    """

    max_worsening: float = 0.25
    min_n: int = 20
    confidence: float = 0.95
    heads_may_worsen: int = 0
    window_days: int = 365


@dataclass(frozen=True, slots=True)
class HeadVerdict:
    """What the gate found for one head.

    Attributes:
        outcome: `missing` and `not_finite` refuse the release, and so does `worse` where more
            heads are than may be.
        worsening: Relative to the active model, negative where the candidate is better; None
            where nothing was compared.
        sentence: The finding for people; it names the head.
    """

    outcome: Outcome
    worsening: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, and why.

    Attributes:
        taken: Whether the candidate may become active.
        reasons: The sentences of the heads that refused it; empty when it is taken.
        per_head: Every head's finding, by task.
    """

    taken: bool
    reasons: tuple[str, ...]
    per_head: Mapping[str, HeadVerdict]


def decide(
    candidate: Mapping[str, float | None],
    active: Collection[str],
    pairs: Mapping[str, Pair],
    rules: GateRules,
) -> Verdict:
    """Compares a candidate with the active model, head by head.

    Args:
        candidate: Its errors by task; None where one is not defined.
        active: The tasks that the active model was scored on; empty for the first release, which
            is taken if all of its errors are finite.
        pairs: What both reached on the same measurements, by task.
        rules: The site's limits.
    """
    per_head = {
        task: _judge(task, candidate, task in active, pairs.get(task), rules)
        for task in sorted({*candidate, *active})
    }
    worse = [head.sentence for head in per_head.values() if head.outcome == "worse"]
    reasons = [head.sentence for head in per_head.values() if head.outcome in _NEVER]
    if len(worse) > rules.heads_may_worsen:
        reasons += worse
    return Verdict(not reasons, tuple(reasons), per_head)


def _judge(
    task: str,
    candidate: Mapping[str, float | None],
    known: bool,
    pair: Pair | None,
    rules: GateRules,
) -> HeadVerdict:
    if task not in candidate:
        return HeadVerdict("missing", None, f"{task}: the candidate lacks this head.")
    error = candidate[task]
    if error is not None and not math.isfinite(error):
        return HeadVerdict("not_finite", None, f"{task}: its error is not a finite number.")
    if not known:
        return HeadVerdict("new", None, f"{task}: there is nothing to compare it with yet.")
    if pair is None or pair.candidate is None or pair.active is None:
        sentence = f"{task}: there are no two figures to compare."
        return HeadVerdict("not_judged", None, sentence)
    if pair.n < rules.min_n:
        sentence = f"{task}: {pair.n} measurements are too few to judge (under {rules.min_n})."
        return HeadVerdict("not_judged", None, sentence)
    return _compare(task, pair, pair.candidate, pair.active, rules)


def _compare(
    task: str, pair: Pair, candidate: float, active: float, rules: GateRules
) -> HeadVerdict:
    base = max(active, _TINY)
    worsening = (candidate - active) / base
    since = f" since {pair.since}" if pair.since else ""
    figures = (
        f"{task}: {pair.metric} {active:.3g} -> {candidate:.3g} on {pair.n} measurements{since}"
    )
    if worsening <= 0:
        return HeadVerdict("better", worsening, f"{figures}.")
    if not pair.low > 0:  # a NaN is no evidence either
        return HeadVerdict("within_chance", worsening, f"{figures}, worse within chance.")
    if worsening <= rules.max_worsening:
        return HeadVerdict("tolerated", worsening, f"{figures}, worse within the limit.")
    span = f"{rules.confidence:.0%} interval {pair.low / base:.0%} to {pair.high / base:.0%}"
    much = f"worse by {worsening:.0%} ({span}), the limit is {rules.max_worsening:.0%}"
    return HeadVerdict("worse", worsening, f"{figures}: {much}.")
