"""What the card says of a release that was just made."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.assays.endpoints import PRIVATE
from agent.clock import now, to_text
from agent.features.reference import reference_sha256
from agent.keeper.orders import ReleaseOrder, TaskScore
from agent.keeper.work.certainty import error_interval, renumbered
from agent.keeper.work.personal import AVERAGE, Personal
from agent.keeper.work.problem import Problem
from agent.learning.score import Score
from agent.learning.tasks import TaskSpec
from agent.releases.card import LAYOUT, Confidence, Cost, ModelCard, TaskCard, Window
from agent.wire.documents import Endpoint

_KB_PER_MB = 1024.0


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found out about a release that was just made.

    Attributes:
        scores: Of the model as it is served, on the held-out fold.
        personal: The model, and how each head was chosen.
        confidence: As `certainty.measure` returned it.
        bands: As `error_bands` returned them.
        seconds: What making it took so far.
    """

    scores: Mapping[str, Score]
    personal: Personal
    confidence: Mapping[str, Confidence]
    bands: Mapping[str, tuple[float, float]]
    seconds: float


def describe(
    order: ReleaseOrder, problem: Problem, endpoints: Mapping[str, Endpoint], found: Found
) -> ModelCard:
    """Returns the card.

    Args:
        order: Which release, under which plan.
        problem: What the personal model was fitted to.
        endpoints: By task, in the order of the graph's columns.
        found: All else.
    """
    local = {score.task: score for score in order.local_scores}
    counts, plan = problem.train_counts(), order.plan
    tasks = []
    for name, endpoint in endpoints.items():
        score = found.scores.get(name)
        made = _task_card(name, endpoint, counts.get(name, 0), score, local.get(name))
        compared = found.personal.compared.get(name)
        update = {
            "release_interval": found.bands.get(name),
            "ways": found.personal.ways[name],
            "n_compared": compared.n if compared else 0,
            "average_error": compared.errors[AVERAGE] if compared else None,
            "confidence": found.confidence.get(name),
        }
        tasks.append(made.model_copy(update=update))
    return ModelCard(
        release_id=order.release_id,
        version=order.manifest.version,
        created=order.manifest.created,
        plan_id=plan.plan_id,
        tasks=tuple(tasks),
        features=plan.features,
        network=plan.network,
        gated=to_text(now()),
        reference_sha256=reference_sha256(plan.features),
        layout=LAYOUT,
        recipe=plan.recipe,
        window=_window(problem),
        cost=Cost(seconds=found.seconds, peak_mb=_peak_mb()),
    )


def error_bands(
    predicted: npt.NDArray[np.float32], problem: Problem, tasks: Sequence[TaskSpec]
) -> dict[str, tuple[float, float]]:
    """Returns the bootstrap interval of each regression's error on the held-out fold.

    Args:
        predicted: float32 (n, tasks), for all rows of the problem.
        problem: With the labels.
        tasks: The columns.
    """
    labels = renumbered(problem.held_out, problem, tasks)
    found = {}
    for column, task in enumerate(tasks):
        band = error_interval(predicted, labels, column) if task.kind == "regression" else None
        if band is not None:
            found[task.name] = band
    return found


def _task_card(
    name: str, endpoint: Endpoint, n_train: int, score: Score | None, local: TaskScore | None
) -> TaskCard:
    return TaskCard(
        task=name,
        name=endpoint.name,
        kind=endpoint.kind,
        unit=endpoint.unit,
        transform=endpoint.transform,
        n_train=n_train,
        n_test=score.n if score else 0,
        metric=score.metric if score else "",
        error_local=local.value if local else None,
        error_release=score.value if score else None,
        private=name.startswith(PRIVATE),
    )


def _window(problem: Problem) -> Window:
    first, last = problem.window
    labels = len(problem.train) + len(problem.held_out)
    return Window(first=first, last=last, compounds=len(problem.features), labels=labels)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB
