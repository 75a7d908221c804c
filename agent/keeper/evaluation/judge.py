"""One split: train without its compounds, predict them, and say how good that was."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.clock import monotonic_s
from agent.errors import Refused
from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.features.views import ViewSpec
from agent.keeper.evaluation import split
from agent.keeper.evaluation.gather import Gathered, gathered, without
from agent.keeper.evaluation.order import Judgement
from agent.keeper.evaluation.report import Predicted, Training, judgement
from agent.keeper.evaluation.sureness import ends, similarity, window
from agent.learning.baseline import fit_predict_trees
from agent.learning.ensemble import predict_ensemble
from agent.learning.federation import Silo
from agent.learning.learner import Judged, Learner
from agent.learning.tasks import seen

VALIDATION_SHARE = 0.15
"""Of the training compounds, the newest: to choose each head's way and to calibrate intervals."""

Report = Callable[[str, int, int], None]
Table = tuple[str, pl.DataFrame, tuple[str, ...]]
"""A silo's name, its measurements and its tasks."""


@dataclass(frozen=True, slots=True)
class Means:
    """What every split is judged with.

    Attributes:
        learner: Makes the models.
        cache: Of features.
        spec: What the features mean.
        baseline: Whether to train LightGBM, too.
        report: Told of every step.
    """

    learner: Learner
    cache: FeatureCache
    spec: ViewSpec
    baseline: bool
    report: Report


def judge(
    own: Table, test: pl.DataFrame, others: Sequence[Table], means: Means, name: split.Name
) -> Judgement:
    """Trains on what is not in the test and judges on the test.

    Args:
        own: The silo itself; measurements of test compounds are left out of it.
        test: Measurements to judge on.
        others: The other silos; theirs are left out, too.
        means: How.
        name: The split's.

    Raises:
        Refused: `no_labels`, or as `Learner`.
        Stop: As `Learner`, or LightGBM is wanted and missing.
    """
    held = frozenset(test["compound_key"])
    mine = _gathered(own, held, means)
    if mine is None:
        raise Refused("no_labels", "No endpoint has enough labels to train on; give more data.")
    validation = split.held_back(without(own[1], held), VALIDATION_SHARE)
    kept_back = mine.labels_of(validation)
    started_s = monotonic_s()
    judged = _chosen(mine, others, held | validation, kept_back, means)
    friends = [found.silo for found in (_gathered(one, held, means) for one in others) if found]
    ensemble = means.learner.learn(mine.silo, friends, judged.choices)
    seconds = monotonic_s() - started_s
    keys = sorted(held)
    asked = _features(test, keys, means)
    answer = predict_ensemble(ensemble, asked, mine.silo.tasks, means.learner.settings.device)
    # Neighbours and trees go by what a plan's spec counts.
    wide = means.spec.wide
    plain = mine.silo.seeing(wide)
    trees = _trees(plain, seen(asked, wide), means) if means.baseline else None
    near = similarity(plain, seen(asked, wide))
    low, high = ends(window(plain, kept_back, judged), answer, near)
    predicted = Predicted(tuple(keys), mine.silo.tasks, answer.mean, low, high, trees)
    training = Training(mine.silo.labels, judged, seconds)
    return judgement(name, own[2], test, predicted, training)


def _gathered(table: Table, left_out: Collection[str], means: Means) -> Gathered | None:
    name, frame, tasks = table
    return gathered(without(frame, left_out), tasks, name, means.cache)


def _chosen(
    mine: Gathered,
    others: Sequence[Table],
    left_out: frozenset[str],
    kept_back: npt.NDArray[np.bool_],
    means: Means,
) -> Judged:
    """Lets the newest compounds choose; no silo trains on them meanwhile."""
    friends = [_gathered(one, left_out, means) for one in others]
    return means.learner.judge(
        mine.silo.without(kept_back),
        [found.silo for found in friends if found],
        mine.silo.labels.select(kept_back),
    )


def _features(test: pl.DataFrame, keys: Sequence[str], means: Means) -> Features:
    smiles = dict(test.group_by("compound_key").agg(pl.col("smiles").min()).iter_rows())
    return means.cache.get_or_compute(keys, [smiles[key] for key in keys])


def _trees(own: Silo, asked: Features, means: Means) -> npt.NDArray[np.float32]:
    learner = means.learner
    labels = own.weighted(learner.local.recency_rate)
    means.report("training the baseline", 0, 1)
    return fit_predict_trees(
        *(own.features, labels, own.tasks, asked, means.spec.plain.hash_size),
        seed=learner.settings.seed,
        threads=learner.processes,
    )
