"""Models as the product makes them, trained on one problem and examined on later compounds."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl

from agent.clock import monotonic_s
from agent.features.cache import FeatureCache
from agent.features.rows import Features
from agent.features.spec import default_spec
from agent.features.views import default_views
from agent.keeper.evaluation.gather import Gathered
from agent.learning import metrics
from agent.learning.comparing import Figure
from agent.learning.ensemble import Answer, predict_ensemble
from agent.learning.learner import Choice, Judged, Learner
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.tasks import TaskSpec
from agent.learning.train import Settings
from agent.processes import cores

Doubles = npt.NDArray[np.float64]
_KINDS = 2  # of members, by their widths


@dataclass(frozen=True, slots=True)
class Recipes:
    """How models are made; the product's defaults, or tiny ones that only tell whether it runs.

    Attributes:
        local, federated: The recipes.
        processes: How many members are trained side by side.
    """

    local: LocalRecipe
    federated: FederatedRecipe
    processes: int

    @classmethod
    def of(cls, quick: bool) -> "Recipes":
        """Returns the product's recipes, or the tiny ones."""
        views = default_views()
        if not quick:
            return cls(
                LocalRecipe(views=views.alone), FederatedRecipe(views=views.together), cores()
            )
        local = LocalRecipe(members=2, hidden=(16,), hidden_too=(8,), epochs=2, views=views.alone)
        federated = FederatedRecipe(
            rounds=2, local_rows=0, hidden=(16,), finetune_epochs=2, members=1, views=views.together
        )
        return cls(local, federated, 1)  # a process takes longer to start than to train these

    def learner(self, seed: int, *, together: bool = False) -> Learner:
        """Returns who learns with them; seeds are far apart, since members count upwards."""
        settings = Settings(epochs=1, seed=100 * seed, threads=1, device="cpu")
        recipe = self.federated if together else None
        return Learner(default_spec(), self.local, recipe, settings, self.processes)


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """Measurements that a model is judged on; a qualified one counts as the number it states.

    Attributes:
        tasks: The columns.
        compounds: Keys, one a feature row.
        features: What is asked.
        rows, cols: int64 (m,), compound and task of each measurement.
        values: float64 (m,).
    """

    tasks: tuple[TaskSpec, ...]
    compounds: tuple[str, ...]
    features: Features
    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    values: Doubles

    @classmethod
    def of(cls, test: pl.DataFrame, tasks: Sequence[TaskSpec], cache: FeatureCache) -> "Exam":
        """Makes an exam of measurements, as `agent.keeper.evaluation.read.Measured` has them."""
        col = {task.name: place for place, task in enumerate(tasks)}
        asked = test.filter(pl.col("task").is_in(list(col)))
        structures = asked.group_by("compound_key").agg(pl.col("smiles").min()).sort("compound_key")
        keys = structures["compound_key"].to_list()
        row = {key: place for place, key in enumerate(keys)}
        return cls(
            tuple(tasks),
            tuple(keys),
            cache.get_or_compute(keys, structures["smiles"].to_list()),
            np.array([row[key] for key in asked["compound_key"]], dtype=np.int64),
            np.array([col[task] for task in asked["task"]], dtype=np.int64),
            asked["value"].to_numpy().astype(np.float64),
        )

    def said(self, answer: npt.NDArray[np.float32]) -> Doubles:
        """Returns what an answer (compounds, tasks) says of each measurement, (m,)."""
        return answer[self.rows, self.cols].astype(np.float64)

    def mean_rae(self, said: Doubles) -> Figure:
        """Returns MA-RAE as a figure over measurements: the plain mean over the tasks."""
        columns, counts = np.unique(self.cols, return_counts=True)
        columns = columns[counts > 1]  # of a single measurement there is no relative error

        def figure(taken: npt.NDArray[np.int64]) -> float:
            of = [taken[self.cols[taken] == column] for column in columns]
            return float(np.mean([metrics.rae(said[own], self.values[own]) for own in of]))

        return figure

    def of_task(self, column: int) -> npt.NDArray[np.int64]:
        """Returns which measurements are of one task."""
        return np.flatnonzero(self.cols == column)

    @property
    def judged(self) -> tuple[int, ...]:
        """The columns that have a measurement."""
        return tuple(int(column) for column in np.unique(self.cols))


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a model said, how it was chosen, and how long it took to make.

    Attributes:
        answer: Of the asked rows.
        judged: What the validation compounds said; None where none were kept back.
        seconds: Of choosing and training, together.
    """

    answer: Answer
    judged: Judged | None
    seconds: float


def train(
    learner: Learner,
    own: Gathered,
    others: Sequence[Gathered],
    validation: Collection[str],
    asked: Features,
) -> Trained:
    """Chooses each head's way by the validation compounds, trains on all, and asks.

    Args:
        learner: How.
        own: Whose model it is.
        others: The other silos; while it is chosen they do without the validation compounds, too.
        validation: Keys; none trains without choosing, which only a model made alone can.
        asked: What to predict.

    Raises:
        Refused: As `Learner`.
        Stop: As `Learner`.
    """
    started_s = monotonic_s()
    judged = None
    if validation:
        kept_back = own.labels_of(validation)
        friends = [one.silo.without(one.labels_of(validation)) for one in others]
        silo = own.silo.without(kept_back)
        judged = learner.judge(silo, friends, own.silo.labels.select(kept_back))
    choices = judged.choices if judged else _personal(own)
    ensemble = learner.learn(own.silo, [one.silo for one in others], choices)
    seconds = monotonic_s() - started_s
    answer = predict_ensemble(ensemble, asked, own.silo.tasks, learner.settings.device)
    return Trained(answer, judged, seconds)


def one_member(recipes: Recipes, own: Gathered, seed: int) -> float:
    """Returns the processor's seconds that a network takes on one core: the mean of two.

    Members come in two widths and several views.
    """
    alone = replace(recipes, local=replace(recipes.local, members=_KINDS), processes=1)
    started_s = time.process_time()  # others may use the machine
    alone.learner(seed).learn(own.silo, [], _personal(own))
    return (time.process_time() - started_s) / _KINDS


def _personal(own: Gathered) -> tuple[Choice, ...]:
    alone: Choice = "personal"
    return (alone,) * len(own.silo.tasks)
