"""The default model of a silo: alone, or with others, whichever serves each head better.

Every head answers with the local ensemble, with the federated model and its fine-tuned copies, or
with the average of both: what erred least on the newest compounds that none of them had seen. Then
all of it is trained again on everything.
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

Choice = Literal["personal", "federated", "averaged"]

_CHOICES: dict[Choice, float] = {"personal": 0.0, "averaged": 0.5, "federated": 1.0}
_CLEARLY = 0.03  # of the average's error: by so much another way must be better
_FEWEST = 30  # labels to choose by; with fewer the average is the safe answer


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
            return Ensemble(tuple(alone), _shares([(len(alone), 1.0)], len(own.tasks)))
        wanted = np.array([_CHOICES[choice] for choice in choices], dtype=np.float32)
        alone, together = self._train(
            own, others, alone=bool((wanted < 1).any()), together=bool((wanted > 0).any())
        )
        return _joined(alone, together, wanted, recipe.share)

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
        ways: tuple[Choice, ...] = tuple(_CHOICES) if together else ("personal",)
        said = {
            way: predict_ensemble(
                _joined(
                    alone, together, _everywhere(way, len(tasks)), recipe.share if recipe else 0
                ),
                asked,
                tasks,
                self.settings.device,
            )
            for way in ways
        }
        errors = {way: _errors(answer.mean, labels, len(tasks)) for way, answer in said.items()}
        counts = np.bincount(labels.cols, minlength=len(tasks))
        choices = tuple(_best(errors, counts, column) for column in range(len(tasks)))
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


def _everywhere(way: Choice, tasks: int) -> npt.NDArray[np.float32]:
    return np.full(tasks, _CHOICES[way], dtype=np.float32)


def _joined(
    alone: Sequence[Member],
    together: Sequence[Member],
    wanted: npt.NDArray[np.float32],
    share: float,
) -> Ensemble:
    """Puts the members side by side; `wanted` is what the federated ones count for each task."""
    tuned = max(len(together) - 1, 0)
    # Without a copy the federated model answers for all of them.
    share = share if tuned else 0.0
    blocks = [_shares([(len(alone), 1.0)], len(wanted)) * (1 - wanted)]
    blocks.append(
        _shares([(min(len(together), 1), 1 - share), (tuned, share)], len(wanted)) * wanted
    )
    return Ensemble((*alone, *together), np.concatenate(blocks).astype(np.float32))


def _shares(groups: Sequence[tuple[int, float]], tasks: int) -> npt.NDArray[np.float32]:
    rows = [np.full((size, tasks), share / size) for size, share in groups if size]
    return np.concatenate([np.zeros((0, tasks)), *rows]).astype(np.float32)


def _errors(mean: npt.NDArray[np.float32], labels: Labels, tasks: int) -> npt.NDArray[np.float64]:
    off = np.abs(mean[labels.rows, labels.cols].astype(np.float64) - labels.values)
    counts = np.bincount(labels.cols, minlength=tasks)
    found = np.full(tasks, np.nan)
    np.divide(np.bincount(labels.cols, off, tasks), counts, out=found, where=counts > 0)
    return found


def _best(
    errors: dict[Choice, npt.NDArray[np.float64]], counts: npt.NDArray[np.int64], column: int
) -> Choice:
    if len(errors) == 1:
        return next(iter(errors))
    if counts[column] < _FEWEST:
        return "averaged"
    best = min(errors, key=lambda way: float(errors[way][column]))
    # One window is noisy, and the average was best or nearly so in each that was tried.
    clearly = errors[best][column] < (1 - _CLEARLY) * errors["averaged"][column]
    return best if clearly else "averaged"


def _chosen(said: dict[Choice, Answer], choices: Sequence[Choice]) -> Answer:
    columns = range(len(choices))
    return Answer(
        np.stack([said[choices[c]].mean[:, c] for c in columns], axis=1),
        np.stack([said[choices[c]].spread[:, c] for c in columns], axis=1),
    )
