"""Several networks that answer as one, each task by its own shares of them.

A head that is personal, federated or an average of both is a row of the shares: (1, 0), (0, 1) or
(1/2, 1/2). Members may differ in width, and in what they see of the same features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.errors import Refused
from agent.learning.batches import DeviceChoice
from agent.learning.score import predict
from agent.learning.tasks import Rows, TaskSpec, View, seen
from agent.wire.documents import NetworkSpec
from agent.wire.members import of_member
from agent.wire.network import HEAD, TRUNK, Weights

Floats = npt.NDArray[np.float32]

_SHARES_TOLERANCE = 1e-4  # of a column's sum: shares are float32


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network of an ensemble.

    Attributes:
        network: Its widths.
        weights: Its trunk and heads; it may lack the heads of tasks in which it has no share.
        view: The columns that it reads; None for all. What is exported reads all.
    """

    network: NetworkSpec
    weights: Weights
    view: View | None = None

    def of_tasks(self, tasks: Sequence[TaskSpec]) -> Weights:
        """Returns the trunk and exactly these tasks' heads; one that it lacks answers zero."""
        width = self.network.hidden[-1] if self.network.hidden else 0
        chosen = {name: value for name, value in self.weights.items() if name.startswith(TRUNK)}
        for task in tasks:
            for kind, shape in (("weight", (1, width)), ("bias", (1,))):
                name = f"{HEAD}{task.name}.{kind}"
                chosen[name] = self.weights.get(name, np.zeros(shape, np.float32))
        return chosen


def members_of(weights: Weights, network: NetworkSpec) -> tuple[Member, ...]:
    """Returns a plan's networks one by one."""
    numbers = range(network.members)
    return tuple(Member(network.single(), of_member(weights, number)) for number in numbers)


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Members and how much each says of each task.

    Attributes:
        members: At least one.
        shares: float32 (members, tasks), not negative; the columns sum to 1.
    """

    members: tuple[Member, ...]
    shares: Floats

    @classmethod
    def of_one(cls, weights: Weights, network: NetworkSpec, tasks: int) -> "Ensemble":
        """Returns what a plan's networks say together: one, or the mean of several."""
        members = members_of(weights, network)
        return cls(members, np.full((len(members), tasks), 1 / len(members), np.float32))

    def check_sees_all(self) -> None:
        """Checks that what is written down loses nothing: neither a file nor a graph has views.

        Raises:
            ValueError: A member reads only a view of the features.
        """
        if any(member.view is not None for member in self.members):
            raise ValueError("what is written down must read all columns")

    def check(self, tasks: Sequence[TaskSpec]) -> None:
        """Checks the shares, and that each member has the heads in which it has one.

        Raises:
            Refused: `no_head`, `wrong_shares` or `no_such_head`.
        """
        if not tasks:
            raise Refused("no_head", "A model without a head predicts nothing; name a task.")
        if not _are_shares(self.shares, (len(self.members), len(tasks))):
            raise Refused(
                "wrong_shares",
                "The shares of an ensemble must be a number of 0 or more for each member and task, "
                "and sum to 1 for each task.",
            )
        for member, shares in zip(self.members, self.shares, strict=True):
            for task, share in zip(tasks, shares, strict=True):
                if share > 0 and f"{HEAD}{task.name}.weight" not in member.weights:
                    raise Refused(
                        "no_such_head", f"A member lacks the head {task.name}; give it no share."
                    )


def _are_shares(shares: Floats, shape: tuple[int, int]) -> bool:
    if shares.shape != shape or not shape[0] or not bool(np.isfinite(shares).all()):
        return False
    sums = shares.sum(axis=0, dtype=np.float64)
    return bool((shares >= 0).all() and (abs(sums - 1) <= _SHARES_TOLERANCE).all())


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What an ensemble says of n rows, on the tasks' transformed scales.

    Attributes:
        mean: float32 (n, tasks); the share-weighted mean, a probability for a class.
        spread: float32 (n, tasks); the share-weighted standard deviation between the members.
    """

    mean: Floats
    spread: Floats


def predict_ensemble(
    ensemble: Ensemble, features: Rows, tasks: Sequence[TaskSpec], device: DeviceChoice = "auto"
) -> Answer:
    """Predicts every task for every row.

    Args:
        ensemble: With checked tensors.
        features: n rows.
        tasks: The columns of the answer.
        device: Where to compute.

    Raises:
        Refused: As `Ensemble.check`.
        Stop: As `pick_device`.
    """
    ensemble.check(tasks)
    answers = [
        predict(member.of_tasks(tasks), member.network, seen(features, member.view), tasks, device)
        for member in ensemble.members
    ]
    return blend(answers, ensemble.shares)


def blend(answers: Sequence[Floats], shares: Floats) -> Answer:
    """Joins the members' answers, each float32 (n, tasks), by their shares (members, tasks)."""
    mean = _sum_of(answers, shares)
    squares = [(answer - mean) ** 2 for answer in answers]
    return Answer(mean, np.sqrt(_sum_of(squares, shares)))


def _sum_of(parts: Sequence[Floats], shares: Floats) -> Floats:
    total: Floats = parts[0] * shares[0]
    for part, share in zip(parts[1:], shares[1:], strict=True):
        total = total + part * share
    return total
