"""The default model of a silo: alone, or with others, whichever serves each head better.

Every head answers with the local ensemble, with the federated model and its fine-tuned copies
(mostly the copies, or leaning on the model), or with the average of the local ensemble and the
copies: that average, unless another way erred clearly less on the newest compounds, which none of
them had seen. Then all of it is trained again on everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.learning.ensemble import Answer, Ensemble, Member, predict_ensemble
from agent.learning.federation import Silo
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.side_by_side import Alone, Job, Together, Told, train_members
from agent.learning.tasks import Labels
from agent.learning.train import Settings
from agent.wire.documents import FeatureSpec

Choice = Literal["personal", "averaged", "federated", "released"]

_WAYS: tuple[Choice, ...] = ("personal", "averaged", "federated", "released")
_SAFE: Choice = "averaged"
_CLEARLY = 0.03  # of the average's error: by so much another way must be better
_BORROWED = 100  # labels' worth of all tasks' evidence that a task's own is joined with


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the newest compounds said about the ways to answer.

    Attributes:
        choices: How each task answers.
        errors: Mean absolute error of each task by way; NaN without a label.
        answer: What the chosen way says of the validation rows, which its members have not seen.
        labels: Theirs; `rows` count in `answer`.
    """

    choices: tuple[Choice, ...]
    errors: dict[Choice, npt.NDArray[np.float64]]
    answer: Answer
    labels: Labels


@dataclass(frozen=True, slots=True, eq=False)
class Learner:
    """How to make a silo's model.

    Attributes:
        features: What the rows mean.
        local: Of the ensemble that the silo makes alone.
        federated: Of the rounds with others; None learns alone.
        settings: Seed, threads of each process, and device.
        processes: How many may train side by side.
        told: Told of every step.
    """

    features: FeatureSpec
    local: LocalRecipe
    federated: FederatedRecipe | None
    settings: Settings
    processes: int = 1
    told: Told = lambda _stage, _done, _of: None

    def learn(self, own: Silo, others: Sequence[Silo], choices: Sequence[Choice]) -> Ensemble:
        """Trains on all labels of all silos.

        Args:
            own: Whose model it is.
            others: The other silos; empty learns alone, whatever the recipe.
            choices: How each of the own tasks answers.

        Raises:
            Refused: As `learning.train.fit`.
            Stop: As `learning.train.fit`.
        """
        recipe = self.federated
        if recipe is None or not others:
            alone, _ = self._train(own, [], alone=True, together=False)
            choices = ["personal" for _ in own.tasks]
            return _joined(alone, [], choices, FederatedRecipe())
        wanted = _joining(choices, recipe)
        alone, together = self._train(
            own, others, alone=bool(wanted.min() < 1), together=bool(wanted.max() > 0)
        )
        return _joined(alone, together, choices, recipe)

    def judge(self, own: Silo, others: Sequence[Silo], validation: Labels) -> Judged:
        """Chooses each task's way by compounds that are kept back.

        Args:
            own: The silo without the labels of `validation`.
            others: The other silos, without its compounds.
            validation: The newest labels; `rows` count in `own.features`.

        Raises:
            Refused: As `learning.train.fit`.
            Stop: As `learning.train.fit`.
        """
        recipe, tasks = self.federated, own.tasks
        rows, place = np.unique(validation.rows, return_inverse=True)
        asked, labels = own.features.take(rows), replace(validation, rows=place)
        alone, together = self._train(own, others, alone=True, together=bool(recipe and others))
        said = {
            way: predict_ensemble(
                _joined(alone, together, (way,) * len(tasks), recipe or FederatedRecipe()),
                *(asked, tasks, self.settings.device),
            )
            for way in _WAYS
            if together or way == "personal"
        }
        errors = {way: _errors(answer.mean, labels, len(tasks)) for way, answer in said.items()}
        counts = np.bincount(labels.cols, minlength=len(tasks))
        choices = _choices(errors, counts)
        return Judged(choices, errors, _chosen(said, choices), labels)

    def _train(
        self, own: Silo, others: Sequence[Silo], *, alone: bool, together: bool
    ) -> tuple[list[Member], list[Member]]:
        """Returns the local ensemble, and the federated model with its fine-tuned copies."""
        jobs: list[Job] = []
        if self.federated is not None and together:
            silos = (own, *others)
            jobs.append(Together(self.features, silos, self.federated, self.settings))
        shared = len(jobs)
        jobs += [
            Alone(self.features, own, self.local, self.settings, number)
            for number in range(self.local.members if alone else 0)
        ]
        done = train_members(jobs, self.processes, self.told)
        return [one for job in done[shared:] for one in job], [
            one for job in done[:shared] for one in job
        ]


def _joined(
    alone: Sequence[Member],
    together: Sequence[Member],
    choices: Sequence[Choice],
    recipe: FederatedRecipe,
) -> Ensemble:
    """Puts the members side by side, each counting for a task as it was chosen."""
    wanted = _joining(choices, recipe)
    leaning = np.array([choice == "released" for choice in choices])
    tuned = min(recipe.copies, len(together))
    # Without a copy the federated model answers for all of them.
    share = np.where(leaning, recipe.released_share, recipe.share) if tuned else 0 * wanted
    blocks = [
        _shares(len(alone), 1 - wanted),
        _shares(len(together) - tuned, wanted * (1 - share)),
        _shares(tuned, wanted * share),
    ]
    return Ensemble((*alone, *together), np.concatenate(blocks).astype(np.float32))


def _joining(choices: Sequence[Choice], recipe: FederatedRecipe) -> npt.NDArray[np.float64]:
    """Returns how much of each task's answer others have a part in, float64 (tasks,)."""
    parts = {"personal": 0.0, "averaged": recipe.averaged_share, "federated": 1.0, "released": 1.0}
    return np.array([parts[choice] for choice in choices])


def _shares(members: int, counted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Divides what members count for each task among them, float64 (members, tasks)."""
    return np.tile(counted / max(members, 1), (members, 1))


def _errors(mean: npt.NDArray[np.float32], labels: Labels, tasks: int) -> npt.NDArray[np.float64]:
    off = np.abs(mean[labels.rows, labels.cols].astype(np.float64) - labels.values)
    counts = np.bincount(labels.cols, minlength=tasks)
    found = np.full(tasks, np.nan)
    np.divide(np.bincount(labels.cols, off, tasks), counts, out=found, where=counts > 0)
    return found


def _choices(
    errors: dict[Choice, npt.NDArray[np.float64]], counts: npt.NDArray[np.int64]
) -> tuple[Choice, ...]:
    """Chooses each task's way by its own labels, joined with what all tasks say.

    One task's window is noisy, and what helps one mostly helps the next: the ratio of a way's error
    to the average's is shrunk towards that over all labels, and that towards 1.
    """
    if _SAFE not in errors:
        return (next(iter(errors)),) * len(counts)
    safe = np.where(counts > 0, errors[_SAFE], 1.0)
    shrunk = {}
    for way, found in errors.items():
        ratio = np.where(counts > 0, found / np.where(safe > 0, safe, 1.0), 1.0)
        common = ((ratio * counts).sum() + _BORROWED) / (counts.sum() + _BORROWED)
        shrunk[way] = (ratio * counts + common * _BORROWED) / (counts + _BORROWED)
    return tuple(
        _best({way: float(found[column]) for way, found in shrunk.items()})
        for column in range(len(counts))
    )


def _best(errors: dict[Choice, float]) -> Choice:
    best = min(errors, key=lambda way: errors[way])
    return best if errors[best] < (1 - _CLEARLY) * errors[_SAFE] else _SAFE


def _chosen(said: dict[Choice, Answer], choices: Sequence[Choice]) -> Answer:
    columns = range(len(choices))
    return Answer(
        np.stack([said[choices[c]].mean[:, c] for c in columns], axis=1),
        np.stack([said[choices[c]].spread[:, c] for c in columns], axis=1),
    )
