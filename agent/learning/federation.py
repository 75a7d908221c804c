"""Federated rounds with all silos in one process: what a plan would come to, without the wire.

The same arithmetic as the aggregator's (`agent.wire.averaging`) and the same training as a silo's.
Only the trunk and the heads that several silos name alike are averaged; a silo's own heads and its
optimizer's memory stay with it, as they do at a real silo.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from agent.learning.recency import recency
from agent.learning.recipes import FederatedRecipe
from agent.learning.tasks import Labels, Rows, TaskSpec, View, seen
from agent.learning.train import Moments, Settings, fit_on
from agent.wire.averaging import Sums, step
from agent.wire.documents import FeatureSpec, NetworkSpec
from agent.wire.members import member_of_round, of_member, turn_of_round
from agent.wire.network import HEAD, TRUNK, Weights, initial_weights
from agent.wire.update import group_of

Told = Callable[[int, int], None]
"""Told after every round: how many are done, and how many there are."""


@dataclass(frozen=True, slots=True, eq=False)
class Silo:
    """What one silo learns from.

    Attributes:
        name: For reports.
        features: One row a compound.
        tasks: Its heads; one that another silo names alike is shared with it.
        labels: On the tasks' transformed scales.
        age: float64, of each label, as `recency.ages` returns it; None where nothing is dated.
    """

    name: str
    features: Rows
    tasks: tuple[TaskSpec, ...]
    labels: Labels
    age: npt.NDArray[np.float64] | None = None

    def weighted(self, rate: float) -> Labels:
        """Returns the labels, the newer ones counting for more."""
        if self.age is None:
            return self.labels
        importance = recency(self.age, rate).astype(np.float32)
        return replace(self.labels, importance=importance)

    def seeing(self, view: View) -> "Silo":
        """Returns the silo with one view of its features."""
        return replace(self, features=seen(self.features, view))

    def without(self, dropped: npt.NDArray[np.bool_]) -> "Silo":
        """Returns the silo without some of its labels; the features stay."""
        age = None if self.age is None else self.age[~dropped]
        return replace(self, labels=self.labels.select(~dropped), age=age)


def federate(
    silos: Sequence[Silo],
    features: FeatureSpec,
    recipe: FederatedRecipe,
    *,
    settings: Settings,
    told: Told = lambda _done, _of: None,
) -> list[list[Weights]]:
    """Runs the recipe's rounds.

    Args:
        silos: In the order in which their updates are added.
        features: What the rows mean.
        recipe: How.
        settings: Seed, threads and device; the rest is the recipe's.
        told: Told after every round.

    Returns:
        For each silo its networks after the last round: trunk and heads of each.

    Raises:
        Refused: As `learning.train.fit`.
        Stop: As `learning.train.fit`.
    """
    network = network_of(recipe, settings.seed)
    heads = Counter(task.name for silo in silos for task in silo.tasks)
    start = initial_weights(network, shape_of(features, recipe.view(0)), sorted(heads))
    members = [
        _Member.of(of_member(start, number), silos, heads, recipe.view(number))
        for number in range(recipe.networks)
    ]
    joint = _Joint(silos, recipe, settings)
    for number in range(recipe.rounds):
        joint.round(members[member_of_round(number + 1, recipe.networks)], number)
        told(number + 1, recipe.rounds)
    return [[member.at(place, silo) for member in members] for place, silo in enumerate(silos)]


@dataclass(slots=True, eq=False)
class _Member:
    """One network between its rounds: what is shared, and what each silo keeps of it and sees."""

    shared: Weights
    own: list[Weights]
    rows: list[Rows]
    moments: list[Moments | None]
    velocity: Weights = field(default_factory=dict)

    @classmethod
    def of(
        cls, start: Weights, silos: Sequence[Silo], heads: Counter[str], view: View | None
    ) -> "_Member":
        shared = {name: value for name, value in start.items() if _is_shared(name, heads)}
        own = [_own(start, silo, shared) for silo in silos]
        rows = [seen(silo.features, view) for silo in silos]
        return cls(shared, own, rows, [None] * len(silos))

    def at(self, place: int, silo: Silo) -> Weights:
        return {**_needed(self.shared, silo), **self.own[place]}


class _Joint:
    """The silos of all rounds."""

    def __init__(self, silos: Sequence[Silo], recipe: FederatedRecipe, settings: Settings) -> None:
        self._silos, self._recipe, self._settings = silos, recipe, settings
        self._network = network_of(recipe, settings.seed).single()
        self._labels = [silo.weighted(recipe.recency_rate) for silo in silos]
        compounds = (len(np.unique(silo.labels.rows)) for silo in silos)
        self._epochs = [epochs_of(count, recipe) for count in compounds]

    def round(self, member: _Member, number: int) -> None:
        """Lets each silo train, and moves the member by the mean; rounds count from 0."""
        sums, recipe = Sums(), self._recipe
        for place, silo in enumerate(self._silos):
            base = member.at(place, silo)
            run = _round_settings(recipe, self._settings, number, place, self._epochs[place])
            fitted = fit_on(
                *(base, self._network, member.rows[place], self._labels[place], silo.tasks, run),
                lambda *_: None,
                moments=member.moments[place],
            )
            member.moments[place] = fitted.moments if recipe.keep_moments else None
            own = member.own[place]
            member.own[place] = {name: fitted.weights[name] for name in own}
            weight = _weights(silo, base.keys() & member.shared.keys(), recipe)
            sums.add(_products(fitted.weights, base, weight), weight)
        member.shared, member.velocity = step(
            member.shared, sums.mean(), member.velocity, recipe.server_momentum
        )


def network_of(recipe: FederatedRecipe, seed: int) -> NetworkSpec:
    """Returns the networks that a recipe trains."""
    return NetworkSpec(
        hidden=recipe.hidden, dropout=recipe.dropout, seed=seed, members=recipe.networks
    )


def shape_of(features: FeatureSpec, view: View | None) -> FeatureSpec:
    """Returns a spec of the size of a view: what a network that reads it is made for."""
    return (
        features if view is None else features.model_copy(update={"hash_size": view[1] - view[0]})
    )


def epochs_of(compounds: int, recipe: FederatedRecipe) -> int:
    """Returns how often a silo of so many labelled compounds passes over them in a round."""
    return max(recipe.local_epochs, round(recipe.local_rows / max(compounds, 1)))


def _is_shared(name: str, heads: Counter[str]) -> bool:
    return name.startswith(TRUNK) or heads[_task(name)] > 1


def _task(name: str) -> str:
    return group_of(name).removeprefix(HEAD)


def _own(start: Weights, silo: Silo, shared: Weights) -> Weights:
    return {name: value for name, value in _needed(start, silo).items() if name not in shared}


def _needed(weights: Weights, silo: Silo) -> Weights:
    heads = {task.name for task in silo.tasks}
    return {
        name: value
        for name, value in weights.items()
        if name.startswith(TRUNK) or _task(name) in heads
    }


def _round_settings(
    recipe: FederatedRecipe, settings: Settings, number: int, place: int, epochs: int
) -> Settings:
    turn, turns = turn_of_round(number + 1, recipe.rounds, recipe.networks)
    return replace(
        settings,
        epochs=epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        # Another order and another dropout in each round, and at each silo.
        seed=settings.seed * 1_000_003 + number * 1_009 + place,
        window=(turn / turns, (turn + 1) / turns),
    )


def _weights(silo: Silo, names: set[str], recipe: FederatedRecipe) -> dict[str, float]:
    """Returns how much a silo counts, by group of tensors."""
    columns = {task.name: column for column, task in enumerate(silo.tasks)}
    weight = {}
    for group in sorted({group_of(name) for name in names}):
        of_head = group.startswith(HEAD)
        rows = (
            silo.labels.rows[silo.labels.cols == columns[group.removeprefix(HEAD)]]
            if of_head
            else silo.labels.rows
        )
        weight[group] = counted(len(np.unique(rows)), recipe.weighting)
    return {group: value for group, value in weight.items() if value > 0}


def counted(compounds: int, weighting: str) -> float:
    """Returns how much so many labelled compounds count: `uniform`, `sqrt_n` or `n`."""
    powers = {"uniform": 0.0, "sqrt_n": 0.5, "n": 1.0}
    return math.pow(compounds, powers[weighting]) if compounds else 0.0


def _products(trained: Weights, base: Weights, weight: dict[str, float]) -> Weights:
    return {
        name: (trained[name] - base[name]) * np.float32(weight[group_of(name)])
        for name in base
        if group_of(name) in weight
    }
