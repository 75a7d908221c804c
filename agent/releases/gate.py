"""The gate: is the candidate good enough on this silo's own newest measurements? Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["better", "tolerated", "worse", "new", "not_judged", "missing", "not_finite"]

_REFUSING: frozenset[Outcome] = frozenset({"worse", "missing", "not_finite"})
_TINY = 1e-9  # an error of 0 has no relative change


@dataclass(frozen=True, slots=True)
class Score:
    """What one model reached on one head's held-out measurements.

    Attributes:
        metric: Its name, e.g. `MAE` (transformed scale) or `AUROC`.
        value: The figure; None where it is not defined, such as the AUROC of a single class.
        n: How many measurements it was computed from.
        higher_is_better: True for `AUROC`, False for an error.
    """

    metric: str
    value: float | None
    n: int
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class GateRules:
    """When a head counts, and how much worse it may become.

    Attributes:
        max_worsening: Relative to the active model's figure; 0.25 allows an error of 0.50 to
            become 0.625.
        min_n: A head with fewer measurements is too noisy to refuse a release for.
    """

    max_worsening: float = 0.25
    min_n: int = 20


@dataclass(frozen=True, slots=True)
class HeadVerdict:
    """What the gate found for one head.

    Attributes:
        outcome: `worse`, `missing` and `not_finite` refuse the release.
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
    candidate: Mapping[str, Score], active: Mapping[str, Score] | None, rules: GateRules
) -> Verdict:
    """Compares a candidate with the active model, head by head.

    Args:
        candidate: Scores by task.
        active: The active model's scores on the same measurements, or None for the first
            release, which is taken if all of its scores are finite.
        rules: The site's limits.
    """
    known = active or {}
    per_head = {
        task: _judge(task, candidate.get(task), known.get(task), rules)
        for task in sorted({*candidate, *known})
    }
    reasons = tuple(head.sentence for head in per_head.values() if head.outcome in _REFUSING)
    return Verdict(not reasons, reasons, per_head)


def _judge(task: str, new: Score | None, old: Score | None, rules: GateRules) -> HeadVerdict:
    if new is None:
        return HeadVerdict("missing", None, f"{task}: the candidate lacks this head.")
    if new.value is not None and not math.isfinite(new.value):
        return HeadVerdict("not_finite", None, f"{task}: its {new.metric} is not a finite number.")
    if old is None:
        return HeadVerdict("new", None, f"{task}: there is nothing to compare it with yet.")
    if new.n < rules.min_n:
        sentence = f"{task}: {new.n} measurements are too few to judge (under {rules.min_n})."
        return HeadVerdict("not_judged", None, sentence)
    return _compare(task, new, old, rules.max_worsening)


def _compare(task: str, new: Score, old: Score, limit: float) -> HeadVerdict:
    if new.value is None or old.value is None or not _alike(new, old):
        sentence = f"{task}: there are no two figures of {new.metric} to compare."
        return HeadVerdict("not_judged", None, sentence)
    change = old.value - new.value if new.higher_is_better else new.value - old.value
    worsening = change / max(abs(old.value), _TINY)
    figures = f"{task}: {new.metric} {old.value:.3g} -> {new.value:.3g} on {new.n} measurements"
    if worsening <= 0:
        return HeadVerdict("better", worsening, f"{figures}.")
    if worsening <= limit:
        return HeadVerdict("tolerated", worsening, f"{figures}, worse within the limit.")
    much = f"worse by {worsening:.0%}, the limit is {limit:.0%}"
    return HeadVerdict("worse", worsening, f"{figures}: {much}.")


def _alike(new: Score, old: Score) -> bool:
    return new.metric == old.metric and old.value is not None and math.isfinite(old.value)
