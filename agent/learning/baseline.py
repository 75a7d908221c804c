"""LightGBM on the same features, one model a task: what a model has to beat to be worth its name.

An optional extra (`baseline`), used to judge and never to serve. Counts and descriptors as they
are; a qualified value counts as it stands, since trees have no one-sided loss here.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.errors import Stop
from agent.learning.tasks import Labels, Rows, TaskSpec

_SETTINGS = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 31,
    "colsample_bytree": 0.3,
    "subsample": 0.8,
    "subsample_freq": 1,
    "verbosity": -1,
    "deterministic": True,
    "force_col_wise": True,
    "max_bin": 63,  # counts have few values; 255 bins took three times as long
}


def fit_predict_trees(  # noqa: PLR0913 - what is learned, what is asked, and two switches
    features: Rows,
    labels: Labels,
    tasks: Sequence[TaskSpec],
    asked: Rows,
    columns: int,
    *,
    seed: int = 0,
    threads: int = 1,
) -> npt.NDArray[np.float32]:
    """Trains a model a task and lets it predict.

    Args:
        features: Rows to learn from.
        labels: Of them; `importance` counts.
        tasks: The labels' columns.
        asked: Rows to predict.
        columns: The hashed fingerprint's size.
        seed: Of the sampling of columns and rows.
        threads: CPU threads.

    Returns:
        float32 (len(asked), tasks), on the transformed scale; probabilities for classes.

    Raises:
        Stop: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise Stop("The baseline needs LightGBM; run `pip install onggi[baseline]`.") from error
    known, wanted = _matrix(features, columns), _matrix(asked, columns)
    said = np.zeros((len(asked), len(tasks)), np.float32)
    for column, task in enumerate(tasks):
        own = labels.select(labels.cols == column)
        objective = "binary" if task.kind == "classification" else "regression"
        settings = {**_SETTINGS, "objective": objective, "seed": seed, "num_threads": threads}
        rounds = int(str(settings.pop("n_estimators")))
        data = lightgbm.Dataset(known[own.rows], own.values, weight=own.importance)
        said[:, column] = lightgbm.train(settings, data, rounds).predict(wanted)
    return said


def _matrix(rows: Rows, columns: int) -> npt.NDArray[np.float32]:
    matrix = np.zeros((len(rows), columns + rows.dense.shape[1]), np.float32)
    matrix[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.indices] = rows.values
    matrix[:, columns:] = rows.dense
    return matrix
