"""The default model of a silo: alone, or with others, whichever serves each head better.

Every head answers with the local ensemble, with the federated model and its fine-tuned copies, or
with the average of both: what erred least on the newest compounds that none of them had seen. Then
all of it is trained again on everything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from agent.learning.ensemble import Answer, Ensemble, Member, predict_ensemble
from agent.learning.federation import Silo, federate, network_of
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from agent.learning.tasks import Labels
from agent.learning.train import Settings, fit
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.network import Weights, initial_weights

Choice = Literal["personal", "federated", "averaged"]
Told = Callable[[str, int, int], None]

_CHOICES: dict[Choice, float] = {"personal": 0.0, "averaged": 0.5, "federated": 1.0}
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
        settings: Seed, threads and device.
        told: Told of every step.
    """

    features: FeatureSpec
    local: LocalRecipe
    federated: FederatedRecipe | None
    settings: Settings
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
            alone = self._local(own)
            return Ensemble(tuple(alone), _shares([(len(alone), 1.0)], len(own.tasks)))
        wanted = np.array([_CHOICES[choice] for choice in choices], dtype=np.float32)
        alone = self._local(own) if (wanted < 1).any() else []
        together = self._together(own, others, recipe) if (wanted > 0).any() else []
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
        alone = self._local(own)
        together = self._together(own, others, recipe) if recipe and others else []
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

    def _local(self, own: Silo) -> list[Member]:
        recipe, members = self.local, []
        for number in range(recipe.members):
            seed = self.settings.seed + number
            network = NetworkSpec(hidden=recipe.hidden, dropout=recipe.dropout, seed=seed)
            start = initial_weights(network, self.features, [task.name for task in own.tasks])
            run = self._run(recipe, recipe.epochs, recipe.learning_rate, seed)
            self.told("training alone", number, recipe.members)
            members.append(
                Member(network, self._fit(start, network, own, recipe.recency_rate, run))
            )
        return members

    def _together(self, own: Silo, others: Sequence[Silo], recipe: FederatedRecipe) -> list[Member]:
        """Returns the federated model, then its fine-tuned copies."""
        said = "training with the other silos"
        self.told(said, 0, recipe.rounds)
        trained = federate(
            [own, *others],
            self.features,
            recipe,
            settings=self.settings,
            told=lambda done, of: self.told(said, done, of),
        )[0]
        network = network_of(recipe, self.settings.seed)
        members = [Member(network, trained)]
        for number in range(recipe.members if recipe.finetune_epochs else 0):
            rate = recipe.finetune_rate * recipe.learning_rate
            run = self._run(recipe, recipe.finetune_epochs, rate, self.settings.seed + number)
            self.told("fine-tuning", number, recipe.members)
            members.append(
                Member(network, self._fit(trained, network, own, recipe.recency_rate, run))
            )
        return members

    def _run(
        self, recipe: LocalRecipe | FederatedRecipe, epochs: int, rate: float, seed: int
    ) -> Settings:
        return replace(
            self.settings,
            epochs=epochs,
            learning_rate=rate,
            batch_size=recipe.batch_size,
            weight_decay=recipe.weight_decay,
            seed=seed,
        )

    def _fit(
        self, start: Weights, network: NetworkSpec, own: Silo, rate: float, run: Settings
    ) -> Weights:
        labels = own.weighted(rate)
        return fit(start, network, own.features, labels, own.tasks, run, lambda *_: None)


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
    return min(errors, key=lambda way: float(errors[way][column]))


def _chosen(said: dict[Choice, Answer], choices: Sequence[Choice]) -> Answer:
    columns = range(len(choices))
    return Answer(
        np.stack([said[choices[c]].mean[:, c] for c in columns], axis=1),
        np.stack([said[choices[c]].spread[:, c] for c in columns], axis=1),
    )
