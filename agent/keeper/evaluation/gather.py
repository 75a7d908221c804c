"""From measurements to what the learner takes: compounds with features, labels, tasks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from agent.assays.merge import decided, labels
from agent.features.cache import FeatureCache
from agent.learning.federation import Silo
from agent.learning.recency import ages
from agent.learning.tasks import Kind, Labels, TaskSpec

FEWEST_LABELS = 20
"""A task of fewer training labels has no head."""
_LEAST_SPREAD = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """A silo's problem, and which compound each feature row is.

    Attributes:
        silo: Features, tasks, labels and their ages.
        compounds: Keys, one a feature row, sorted.
    """

    silo: Silo
    compounds: tuple[str, ...]

    def labels_of(self, keys: Collection[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Marks the labels of some compounds, bool (labels,)."""
        chosen = np.array([key in keys for key in self.compounds], dtype=np.bool_)
        marked: np.ndarray[tuple[int], np.dtype[np.bool_]] = chosen[self.silo.labels.rows]
        return marked


def without(frame: pl.DataFrame, keys: Collection[str]) -> pl.DataFrame:
    """Returns the measurements of all other compounds."""
    return frame.filter(~pl.col("compound_key").is_in(list(keys)))


def gathered(
    frame: pl.DataFrame, tasks: Sequence[str], name: str, cache: FeatureCache
) -> Gathered | None:
    """Joins replicates and looks up features.

    Args:
        frame: As `read.Measured`.
        tasks: Their wanted order.
        name: The silo's.
        cache: Of features.

    Returns:
        None where no task has enough labels.
    """
    kept = decided(labels(frame))
    counts = dict(kept.group_by("task").len().iter_rows())
    wanted = [task for task in tasks if counts.get(task, 0) >= FEWEST_LABELS]
    kept = kept.filter(pl.col("task").is_in(wanted))
    if not wanted:
        return None
    compounds = (
        frame.join(kept.select("compound_key").unique(), on="compound_key", how="semi")
        .group_by("compound_key")
        .agg(pl.col("smiles").min(), pl.col("date").max())
        .sort("compound_key")
    )
    keys = tuple(compounds["compound_key"])
    features = cache.get_or_compute(keys, tuple(compounds["smiles"]))
    found = _labels(kept, keys, wanted)
    specs = tuple(_spec(task, column, kept, found) for column, task in enumerate(wanted))
    dates = compounds["date"].to_list()
    age = ages(dates)[found.rows] if any(dates) else None
    return Gathered(Silo(name, features, specs, found, age), keys)


def _labels(kept: pl.DataFrame, keys: Sequence[str], tasks: Sequence[str]) -> Labels:
    row = {key: place for place, key in enumerate(keys)}
    col = {task: place for place, task in enumerate(tasks)}
    return Labels(
        rows=np.array([row[key] for key in kept["compound_key"]], dtype=np.int64),
        cols=np.array([col[task] for task in kept["task"]], dtype=np.int64),
        values=kept["value"].to_numpy().astype(np.float32),
        qualifiers=kept["sign"].to_numpy().astype(np.int8),
    )


def _spec(task: str, column: int, kept: pl.DataFrame, found: Labels) -> TaskSpec:
    kind: Kind = kept.filter(pl.col("task") == task)["kind"][0]
    values = found.values[found.cols == column].astype(np.float64)
    if kind == "classification":
        return TaskSpec(task, kind)
    # Heads are a silo's own here, so its own labels may scale them.
    return TaskSpec(task, kind, float(values.mean()), max(float(values.std()), _LEAST_SPREAD))
