"""Several networks that answer together, each head with its own share of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agent.learning.batches import DeviceChoice
from agent.learning.score import predict
from agent.learning.tasks import Rows, TaskSpec
from agent.wire.documents import NetworkSpec
from agent.wire.network import Weights


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One network with its weights; members may differ in width, and read the same features."""

    network: NetworkSpec
    weights: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Members and how much each counts for each task.

    Attributes:
        members: At least one.
        shares: float32 (members, tasks); every column sums to 1. This matrix is the choice between
            personal, federated and an average of both, head by head.
    """

    members: tuple[Member, ...]
    shares: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Predictions on the transformed scale, probabilities for classes.

    Attributes:
        mean: float32 (n, tasks), the share-weighted mean over the members.
        spread: float32 (n, tasks), their share-weighted standard deviation.
    """

    mean: npt.NDArray[np.float32]
    spread: npt.NDArray[np.float32]


def predict_ensemble(
    ensemble: Ensemble, features: Rows, tasks: Sequence[TaskSpec], device: DeviceChoice = "auto"
) -> Answer:
    """Lets the members that count predict every task for every row.

    Raises:
        Refused: As `predict`.
        Stop: As `predict`.
    """
    mean = np.zeros((len(features), len(tasks)))
    square = np.zeros_like(mean)
    for member, share in zip(ensemble.members, ensemble.shares, strict=True):
        if not share.any():
            continue
        said = predict(member.weights, member.network, features, tasks, device).astype(np.float64)
        mean += share * said
        square += share * said**2
    spread = np.sqrt(np.clip(square - mean**2, 0.0, None))
    return Answer(mean.astype(np.float32), spread.astype(np.float32))
